"""Block stores without a journal: a copy in another process refuses to write, and names the ways that work there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from ipld_castore import ContentAddressableStore, FileSystemCAStore
from ipld_castore.testing import BlockServer
from ipldstore import CarCAStore, GatewayCAStore, IPFSStore, IPLDStore, MappingCAStore
from multiformats import CID

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


class WithoutJournal(ContentAddressableStore):
    """A backend of a third party: the two verbs that it must have, over files that any process reaches."""

    local = False

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._files = FileSystemCAStore(folder, fsync=False)

    @property
    def address(self) -> str:
        return self._files.address

    def get_block(self, cid: CID) -> bytes:
        return self._files.get_block(cid)

    def put_block(self, cid: CID, data: bytes) -> None:
        self._files.put_block(cid, data)


@pytest.mark.parametrize("kind", ["dict", "CAR file", "third party", "gateway"])
def test_every_way_to_write_is_refused(pool: ProcessPoolExecutor, node: BlockServer, tmp_path: Path, kind: str) -> None:
    made: dict[str, Callable[[], ContentAddressableStore]] = {
        "dict": MappingCAStore,
        "CAR file": lambda: CarCAStore(tmp_path / "some.car", "a"),
        "third party": lambda: WithoutJournal(tmp_path / "blocks"),
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
        assert ("fork()" in message and "merge()" in message) == (kind == "third party")


def test_a_fork_writes_there(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    """The way that the message names."""
    store = written(SOME, WithoutJournal(tmp_path / "blocks"))
    parts: list[dict[str, bytes | None]] = [{f"a/c/{number}": b"%d" % number} for number in range(1, 4)]
    changes = [pool.submit(elsewhere.changes_of, store.fork(), part) for part in parts]
    store.merge(*(each.result(60) for each in changes))
    assert store.freeze() == written(SOME | {"a/c/1": b"1", "a/c/2": b"2", "a/c/3": b"3"}).freeze()


def test_the_ways_of_a_folder_and_a_node_work(pool: ProcessPoolExecutor, node: BlockServer, tmp_path: Path) -> None:
    for castore in (FileSystemCAStore(tmp_path / "blocks", fsync=False), IPFSStore(node.url)):
        assert pool.submit(refusals, written(SOME, castore)).result(60)[0] == ""
