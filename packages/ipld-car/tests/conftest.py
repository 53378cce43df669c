"""What the tests share: their helper module, and where the fixtures of other projects are."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from .support import go_peer
from .support.cli_samples import Ran, Run

HERE = Path(__file__).parent

collect_ignore_glob = ["support/*"]


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder with the archives of other projects; never committed here."""
    named = os.environ.get("IPLD_FIXTURES")
    folder = Path(named) if named else HERE.parents[2].parent / "shared" / "fixtures"
    if not (folder / "MANIFEST.md").is_file():
        reason = f"no fixtures at {folder} (IPLD_FIXTURES names another folder)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def ipld_car() -> Run:
    """Run the command as a process of its own; the expected exit code is 0 unless told."""

    def run(*arguments: object, stdin: bytes = b"", code: int = 0, cwd: Path | None = None) -> Ran:
        command = [sys.executable, "-m", "ipld_car", *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, cwd=cwd)
        assert done.returncode == code, (command, done.stdout[-2000:], done.stderr.decode(errors="replace")[-2000:])
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return Ran(done.stdout, done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def peer() -> go_peer.Peer:
    """Run a verb of peers/go/main.go and return its answer."""
    return partial(go_peer.ask, go_peer.build())
