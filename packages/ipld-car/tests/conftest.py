"""What the tests share: their helper module, and where the fixtures of other projects are."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from ipld_car.terminal.testing import Run, running_command

from .support import go_peer

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
    """Run the command as a process of its own; the expected exit code is 0 unless told."""
    with running_command("ipld_car._cli.main", "ipld-car", "ipld_car") as run:
        yield run


@pytest.fixture(scope="session")
def peer() -> go_peer.Peer:
    """Run a verb of peers/go/main.go and return its answer."""
    return partial(go_peer.ask, go_peer.build())
