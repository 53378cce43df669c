"""What the tests share: their helper module, and where the fixtures of other projects are."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from ipld_car.terminal.testing import CLIServer

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
def ipld_car() -> Iterator[Run]:
    """Run the command as a process of its own; the expected exit code is 0 unless told.

    On Linux the processes are forked from one that has imported the command: starting Python for each took most of
    the time of the tests.
    """
    server = CLIServer("ipld_car._cli.main", "ipld-car") if sys.platform == "linux" else None

    def run(*arguments: object, stdin: bytes = b"", code: int = 0, cwd: Path | None = None) -> Ran:
        given = [*map(str, arguments)]
        if server is None:
            command = [sys.executable, "-m", "ipld_car", *given]
            done = subprocess.run(command, input=stdin, capture_output=True, check=False, cwd=cwd)
            found, out, err = done.returncode, done.stdout, done.stderr
        else:
            found, out, err = server.run(given, stdin, cwd)
        assert found == code, (given, out[-2000:], err.decode(errors="replace")[-2000:])
        assert b"Traceback" not in err, err.decode()
        return Ran(out, err.decode())

    yield run
    if server is not None:
        server.close()


@pytest.fixture(scope="session")
def peer() -> go_peer.Peer:
    """Run a verb of peers/go/main.go and return its answer."""
    return partial(go_peer.ask, go_peer.build())
