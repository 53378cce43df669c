"""Hostile roots in the forms of other makers: an error that names a block, never a wrong answer or a hang."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import cids, dagcbor, dagpb, hashes, unixfs
from ipld_car.unixfs.hamt import name_hash
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError

blake3: Any = pytest.importorskip("blake3", reason="an extra of this package: pip install 'ipldstore[blake3]'")

MISSING = cids.make(cids.RAW, bytes(32))
KEYS = ["a", "b", "a/b", "a/0", "temp/c/0", "temp/c/1", "zarr.json", ".zarray", "x/y/z"]


class Blocks:
    """Blocks that are what their CIDs say, whatever stands in them."""

    def __init__(self) -> None:
        self.castore = MappingCAStore()

    def put(self, codec: int, data: bytes) -> bytes:
        cid = cids.make(codec, hashes.sha2_256(data))
        self.castore.put_block(cids.from_validated(cid), data)
        return cid

    def raw(self, data: bytes) -> bytes:
        return self.put(cids.RAW, data)

    def pb(self, links: list[unixfs.PBLink], message: bytes) -> bytes:
        return self.put(cids.DAG_PB, dagpb.encode(links, message))

    def cbor(self, value: Any) -> bytes:
        return self.put(cids.DAG_CBOR, dagcbor.encode_node(value))


def check(blocks: Blocks, root: bytes) -> None:
    """Read all of it: what is found agrees with what is listed, and every error names a block."""
    known = [*blocks.castore.mapping, cids.to_text(MISSING)]

    def attempt(action: Callable[[], Any]) -> tuple[Any, bool]:
        try:
            return action(), True
        except IPLDStoreError as error:
            found = error
        assert not isinstance(found, (KeyError, OSError, ValueError))
        assert any(cid in str(found) for cid in known), found
        return None, False

    store, opened = attempt(lambda: IPLDStore(blocks.castore, root=root))
    if not opened:
        return
    listed, complete = attempt(lambda: list(islice(store, 300)))
    for key in [*KEYS, *(listed or [])]:
        is_there, known_to_be = attempt(partial(store.mapping.__contains__, key))
        value, _ = attempt(partial(store.mapping.get, key))
        if known_to_be:
            assert value is None or is_there
        if complete and len(listed) < 300 and known_to_be:
            assert is_there == (key in listed), key
        part, has_part = attempt(partial(store.get_sync, key))
        assert not has_part or (part is None) == (not is_there)
    if complete and len(listed) < 300:
        assert len(listed) == len(set(listed))
        names, _ = attempt(lambda: list(store._data.names("")))
        foreign = store._data.tree.foreign
        if names is not None and foreign is not None and not foreign.what.startswith("a UnixFS"):
            assert set(names) == {key.partition("/")[0] for key in listed}


# -- UnixFS --

NAMES = st.sampled_from(["a", "b", "0", "temp", "c", "zarr.json", "..", ".", "", "a/b", "x\0", "é"])
MESSAGES = {
    "directory": b"\x08\x01",
    "file": b"\x08\x02\x12\x05hello\x18\x05",
    "file with a false size": b"\x08\x02\x12\x05hello\x18\x09",
    "symlink": b"\x08\x04\x12\x01a",
    "type 3": b"\x08\x03",
    "no message": b"",
}


def shard_message(bits: int, fanout: int = 256, hash_type: int = 0x22) -> bytes:
    data = bits.to_bytes((bits.bit_length() + 7) // 8)
    fields: list[tuple[int, bytes | int]] = [(1, 5), (2, data), (5, hash_type), (6, fanout)]
    return b"".join(dagpb.encode_field(number, value) for number, value in fields)


@st.composite
def directories(draw: st.DrawFn) -> tuple[Blocks, bytes]:
    """Blocks of UnixFS that link each other at random; the last one is the root."""
    blocks = Blocks()
    made = [blocks.raw(b"value"), blocks.raw(b""), MISSING, blocks.cbor({}), blocks.put(cids.DAG_PB, b"\xff")]
    targets = st.sampled_from(range(100)).map(lambda at: made[at % len(made)])
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from([*MESSAGES, "shard", "shard", "directory", "directory", "sizes"]))
        if kind == "shard":
            links, bits = {}, 0
            for name in draw(st.lists(NAMES, max_size=4)):
                good = draw(st.booleans())
                slot = name_hash(name) >> 56 if good else draw(st.integers(0, 255))
                label = f"{slot:02X}{name if draw(st.booleans()) or good else ''}"
                links[slot] = unixfs.PBLink(draw(targets), label, draw(st.integers(0, 9)))
                bits |= 1 << slot
            bits ^= draw(st.sampled_from([0, 0, 0, 0, 1]))
            fanout = draw(st.sampled_from([256, 256, 256, 16, 7]))
            made.append(blocks.pb([links[slot] for slot in sorted(links)], shard_message(bits, fanout)))
            continue
        links_below = [
            unixfs.PBLink(draw(targets), name, draw(st.integers(0, 2**40)))
            for name in draw(st.lists(NAMES, max_size=4))
        ]
        message = MESSAGES.get(kind, b"")
        if kind == "sizes":
            fields: list[tuple[int, bytes | int]] = [
                (1, 2),
                (3, 10),
                *((4, draw(st.integers(0, 10))) for _ in links_below),
            ]
            message = b"".join(dagpb.encode_field(number, value) for number, value in fields)
        made.append(blocks.pb(links_below, message))
    return blocks, made[-1]


@given(directories())
def test_directories(made: tuple[Blocks, bytes]) -> None:
    check(*made)


def test_directories_that_stand_for_more_than_there_is() -> None:
    """Each links the next one many times, 63 levels deep, and there is nothing at the end."""
    blocks = Blocks()
    cid = blocks.pb([], MESSAGES["directory"])
    for _ in range(60):
        cid = blocks.pb([unixfs.PBLink(cid, str(number), 0) for number in range(100)], MESSAGES["directory"])
    assert list(IPLDStore(blocks.castore, root=cid)) == []
    value = unixfs.PBLink(blocks.raw(b"x"), "x", 1)
    cid = blocks.pb([value], MESSAGES["directory"])
    for _ in range(60):
        cid = blocks.pb([unixfs.PBLink(cid, str(number), 0) for number in range(100)], MESSAGES["directory"])
    assert len(list(islice(IPLDStore(blocks.castore, root=cid), 1000))) == 1000


def test_directories_too_deep() -> None:
    blocks = Blocks()
    cid = blocks.pb([unixfs.PBLink(blocks.raw(b"x"), "x", 1)], MESSAGES["directory"])
    for _ in range(2_000):
        cid = blocks.pb([unixfs.PBLink(cid, "d", 0)], MESSAGES["directory"])
    store = IPLDStore(blocks.castore, root=cid)
    assert "/".join(["d"] * 2_000 + ["x"]) not in store
    with pytest.raises(IPLDStoreError, match="at most 63 below the root"):
        list(store)


# -- HAMTs of py-hamt --


def slot_of(key: str, depth: int) -> int:
    return int(blake3.blake3(key.encode()).digest()[depth])


@st.composite
def hamts(draw: st.DrawFn, version: int = 3) -> tuple[Blocks, bytes]:
    """Nodes that link each other at random; keys mostly where they belong at the depth of their node."""
    blocks = Blocks()
    values = [blocks.raw(b"value"), blocks.raw(b"\x45value"), blocks.raw(b"\x46value"), MISSING, blocks.cbor({})]
    made: list[bytes] = []
    for depth in reversed(range(draw(st.integers(1, 3)))):
        buckets: dict[int, dict[str, Any]] = {}
        for key in draw(st.lists(st.sampled_from(KEYS), max_size=5, unique=True)):
            slot = slot_of(key, depth) if draw(st.integers(0, 9)) else draw(st.integers(0, 255))
            buckets.setdefault(slot, {})[key] = draw(st.sampled_from(values))
        children: dict[int, Any] = {}
        for key in draw(st.lists(st.sampled_from(KEYS), max_size=3, unique=True)) if made else ():
            slot = slot_of(key, depth)
            if slot not in buckets:
                children[slot] = draw(st.sampled_from(made))
        if version == 3:
            node: Any = [buckets.get(slot, {}) for slot in range(256)]
            for slot, link in children.items():
                node[slot] = [link] * draw(st.sampled_from([1, 1, 1, 1, 2]))
            if not draw(st.integers(0, 15)):
                node = node[:-1]
        else:
            node = {
                "B": {str(slot): [{key: link} for key, link in bucket.items()] for slot, bucket in buckets.items()},
                "L": {str(slot): link for slot, link in children.items()},
            }
            if not draw(st.integers(0, 15)):
                node["L"][draw(st.sampled_from(["256", "00", "-1", "x", "é"]))] = draw(st.sampled_from(values))
        made.append(blocks.cbor(node))
    return blocks, made[-1]


@given(hamts())
def test_hamts(made: tuple[Blocks, bytes]) -> None:
    check(*made)


@given(hamts(version=2))
def test_hamts_of_version_2(made: tuple[Blocks, bytes]) -> None:
    check(*made)


def test_hamts_that_stand_for_more_than_there_is() -> None:
    blocks = Blocks()
    cid = blocks.cbor([{}] * 256)
    for _ in range(31):
        cid = blocks.cbor([[cid]] * 256)
    with pytest.raises(IPLDStoreError, match="each node once"):
        list(IPLDStore(blocks.castore, root=cid))


def test_hamts_too_deep() -> None:
    blocks = Blocks()
    key = "temp/c/0"
    cid = blocks.cbor([{}] * 256)
    for depth in reversed(range(40)):
        node: list[Any] = [{}] * 256
        node[slot_of(key, depth % 32)] = [cid]
        cid = blocks.cbor(node)
    store = IPLDStore(blocks.castore, root=cid)
    for action in (lambda: key in store, lambda: list(store)):
        with pytest.raises(IPLDStoreError, match="at most 32 levels"):
            action()


# -- sharded stores of py-hamt --

ARRAY: dict[str, Any] = {"zarr_format": 3, "node_type": "array", "shape": [3, 2], "chunk_grid": {}}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, -1, 0, 1, 2**63, 10**6, "x", [], {}, [1], [1, 1], [0, 0], [2**62, 2**62], True, 1.5]
)


def honest(blocks: Blocks, version: int) -> dict[str, Any]:
    """Return a root as py-hamt writes it: a group, and an array of 3 x 2 chunks in shards of 4."""
    values = [blocks.raw(bytes([number])) for number in range(6)]
    shards = [blocks.cbor(values[:4]), blocks.cbor([values[4], None, None, None])]
    grid = {
        "array_shape": [3, 2],
        "chunk_shape": [1, 1],
        "sharding_config": {"chunks_per_shard": 4, "order": "C"},
        "shard_cids": shards,
    }
    document = blocks.raw(b'{"zarr_format":3,"node_type":"array","shape":[3,2],"chunks":[1,1]}')
    metadata = {"zarr.json": blocks.raw(b"{}"), "temp/zarr.json": document, "time/c/0": values[0]}
    if version == 1:
        return {"manifest_version": "sharded_zarr_v1", "metadata": metadata, "chunks": grid}
    return {"manifest_version": "sharded_zarr_v2", "metadata": metadata, "arrays": {"temp": grid}}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to all items of a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in [(*path, key), *places(item, (*path, key))]]


@given(st.data(), st.sampled_from([1, 2]))
def test_sharded_stores(data: st.DataObject, version: int) -> None:
    """One or two items of an honest root are replaced by others."""
    blocks = Blocks()
    root = honest(blocks, version)
    links = [MISSING, blocks.raw(b"v"), blocks.cbor([]), blocks.cbor([MISSING] * 4), blocks.cbor([None] * 4)]
    links += [blocks.cbor(["x"] * 4), blocks.cbor([blocks.cbor({})] * 4), blocks.pb([], MESSAGES["directory"])]
    for _ in range(data.draw(st.integers(0, 2))):
        *path, last = data.draw(st.sampled_from(places(root)))
        above = root
        for key in path:
            above = above[key]
        above[last] = deepcopy(data.draw(st.one_of(ODD, st.sampled_from(links))))  # a second change may be within it
    check(blocks, blocks.cbor(root))


@pytest.mark.parametrize("version", [1, 2])
def test_an_honest_one(version: int) -> None:
    """The samples of the test above are of what is read without any change."""
    blocks = Blocks()
    store = IPLDStore(blocks.castore, root=blocks.cbor(honest(blocks, version)))
    chunks = {f"temp/c/{number // 2}/{number % 2}": bytes([number]) for number in range(5)}
    assert {key: value for key, value in store.mapping.items() if key.startswith("temp/c")} == chunks
    assert "temp/c/2/1" not in store
    assert "temp/0.0" not in store
    assert store["time/c/0"] == b"\0"


def test_links_behind_the_last_chunk() -> None:
    blocks = Blocks()
    root = honest(blocks, 2)
    bad = blocks.cbor([blocks.raw(b"x")] * 4)
    root["arrays"]["temp"]["shard_cids"][1] = bad
    store = IPLDStore(blocks.castore, root=blocks.cbor(root))
    with pytest.raises(IPLDStoreError, match="behind the last chunk") as caught:
        list(store)
    assert cids.to_text(bad) in str(caught.value)


def test_a_list_over_1_mib_is_a_file() -> None:
    """As a node stores what py-hamt sends it: its root, and each list of links."""
    blocks = Blocks()
    value = blocks.raw(b"v")
    count = 40_000
    shard = dagcbor.encode_node([value] * count)
    put = lambda cid, data: blocks.castore.put_block(cids.from_validated(cid), data)  # noqa: E731  # short
    root = honest(blocks, 2)
    root["arrays"]["temp"] |= {
        "array_shape": [count, 2],
        "sharding_config": {"chunks_per_shard": count, "order": "C"},
        "shard_cids": [unixfs.build(shard, put), None],
    }
    assert len(shard) > 1 << 20
    encoded = dagcbor.encode_node(root)
    for cid in (blocks.put(cids.DAG_CBOR, encoded), unixfs.build(encoded, put, chunk_size=200)):
        store = IPLDStore(blocks.castore, root=cid)
        assert store["temp/c/19999/1"] == b"v"
        assert "temp/c/20000/0" not in store
        assert sum(1 for _ in store) == count + 3


# -- flat maps --


@given(st.data())
def test_flat_maps(data: st.DataObject) -> None:
    blocks = Blocks()
    good: list[Any] = [blocks.raw(b"value"), blocks.raw(b""), MISSING, {"zarr_format": 2}]
    bad: list[Any] = [blocks.cbor({}), blocks.pb([], MESSAGES["directory"]), {}, [], None, "text", 7]
    found = data.draw(
        st.dictionaries(st.sampled_from([*KEYS, "", "a//b", "../x", "__ipld_x/y"]), st.sampled_from(good))
    )
    is_bad = data.draw(st.booleans())
    if found and is_bad:
        found[data.draw(st.sampled_from(list(found)))] = data.draw(st.sampled_from(bad))
    check(blocks, blocks.cbor(found))
