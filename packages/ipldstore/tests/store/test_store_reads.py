"""What zarr's verbs read: parts of values, sizes and listings, and which blocks that costs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_castore import ContentAddressableStore, MappingCAStore
from ipldstore import IPLDStore
from multiformats import CID
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, cpu, default_buffer_prototype
from zarr.core.sync import sync

from ..support.store_samples import ObservedCAStore, link_at, node_at, written, zarr

PROTOTYPE = default_buffer_prototype()
MIB = 1 << 20
LARGE = os.urandom(5 * MIB // 2)  # three leaves


async def listed(names: AsyncIterator[str]) -> list[str]:
    return sorted([name async for name in names])


# -- parts of values --

VALUES = {"a/0": b"0123456789", "a/1": b"", "a/2": LARGE, "a/.zarray": b'{"shape":[3]}'}
POSITIONS = st.one_of(
    st.integers(0, 20),
    st.sampled_from([MIB - 1, MIB, MIB + 1, 2 * MIB, len(LARGE) - 1, len(LARGE), len(LARGE) + 1, 2**62]),
)
STORE = written(VALUES)


@given(
    key=st.sampled_from(sorted(VALUES)),
    wanted=st.one_of(
        st.none(),
        st.tuples(POSITIONS, POSITIONS).map(lambda pair: RangeByteRequest(min(pair), max(pair))),
        POSITIONS.map(OffsetByteRequest),
        POSITIONS.map(SuffixByteRequest),
    ),
)
def test_a_part_is_that_of_the_whole(key: str, wanted: ByteRequest | None) -> None:
    """A range of a value is what slicing gives, clamped, by the async and the sync verbs."""
    data = VALUES[key]
    match wanted:
        case RangeByteRequest(start, end):
            expected = data[start:end]
        case OffsetByteRequest(offset):
            expected = data[offset:]
        case SuffixByteRequest(suffix):
            expected = data[max(len(data) - suffix, 0) :]
        case _:
            expected = data
    found = sync(STORE.get(key, PROTOTYPE, wanted))
    assert found is not None
    assert found.to_bytes() == expected
    at_once = STORE.get_sync(key, byte_range=wanted)
    assert at_once is not None
    assert at_once.to_bytes() == expected


@pytest.mark.parametrize("wrong", [(0, 2), 5, "bytes=0-2", slice(0, 2), [1], {}], ids=repr)
async def test_other_ranges_are_refused(wrong: Any) -> None:
    for key in VALUES:
        with pytest.raises((ValueError, TypeError), match="Unexpected byte_range, got"):
            await STORE.get(key, PROTOTYPE, wrong)
        with pytest.raises((ValueError, TypeError), match="Unexpected byte_range, got"):
            STORE.get_sync(key, byte_range=wrong)
        with pytest.raises((ValueError, TypeError), match="Unexpected byte_range, got"):
            await STORE.get_partial_values(PROTOTYPE, [(key, wrong)])


async def test_a_part_from_the_end_is_that_of_the_verified_bytes() -> None:
    """Whatever size the backend told, as one does that has the block twice, once damaged and shorter."""

    class Lying(MappingCAStore):
        def block_size(self, cid: CID) -> int:
            return super().block_size(cid) - 60

    castore = Lying()
    castore.blocking = True  # where nothing is read at once
    store = written({"a/0": bytes(range(100))}, castore)
    found = await store.get("a/0", PROTOTYPE, SuffixByteRequest(16))
    assert found is not None
    assert found.to_bytes() == bytes(range(84, 100))


async def test_a_part_of_an_absent_key_is_absent() -> None:
    for wanted in (None, RangeByteRequest(0, 2), OffsetByteRequest(1), SuffixByteRequest(1)):
        assert await STORE.get("a/9", PROTOTYPE, wanted) is None
        assert await STORE.get("a/0/deeper", PROTOTYPE, wanted) is None
        assert STORE.get_sync("b", byte_range=wanted) is None


async def test_partial_values_come_in_order() -> None:
    wanted: list[tuple[str, ByteRequest | None]] = [
        ("a/2", SuffixByteRequest(3)),
        ("a/9", None),
        ("a/0", RangeByteRequest(2, 4)),
        ("a/0", None),
        ("a/2", RangeByteRequest(MIB - 1, MIB + 1)),
    ]
    found = await STORE.get_partial_values(PROTOTYPE, iter(wanted))
    expected = [LARGE[-3:], None, b"23", b"0123456789", LARGE[MIB - 1 : MIB + 1]]
    assert [None if buffer is None else buffer.to_bytes() for buffer in found] == expected
    assert await STORE.get_partial_values(PROTOTYPE, []) == []


async def test_a_buffer_of_the_prototype_asked_for() -> None:
    class Mine(cpu.Buffer):
        pass

    prototype = PROTOTYPE._replace(buffer=Mine)
    for key in VALUES:
        assert type(await STORE.get(key, prototype)) is Mine
        assert type(STORE.get_sync(key, prototype=prototype)) is Mine
        assert isinstance(await STORE.get(key, PROTOTYPE), Buffer)


async def test_the_caller_keeps_its_buffer(castore: ContentAddressableStore) -> None:
    """The store keeps the bytes that it was given, whatever the caller writes into the array later."""
    store = IPLDStore(castore)
    for size in (10, 3 * MIB):
        array = np.zeros(size, "u1")
        await store.set("a/0", cpu.Buffer.from_array_like(array))
        store.set_sync("a/1", cpu.Buffer.from_array_like(array))
        array[:] = 1
        assert store["a/0"] == store["a/1"] == bytes(size)


async def test_only_buffers_are_values() -> None:
    store = IPLDStore()
    for wrong in (b"bytes", bytearray(2), np.zeros(3), "text", None, 5):
        with pytest.raises(TypeError):
            await store.set("a", wrong)  # type: ignore[arg-type]  # the wrong type is what is tested
        with pytest.raises(TypeError):
            await store.set_if_not_exists("a", wrong)  # type: ignore[arg-type]  # the wrong type is what is tested
        with pytest.raises(TypeError):
            store.set_sync("a", wrong)  # type: ignore[arg-type]  # the wrong type is what is tested
    assert len(store) == 0


# -- which blocks that costs --


@pytest.fixture
def large() -> tuple[ObservedCAStore, IPLDStore, list[Any]]:
    """A value of three leaves, read by a store that knows nothing yet; and the CIDs of its blocks."""
    castore = ObservedCAStore(MappingCAStore())
    root = written({"a/0": LARGE, "a/.zarray": b"{}"}, castore).freeze()
    blocks = [cid for cid, _ in castore.get_dag(link_at(castore, root, "a", "0"))]
    assert len(blocks) == 4
    store = IPLDStore(castore, root=root)
    castore.forget()
    return castore, store, blocks


@pytest.mark.parametrize(
    ("wanted", "leaves"),
    [
        (RangeByteRequest(0, 10), [1]),
        (RangeByteRequest(0, MIB), [1]),
        (RangeByteRequest(MIB, MIB + 1), [2]),
        (RangeByteRequest(MIB - 1, MIB + 1), [1, 2]),
        (RangeByteRequest(2 * MIB + 5, 2 * MIB + 6), [3]),
        (OffsetByteRequest(2 * MIB), [3]),
        (OffsetByteRequest(2 * MIB - 1), [2, 3]),
        (SuffixByteRequest(1), [3]),
        (SuffixByteRequest(16), [3]),
        (SuffixByteRequest(MIB), [2, 3]),
        (RangeByteRequest(len(LARGE), len(LARGE) + 5), []),
        (RangeByteRequest(7, 7), []),
        (SuffixByteRequest(0), []),
        (None, [1, 2, 3]),
    ],
    ids=repr,
)
async def test_a_part_of_a_large_value_reads_only_its_leaves(
    large: tuple[ObservedCAStore, IPLDStore, list[Any]], wanted: ByteRequest | None, leaves: list[int]
) -> None:
    castore, store, blocks = large
    await store.get("a/0", PROTOTYPE, wanted)
    assert {str(cid) for cid in castore.got} - {str(blocks[0])} == {str(blocks[leaf]) for leaf in leaves}
    assert len(castore.got) <= len(leaves) + 2


async def test_getsize_reads_no_chunk(large: tuple[ObservedCAStore, IPLDStore, list[Any]]) -> None:
    castore, store, blocks = large
    assert await store.getsize("a/0") == len(LARGE)
    assert {str(cid) for cid in castore.got} <= {str(blocks[0])}  # the size stands there
    assert await store.getsize("a/.zarray") == 2
    small = IPLDStore(castore)
    small["a"] = bytes(MIB)
    castore.forget()
    assert await small.getsize("a") == MIB
    assert castore.got == []


async def test_getsize_of_an_absent_key() -> None:
    for key in ("a/9", "a", "", "a/", "__ipld_x"):
        with pytest.raises(FileNotFoundError):
            await STORE.getsize(key)


async def test_exists_reads_no_chunk(large: tuple[ObservedCAStore, IPLDStore, list[Any]]) -> None:
    castore, store, _ = large
    assert await store.exists("a/0")
    assert not await store.exists("a/1")
    assert not await store.exists("a")
    assert not await store.exists("")
    assert castore.got == []


@pytest.fixture
def indexed() -> tuple[ObservedCAStore, Any]:
    """Twenty arrays in two groups, with an index each, and their root."""
    castore = ObservedCAStore(MappingCAStore())
    store = IPLDStore(castore)
    for group in ("g", "h"):
        zarr.create_group(store, path=group)
        for name in range(10):
            zarr.create_array(store, name=f"{group}/{name}", shape=(3000,), chunks=(1,), dtype="i4")
            for chunk in range(0, 3000, 1 + (name > 0) * 9):
                store[f"{group}/{name}/c/{chunk}"] = b"%d" % chunk
    root = store.freeze()
    assert node_at(castore, root, "g", "3", "__ipld_chunks__")
    castore.forget()
    return castore, root


async def test_listing_a_group_reads_no_chunk_index(indexed: tuple[ObservedCAStore, Any]) -> None:
    castore, root = indexed
    store = IPLDStore(castore, root=root)
    assert await listed(store.list_dir("")) == ["g", "h", "zarr.json"]
    assert await listed(store.list_dir("g")) == [*map(str, range(10)), "zarr.json"]
    assert await listed(store.list_dir("g/")) == [*map(str, range(10)), "zarr.json"]
    castore_reads = len(castore.got)
    assert castore_reads <= 3  # the root, and at most the group; its arrays are links
    group = zarr.open_group(store, path="g", mode="r", use_consolidated=False)
    assert sorted(group.array_keys()) == [*map(str, range(10))]
    leaves = {str(link_at(castore.inner, root, "g", str(name), "__ipld_chunks__", 0, 1)) for name in range(10)}
    assert not leaves & {str(cid) for cid in castore.got}


async def test_deleting_an_array_reads_no_leaf(indexed: tuple[ObservedCAStore, Any]) -> None:
    castore, root = indexed
    store = IPLDStore(castore, root=root)
    leaves = {
        str(part[1].set(base="base32"))
        for name in range(10)
        for part in node_at(castore.inner, root, "g", str(name), "__ipld_chunks__")
    }
    await store.delete_dir("g/0")
    assert not await store.exists("g/0/c/17")
    assert await listed(store.list_dir("g/0")) == []
    del zarr.open_group(store, path="g")["1"]
    await store.delete_dir("h/")
    new = store.freeze()
    assert not leaves & {str(cid) for cid in castore.got}
    assert len(castore.got) <= 8
    expected = IPLDStore(castore.inner, root=root)
    for key in list(expected):
        if key.startswith(("g/0/", "g/1/", "h/")):
            del expected[key]
    assert expected.freeze() == new


async def test_reading_a_chunk_reads_at_most_four_blocks_from_its_group(indexed: tuple[ObservedCAStore, Any]) -> None:
    castore, root = indexed
    store = IPLDStore(castore, root=root)
    castore.forget()
    assert await store.get("g/0/c/2999", PROTOTYPE) is not None
    assert len(castore.got) <= 4
    castore.forget()
    assert store["g/0/c/2998"] == b"2998"
    assert len(castore.got) == 1  # its index is known by now


# -- listings --

TREE = {
    "zarr.json": b"{}",
    "g/zarr.json": b"{}",
    "g/a/zarr.json": b'{"node_type":"array"}',
    **{f"g/a/c/{row}/{column}": b"%d" % row for row in range(12) for column in range(12)},
    "g/ab/zarr.json": b"{}",
    "g/ab/c/0": b"0123456789",
    "g/a.b": b"0",
    "gg/zarr.json": b"{}",
}


@pytest.fixture(params=["changed", "frozen", "reopened"])
def tree(request: pytest.FixtureRequest, castore: ContentAddressableStore) -> IPLDStore:
    store = written(TREE, castore)
    if request.param == "changed":
        return store
    root = store.freeze()
    return store if request.param == "frozen" else IPLDStore(castore, root=root)


@pytest.mark.parametrize(
    "prefix", ["", "g", "g/", "g/a", "g/a/", "g/a/c", "g/a/c/1", "g/a/c/1/", "g/ab/c/0", "x", "g/a/x/"]
)
async def test_list_prefix_goes_by_the_text(tree: IPLDStore, prefix: str) -> None:
    """``g/a`` is the beginning of ``g/ab`` too."""
    assert await listed(tree.list_prefix(prefix)) == sorted(key for key in TREE if key.startswith(prefix))
    assert await listed(tree.list_prefix(prefix=prefix)) == sorted(key for key in TREE if key.startswith(prefix))


@pytest.mark.parametrize(
    "prefix", ["", "g", "g/a", "g/a/c", "g/a/c/1", "g/a/c/1/2", "g/ab", "x", "g/a/x", "g/zarr.json"]
)
async def test_directories_go_by_whole_parts(tree: IPLDStore, prefix: str) -> None:
    below = {key: data for key, data in TREE.items() if not prefix or key.startswith(f"{prefix}/")}
    start = len(prefix) + 1 if prefix else 0
    for spelled in {prefix, prefix + "/"} if prefix else {""}:
        assert await listed(tree.list_dir(spelled)) == sorted({key[start:].split("/")[0] for key in below})
        assert await tree.is_empty(spelled) == (not below)
        assert await tree.getsize_prefix(spelled) == sum(map(len, below.values()))
    await tree.delete_dir(prefix)
    assert sorted(tree) == sorted(TREE.keys() - below.keys())
    assert tree.freeze() == written({key: data for key, data in TREE.items() if key not in below}).freeze()


async def test_list(tree: IPLDStore) -> None:
    assert await listed(tree.list()) == sorted(TREE)
    await tree.clear()
    assert await listed(tree.list()) == []
    assert await tree.is_empty("")
    assert tree.freeze() == IPLDStore().freeze()


async def test_a_listing_that_is_not_finished(tree: IPLDStore) -> None:
    """A listing streams, and a caller may stop reading it."""
    async for name in tree.list():
        assert name in TREE
        break
    async for name in tree.list_dir("g/a/c"):
        assert name.isdigit()
        break


async def test_a_listing_while_the_store_changes(tree: IPLDStore) -> None:
    names = []
    async for name in tree.list():
        names.append(name)
        if len(names) % 100 == 1:
            await tree.set(f"new/{len(names)}", cpu.Buffer.from_bytes(b"new"))
            await tree.delete(name)
            tree.freeze()
    assert len(names) == len(set(names))
    assert sorted(names) == sorted(TREE)


async def test_set_if_not_exists(castore: ContentAddressableStore) -> None:
    store = written(TREE, castore)
    root = store.freeze()
    new = cpu.Buffer.from_bytes(b"new")
    for key in ("zarr.json", "g/a/c/3/4", "g/ab/c/0"):
        await store.set_if_not_exists(key, new)
        assert store[key] == TREE[key]
    assert store.root_cid == root
    await store.set_if_not_exists("g/a/c/12/12", new)
    assert store["g/a/c/12/12"] == b"new"
    await store.delete("g/ab/c/0")
    await store.set_if_not_exists("g/ab/c/0", new)
    assert store["g/ab/c/0"] == b"new"


async def test_deleting_what_is_absent_is_silent() -> None:
    store = written(TREE)
    root = store.freeze()
    for key in ("x", "g/a", "g/a/c/99/99", "", "/", "a//b", "__ipld_x__"):
        await store.delete(key)
        store.delete_sync(key)
    for prefix in ("x", "g/a/c/99", "zarr.json", "g/a/x/y"):
        await store.delete_dir(prefix)
    assert store.freeze() == root
