"""TieredCAStore: it has the capabilities of its parts."""

from __future__ import annotations

import pickle
from pathlib import Path

from ipld_castore import (
    BlockNotFoundError,
    CarCAStore,
    ContentAddressableStore,
    FileSystemCAStore,
    IPFSStore,
    MappingCAStore,
    ReadOnlyStoreError,
    SupportsDelete,
    SupportsHead,
    SupportsList,
    SupportsNames,
    SupportsPin,
    TieredCAStore,
)
from multiformats import CID


class TwoVerbs(ContentAddressableStore):
    """A backend with the two required methods."""

    def get_block(self, cid: CID) -> bytes:
        raise BlockNotFoundError(f"no block {cid}")

    def put_block(self, cid: CID, data: bytes) -> None:
        raise ReadOnlyStoreError(f"no room for {cid}")


CAPABILITIES: tuple[type, ...] = (SupportsList, SupportsDelete, SupportsHead, SupportsPin, SupportsNames)


def capabilities(store: ContentAddressableStore) -> set[str]:
    return {each.__name__ for each in CAPABILITIES if isinstance(store, each)}


def test_capabilities_are_those_of_the_parts(tmp_path: Path) -> None:
    """``isinstance`` agrees with the capabilities of the parts, also for pickles and derived classes."""

    class Mine(TieredCAStore):
        def __init__(self, far: ContentAddressableStore) -> None:
            super().__init__(MappingCAStore(), far)

    memory, folder, node, least = MappingCAStore(), FileSystemCAStore(tmp_path), IPFSStore(), TwoVerbs()
    car = CarCAStore(tmp_path / "a.car")
    cases: list[tuple[ContentAddressableStore, ContentAddressableStore, set[str]]] = [
        (memory, least, set()),
        (memory, memory, {"SupportsList", "SupportsDelete", "SupportsHead"}),
        (least, memory, {"SupportsList", "SupportsHead"}),
        (memory, folder, {"SupportsList", "SupportsDelete", "SupportsHead"}),
        (memory, car, {"SupportsList", "SupportsHead"}),
        (memory, node, {"SupportsList", "SupportsDelete", "SupportsPin", "SupportsNames"}),
        (memory, TieredCAStore(memory, car), {"SupportsList", "SupportsHead"}),
    ]
    for near, far, expected in cases:
        store = TieredCAStore(near, far)
        assert isinstance(store, TieredCAStore)
        assert capabilities(store) == expected
        assert type(store) is type(TieredCAStore(near, far))
        assert repr(store).startswith("<TieredCAStore: ")
        assert store.persist_moves_head == far.persist_moves_head
        if far is not least:
            copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # our own
            assert type(copy) is type(store)
            assert capabilities(copy) == expected
    mine = Mine(folder)
    assert isinstance(mine, Mine)
    assert capabilities(mine) == {"SupportsList", "SupportsDelete", "SupportsHead"}
    root = mine.put(1)
    assert isinstance(mine, SupportsHead)
    mine.swap_head(None, root)
    assert folder.head == root
    mine.persist_moves_head = True
    assert folder.persist_moves_head
    car.close()
