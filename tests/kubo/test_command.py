"""The commands about IPFS, on a real node: what is pinned, published and resolved is what was given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from ipld_castore import IPFSStore

pytestmark = [pytest.mark.kubo]


def run(*arguments: object) -> list[str]:
    """Return the lines that the command prints."""
    command = [sys.executable, "-m", "ipldstore", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_pin_publish_resolve(kubo: Any, tmp_path: Path) -> None:
    """A dataset that was pinned is on the node; its name leads to it; an address of the name opens it."""
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
