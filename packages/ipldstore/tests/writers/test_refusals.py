"""Block stores without a journal: a copy in another process refuses to write, and names the ways that work there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from ipld_castore import ContentAddressableStore, FileSystemCAStore
from ipld_castore.testing import BlockServer
from ipldstore import CarCAStore, GatewayCAStore, IPFSStore, IPLDStore, MappingCAStore

from ..support.processes import FRESH
from ..support.processes.copies import refusals
from ..support.store_samples import contents, written
from .workers import elsewhere

SOME = {"zarr.json": b"{}", "a/c/0": b"zero"}


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=FRESH) as pool:
        yield pool


@pytest.fixture
def node() -> Iterator[BlockServer]:
    """A node, and a gateway to it."""
    with BlockServer() as node:
        yield node


@pytest.mark.parametrize("kind", ["dict", "CAR file", "node", "gateway"])
def test_every_way_to_write_is_refused(pool: ProcessPoolExecutor, node: BlockServer, tmp_path: Path, kind: str) -> None:
    made: dict[str, Callable[[], ContentAddressableStore]] = {
        "dict": MappingCAStore,
        "CAR file": lambda: CarCAStore(tmp_path / "some.car", "a"),
        "node": lambda: IPFSStore(node.url),
        "gateway": lambda: GatewayCAStore(node.url),
    }
    with made[kind]() as castore:
        root = written(SOME, node.blocks if kind == "gateway" else castore).freeze()
        store = IPLDStore(castore, root=root)
        said = pool.submit(refusals, store).result(60)
        assert contents(store) == SOME
    assert len(said) == 15
    for message in said:
        assert "another process" in message
        assert type(castore).__name__ in message
        assert "scheduler='threads'" in message
        assert "FileSystemCAStore, ObjectCAStore" in message
        assert ("fork()" in message and "merge()" in message) == (kind == "node")


def test_a_fork_on_a_node_writes(pool: ProcessPoolExecutor, node: BlockServer) -> None:
    """The way that the message names."""
    store = written(SOME, IPFSStore(node.url))
    parts: list[dict[str, bytes | None]] = [{f"a/c/{number}": b"%d" % number} for number in range(1, 4)]
    changes = [pool.submit(elsewhere.changes_of, store.fork(), part) for part in parts]
    store.merge(*(each.result(60) for each in changes))
    assert store.freeze() == written(SOME | {"a/c/1": b"1", "a/c/2": b"2", "a/c/3": b"3"}).freeze()


def test_the_way_of_a_folder_works(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    store = written(SOME, FileSystemCAStore(tmp_path / "blocks", fsync=False))
    assert pool.submit(refusals, store).result(60)[0] == ""
