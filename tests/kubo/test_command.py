"""The commands about IPFS, on a real node: what is pinned, published and resolved is what was given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from ipld_car.terminal.testing import Run, running_command
from ipld_castore import IPFSStore

pytestmark = [pytest.mark.kubo]


@pytest.fixture(scope="module")
def command() -> Iterator[Run]:
    with running_command("ipldstore._cli.main", "ipldstore", "ipldstore", ("ipldstore._io.open",)) as run:
        yield run


def test_pin_publish_resolve(kubo: Any, command: Run, tmp_path: Path) -> None:
    """A dataset that was pinned is on the node; its name leads to it; an address of the name opens it."""

    def run(*arguments: object) -> list[str]:
        return command(*arguments).lines

    path = tmp_path / "air.car"
    with ipldstore.open(path, "x") as store:
        store["a/0"] = b"a chunk of the command's test"
    with ipldstore.open(path) as store:
        root = str(store.root_cid)
    assert run("pin", path, "--node", kubo.url) == [root]
    castore = IPFSStore(kubo.url)
    assert root in {str(cid) for cid, _ in castore.pins()}
    (name,) = run("publish", path, "command-test", "--node", kubo.url)
    assert run("resolve", name, "--node", kubo.url) == [f"/ipfs/{root}"]
    assert run("cat", f"ipns://{name}", "a/0", "--storage-option", f"node={kubo.url}") == [
        "a chunk of the command's test"
    ]
    assert run("ls", "-r", f"ipfs://{root}", "--storage-option", f"node={kubo.url}") == ["a/0"]
    castore.unpin(root)
