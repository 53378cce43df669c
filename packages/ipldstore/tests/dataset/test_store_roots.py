"""Roots: freezing, going on from one, equality and what a store says of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID

from ..support.store_samples import SOME, ObservedCAStore, contents, link_at, written, zarr

EMPTY = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"


def test_an_empty_store_has_the_root_of_the_empty_map(castore: ContentAddressableStore) -> None:
    store = IPLDStore(castore)
    assert store.root_cid is None
    assert str(store.freeze()) == EMPTY
    assert castore.get_raw(EMPTY) == b"\xa0"
    assert str(IPLDStore(castore, root=EMPTY).freeze()) == EMPTY


def test_root_cid_is_none_while_there_are_changes(castore: ContentAddressableStore) -> None:
    store = IPLDStore(castore)
    roots = []
    for key, data in SOME.items():
        store[key] = data
        assert store.root_cid is None
        roots.append(store.freeze())
        assert store.root_cid == roots[-1]
    assert len(set(roots)) == len(roots)
    for root in reversed(roots[:-1]):
        del store[next(iter(store))]
        assert store.root_cid is None
        store.set_root(root, discard_changes=True)
        assert store.root_cid == root


def test_the_root_that_changes_go_on_from(castore: ContentAddressableStore) -> None:
    store = IPLDStore(castore)
    assert (store.base_root, store.has_changes) == (None, False)
    store["a"] = b"1"
    assert (store.base_root, store.root_cid, store.has_changes) == (None, None, True)
    first = store.freeze()
    assert (store.base_root, store.root_cid, store.has_changes) == (first, first, False)
    store["a"] = b"2"
    assert (store.base_root, store.root_cid, store.has_changes) == (first, None, True)
    del store["a"]
    assert store.with_read_only(True).base_root == first


def test_queries_neither_freeze_nor_write() -> None:
    """Only what says so writes: looking at a store in a debugger must not."""
    castore = ObservedCAStore(MappingCAStore())
    store = written(SOME, castore)
    store.freeze()
    store["a/2"] = b"two"
    castore.forget()
    expected = written({**SOME, "a/2": b"two"}).stats()
    for _ in range(2):
        assert store.stats() == expected
        for look in (repr, str, len, list, bool):
            look(store)
        assert "a/0" in store
        assert store == store.with_read_only(True)
        assert store.__dask_tokenize__() == store.__dask_tokenize__()
        assert (store.root_cid, store.has_changes) == (None, True)
        assert store.supports_consolidated_metadata
    assert (castore.put_cids, castore.flushed) == ([], 0)
    root = store.freeze()
    assert IPLDStore(castore, root=root).stats() == expected
    assert IPLDStore().stats() == (0, 0)


def test_stats_of_changes_are_those_of_the_root_to_be() -> None:
    """Counting the index of a changed store changes nothing in it."""
    array = b'{"node_type":"array","zarr_format":3}'
    keys = {f"a/c/{y}/{x}": b"%d" % x for y in range(60) for x in range(60)} | {"a/zarr.json": array}
    store = written(keys)
    expected = store.stats()
    assert expected.keys == len(keys)
    assert expected.index_blocks > 1
    root = store.freeze()
    assert store.stats() == expected
    del store["a/c/0/0"]
    store["b/zarr.json"] = b"{}"
    assert store.stats().keys == len(keys)
    assert store.freeze() != root
    assert store.stats().keys == len(keys)


def test_reading_does_not_change_the_root(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    root = store.freeze()
    assert contents(store).keys() == SOME.keys()
    assert "nothing" not in store
    assert store.mapping.get("a") is None
    store.mapping.pop("not there", None)
    store.delete_sync("not/there")
    assert store.root_cid == root


def test_a_root_is_a_cid_that_prints_in_base32(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    root = store.freeze()
    assert isinstance(root, CID)
    assert str(root).startswith("bafyrei")
    for new in (root, str(root), bytes(root), CID.decode(str(root)), root.set(base="base58btc")):
        other = IPLDStore(castore, root=new)
        assert str(other.root_cid) == str(root)
        other = IPLDStore(castore)
        other.set_root(new)
        assert str(other.root_cid) == str(root)
        assert str(other.freeze()) == str(root)


def test_freezing_twice_writes_nothing_new_and_flushes() -> None:
    castore = ObservedCAStore(MappingCAStore())
    store = written(SOME, castore)
    root = store.freeze()
    assert castore.flushed == 1
    castore.forget()
    assert store.freeze() == root
    assert (castore.put_cids, castore.got) == ([], [])
    assert castore.flushed == 1  # another store over these blocks may have written


def test_the_castore_has_all_blocks_after_freezing(castore: ContentAddressableStore) -> None:
    """Nothing is lost after it: the process may end here."""
    root = written(SOME, castore).freeze()
    again = FileSystemCAStore(castore.path, fsync=False) if isinstance(castore, FileSystemCAStore) else castore
    assert contents(IPLDStore(again, root=root)) == SOME


def test_unfrozen_changes_are_no_blocks_of_the_tree(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    root = store.freeze()
    store["a/2"] = b"two"
    assert contents(IPLDStore(castore, root=root)) == SOME
    with pytest.raises(IPLDStoreError, match="discard_changes=True"):
        store.set_root(root)
    assert store["a/2"] == b"two"
    store.set_root(root, discard_changes=True)
    assert contents(store) == SOME
    assert store.freeze() == root


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "bafy",
        "not a cid",
        b"",
        b"\x01",
        b"\x01q\x12 abc",
        5,
        None,
        ["a"],
        "QmPLPpnptHc1DMhJAWNYMTqBTqqRQNy5WsY7F9pZgsBfMT",
    ],
    ids=repr,
)
def test_what_is_no_root_is_refused(wrong: Any) -> None:
    store = written(SOME)
    root = store.freeze()
    with pytest.raises((ValueError, TypeError, IPLDStoreError)):
        store.set_root(wrong)
    assert store.root_cid == root
    assert contents(store) == SOME
    if wrong is not None:
        with pytest.raises((ValueError, TypeError, IPLDStoreError)):
            IPLDStore(root=wrong)


def test_a_value_is_no_root(castore: ContentAddressableStore) -> None:
    store = written({"a": b"bytes", "big": bytes(2 << 20)}, castore)
    root = store.freeze()
    for name in ("a", "big"):
        with pytest.raises((ValueError, IPLDStoreError)):
            store.set_root(link_at(castore, root, name))
    assert store.root_cid == root


def test_a_root_that_is_not_there_changes_nothing(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    store["a/2"] = b"not frozen"
    elsewhere = written({"other": b"x"}).freeze()
    with pytest.raises(IPLDStoreError, match=str(elsewhere)):
        store.set_root(elsewhere, discard_changes=True)
    assert store["a/2"] == b"not frozen"
    with pytest.raises(IPLDStoreError, match=str(elsewhere)):
        IPLDStore(castore, root=elsewhere)


def test_opening_reads_one_block() -> None:
    castore = ObservedCAStore(MappingCAStore())
    wide = {f"g{group}/a{array}/.zattrs": b'{"a":"%s"}' % (b"x" * 900) for group in range(30) for array in range(20)}
    root = written(wide, castore).freeze()
    castore.forget()
    IPLDStore(castore, root=root)
    assert castore.got == [root]
    assert castore.asked == []


# -- what a store is --


@pytest.mark.parametrize(
    "wrong", [{}, "folder", b"", 5, zarr.storage.MemoryStore()], ids=lambda wrong: type(wrong).__name__
)
def test_what_is_no_castore_is_refused(wrong: Any) -> None:
    """A dict, for example, is no block store."""
    with pytest.raises(TypeError, match="expected"):
        IPLDStore(wrong)


def test_a_store_is_true_even_when_empty() -> None:
    """``store or default`` gives the store."""
    store = IPLDStore()
    assert len(store) == 0
    assert bool(store)
    assert bool(store.with_read_only(True))


def test_equality(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    other = written(SOME, castore)
    assert store != other  # each has changes of its own
    assert store == store.with_read_only(True)
    store.freeze()
    assert store != other
    other.freeze()
    assert store == other
    assert store == IPLDStore(castore, root=store.root_cid)
    other["a/0"] = b"changed"
    assert store != other
    other.freeze()
    assert store != other
    other["a/0"] = b"zero"
    other.freeze()
    assert store == other
    assert IPLDStore(castore) == IPLDStore(castore)
    assert IPLDStore(castore) != store
    assert (store == 5) is False
    assert (store == SOME) is False
    assert store != zarr.storage.MemoryStore()


def test_equal_roots_over_other_blocks_are_other_stores(castore: ContentAddressableStore, tmp_path: Any) -> None:
    store = written(SOME, castore)
    other = written(SOME, FileSystemCAStore(tmp_path / "elsewhere", fsync=False))
    assert store.freeze() == other.freeze()
    assert store != other


def test_a_store_has_no_hash() -> None:
    """A store is mutable, so it has no hash."""
    with pytest.raises(TypeError):
        hash(IPLDStore())


def test_repr_and_str(castore: ContentAddressableStore) -> None:
    assert repr(IPLDStore(castore)) == f"<IPLDStore without keys over {castore!r}>"
    store = written(SOME, castore)
    assert repr(store) == f"<IPLDStore with changes over {castore!r}>"
    assert str(store.freeze()) in repr(store)
    assert str(store.freeze()) in str(store)
    assert len(repr(written({f"a/{n}": b"%d" % n for n in range(100)}, castore))) < 300


def test_dask_tokens_are_of_contents_and_place(castore: ContentAddressableStore, tmp_path: Any) -> None:
    store = written(SOME, castore)
    unfrozen = store.__dask_tokenize__()
    store["a/0"] = b"other"
    assert store.__dask_tokenize__() != unfrozen
    store.freeze()
    token = store.__dask_tokenize__()
    assert token == IPLDStore(castore, root=store.root_cid).__dask_tokenize__()
    assert token != IPLDStore(FileSystemCAStore(tmp_path / "elsewhere", fsync=False)).__dask_tokenize__()
    assert written(SOME).__dask_tokenize__() != written(SOME).__dask_tokenize__()
    assert len(repr(token)) < 1000
    pickles = []

    class Big(ObservedCAStore):
        def __reduce__(self) -> Any:
            pickles.append(self)
            return super().__reduce__()

    IPLDStore(Big(MappingCAStore())).__dask_tokenize__()
    assert pickles == []


def test_clones_share_the_contents() -> None:
    store = written(SOME)
    reader = store.with_read_only(True)
    writer = reader.with_read_only(False)
    assert (reader.read_only, writer.read_only, store.read_only) == (True, False, False)
    assert not reader._is_open
    writer["a/2"] = b"two"
    assert reader["a/2"] == store["a/2"] == b"two"
    root = writer.freeze()
    assert store.root_cid == reader.root_cid == root
    store["a/3"] = b"three"
    assert reader.root_cid is None
    assert sorted(reader) == sorted(writer) == sorted(store)


def test_a_read_only_store_refuses_all_changes() -> None:
    store = written(SOME)
    root = store.freeze()
    reader = store.with_read_only(True)
    archive = written({"b": b"b"}).to_car()
    refused = r"store was opened in read-only mode and does not support writing"
    for change in (
        lambda: reader.__setitem__("a/9", b""),
        lambda: reader.__delitem__("a/0"),
        lambda: reader.mapping.__setitem__("a/9", b""),
        lambda: reader.mapping.update({"a/9": b""}),
        lambda: reader.mapping.__delitem__("a/0"),
        lambda: reader.mapping.pop("a/0"),
        reader.mapping.clear,
        lambda: reader.mapping.setdefault("a/9", b""),
        lambda: reader.set_sync("a/9", zarr.core.buffer.cpu.Buffer.from_bytes(b"")),
        lambda: reader.delete_sync("a/0"),
        lambda: reader.import_car(archive),
        reader.canonicalize,
    ):
        with pytest.raises(ValueError, match=refused):
            change()
    assert reader.freeze() == root
    assert reader.to_car() == store.to_car()
    assert contents(store) == SOME


async def test_a_read_only_store_refuses_all_changes_of_zarr() -> None:
    reader = written(SOME).with_read_only(True)
    buffer = zarr.core.buffer.cpu.Buffer.from_bytes(b"")
    for change in (
        reader.set("a/9", buffer),
        reader.set_if_not_exists("a/9", buffer),
        reader.set_if_not_exists("a/0", buffer),
        reader.delete("a/0"),
        reader.delete_dir("a"),
        reader.clear(),
    ):
        with pytest.raises(ValueError, match="read-only mode"):
            await change
    assert contents(reader) == SOME


def test_a_read_only_store_goes_to_another_root_unless_a_writer_would_lose_changes() -> None:
    store = written(SOME)
    root = store.freeze()
    store["a/9"] = b"nine"
    newer = store.freeze()
    reader = IPLDStore(store.castore, root=root, read_only=True)
    reader.set_root(newer)
    assert reader["a/9"] == b"nine"
    view = store.with_read_only(True)
    store["a/10"] = b"ten"
    with pytest.raises(ValueError, match="read-only mode"):
        view.set_root(root)
    assert store["a/10"] == b"ten"


def test_canonicalize_gives_the_root_of_a_new_store(castore: ContentAddressableStore) -> None:
    expected = written(SOME).freeze()
    # All that is embedded is linked here, and one name is an empty map.
    leaf = castore.put({"0": link_at(castore, written(SOME, castore).freeze(), "a", "0")})
    odd = castore.put({"a": leaf, "nothing": {}})
    store = IPLDStore(castore, root=odd)
    assert contents(store) == {"a/0": b"zero"}
    for key, data in SOME.items():
        store[key] = data
    assert store.canonicalize() == expected
    assert store.root_cid == expected
    assert contents(store) == SOME
    assert store.canonicalize() == expected


def test_zarr_opens_a_store_by_its_root(castore: ContentAddressableStore) -> None:
    store = IPLDStore(castore)
    array = zarr.create_array(store, name="a", shape=(4,), chunks=(2,), dtype="i4")
    array[:] = [1, 2, 3, 4]
    root = store.freeze()
    array[0] = 9
    assert zarr.open_array(IPLDStore(castore, root=root), path="a", mode="r")[:].tolist() == [1, 2, 3, 4]
    assert zarr.open_array(store, path="a", mode="r")[:].tolist() == [9, 2, 3, 4]
    assert np.array_equal(array[:], [9, 2, 3, 4])
