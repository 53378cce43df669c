"""MappingCAStore over mappings of all sorts."""

from __future__ import annotations

import pickle
import shelve
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import pytest
from ipld_car import cids, hashes
from ipld_castore import BackendUnavailableError, BlockCorruptError, BlockNotFoundError, MappingCAStore

HELLO = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"


def test_keys_are_what_people_see() -> None:
    """Keys are CIDs in base32, as people see them printed."""
    backend: dict[str, bytes] = {}
    store = MappingCAStore(backend)
    cid = store.put(b"hello")
    root = store.put({"link": cid})
    assert backend == {HELLO: b"hello", str(root): store.get_raw(root)}
    assert list(backend) == list(map(str, store)) == [HELLO, str(root)]
    assert store.mapping is backend


def test_version_0_is_kept_as_version_1() -> None:
    """A CID of version 0 is stored as version 1, so a block has one key."""
    store = MappingCAStore()
    v0 = b"\x12\x20" + hashes.digest_of(cids.SHA2_256, b"hello")
    store.put_block(cids.from_bytes(v0), b"hello")
    assert list(store.mapping) == [cids.to_text(b"\x01\x70" + v0)]


def test_keys_of_others_are_left_alone() -> None:
    """Keys of other software are not blocks, nor are CIDs in another base."""
    foreign = ["", "zarr.json", "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", HELLO.upper()]
    store = MappingCAStore(dict.fromkeys(foreign, b""))
    store.mapping[5] = b""  # type: ignore[index]  # a mapping may have such keys
    store.mapping[b"\x01\x55\x00\x00"] = b""  # type: ignore[index]  # a key of other software
    assert list(store) == []
    cid = store.put(b"hello")
    assert list(store) == [cid]


def test_stores_over_equal_mappings_are_equal() -> None:
    """Stores over equal mappings are equal, and so is a pickle, which has a copy of the mapping."""
    store = MappingCAStore()
    store.put(b"hello")
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # our own
    assert store == MappingCAStore(store.mapping) == copy
    assert store.address == MappingCAStore(store.mapping).address != copy.address
    copy.put(b"more")
    assert store != copy
    with pytest.raises(TypeError):
        hash(store)


def test_only_a_dict_answers_at_once() -> None:
    """Only a dict does not block. An event loop calls others in threads."""
    assert not MappingCAStore().blocking
    assert not MappingCAStore({}).blocking
    assert MappingCAStore(Broken()).blocking


def test_repr_asks_nothing_of_the_mapping() -> None:
    """``repr`` asks nothing of the mapping: counting the keys of an object store lists a bucket."""
    assert repr(MappingCAStore({HELLO: b"hello"})) == "<MappingCAStore: 1 keys in a dict>"
    assert repr(MappingCAStore(Broken())) == "<MappingCAStore: blocks in a Broken>"


def test_a_shelf(tmp_path: Path) -> None:
    """A ``shelve`` keeps the blocks on disk."""
    with shelve.open(str(tmp_path / "shelf")) as shelf:  # noqa: S301  # our own
        root = MappingCAStore(shelf).put({"hello": b"x" * 10_000})
    with shelve.open(str(tmp_path / "shelf")) as shelf:  # noqa: S301  # of this test
        assert MappingCAStore(shelf).get(root) == {"hello": b"x" * 10_000}


@pytest.mark.parametrize("value", [None, "text", 5, ["x"]], ids=repr)
def test_values_that_are_no_bytes(value: object) -> None:
    """A value that is no bytes is a damaged block, not a TypeError."""
    store = MappingCAStore()
    cid = store.put(b"hello")
    store.mapping[HELLO] = value  # type: ignore[assignment]  # what a mapping should not have
    for verify in (True, False):
        with pytest.raises(BlockCorruptError, match=f"{HELLO}.*found {type(value).__name__}"):
            store.get_raw(cid, verify=verify)


class Broken(MutableMapping[str, bytes]):
    """A mapping over an object store whose network is down."""

    def __getitem__(self, key: str) -> bytes:
        raise ConnectionResetError("the network is down")

    def __setitem__(self, key: str, value: bytes) -> None:
        raise ConnectionResetError("the network is down")

    def __delitem__(self, key: str) -> None:
        raise ConnectionResetError("the network is down")

    def __iter__(self) -> Iterator[str]:
        raise ConnectionResetError("the network is down")

    def __len__(self) -> int:
        raise ConnectionResetError("the network is down")


def test_an_object_store_that_is_away() -> None:
    """An error of the mapping is a BackendUnavailableError with its message, not an absent block."""
    store = MappingCAStore(Broken())
    cid = MappingCAStore().put(b"hello")
    for verb in (
        lambda: store.get(cid),
        lambda: store.put(b"hello"),
        lambda: cid in store,
        lambda: store.size(cid),
        lambda: store.delete_block(cid),
        lambda: list(store),
    ):
        with pytest.raises(BackendUnavailableError, match="the network is down") as caught:
            verb()
        assert isinstance(caught.value.__cause__, ConnectionResetError)


class Dear(dict[str, bytes]):
    """A mapping that counts reads."""

    reads = 0

    def __getitem__(self, key: str) -> bytes:
        self.reads += 1
        return super().__getitem__(key)


def test_deleting_and_looking_read_nothing() -> None:
    """Deleting and looking for a block read no value; ``MutableMapping.pop`` would."""
    mapping = Dear()
    store = MappingCAStore(mapping)
    cid = store.put(b"hello")
    assert cid in store
    store.delete_block(cid)
    store.delete_block(cid)
    assert mapping.reads == 0
    with pytest.raises(BlockNotFoundError, match=f"no block {HELLO} in this Dear"):
        store.get(cid)
