"""Incomplete archives: of the changes since a root, and those that lack blocks."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import ipldstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarReader, CarWriter
from ipld_castore import ContentAddressableStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID

from ..support.store_samples import ObservedCAStore, all_blocks, contents, damage, link_at, written

STEPS, WIDTH = 60, 40
ARRAY = b'{"zarr_format":3,"node_type":"array","shape":[60,40]}'


def car(root: CID, blocks: list[tuple[CID, bytes]]) -> bytes:
    stream = io.BytesIO()
    with CarWriter(stream, [root]) as writer:
        for cid, data in blocks:
            writer.write(cid, data)
    return stream.getvalue()


def grid(castore: ContentAddressableStore | None = None) -> IPLDStore:
    """An array whose index has several leaves, all chunks different, beside a group that stays as it is."""
    store = IPLDStore(castore)
    store["a/zarr.json"] = ARRAY
    for step in range(STEPS):
        put_step(store, step)
    for number in range(20):  # each a block of its own
        store[f"group/v{number}/.zattrs"] = b'{"number":%d,"history":"%s"}' % (number, b"x" * 1100)
    return store


def put_step(store: IPLDStore, step: int) -> None:
    for x in range(WIDTH):
        store[f"a/c/{step}/{x}"] = b"%d/%d" % (step, x)


def is_raw(cid: CID) -> bool:
    return cid.codec.name == "raw"


# -- since another root --


def test_an_appended_step() -> None:
    """Sent are its chunks, and the nodes above them; read is no chunk that was there, nor what did not change."""
    observed = ObservedCAStore(MappingCAStore())
    store = grid(observed)
    old = store.freeze()
    mirror = IPLDStore.from_car(store.to_car())
    put_step(store, STEPS)
    new = store.freeze()
    observed.forget()
    archive = store.to_car(since=old)
    blocks = list(CarReader(archive))
    assert {block.data for block in blocks if is_raw(block.cid)} == {b"%d/%d" % (STEPS, x) for x in range(WIDTH)}
    assert sum(not is_raw(block.cid) for block in blocks) <= 4
    assert sum(map(is_raw, observed.got)) == WIDTH
    assert len(observed.got) - WIDTH <= 12
    mirror.import_car(archive)
    assert mirror.freeze() == new
    assert contents(mirror) == contents(store)


def test_a_value_of_several_blocks(castore: ContentAddressableStore) -> None:
    store = IPLDStore(castore)
    value = os.urandom((5 << 19) + 5)
    store["big"] = value
    old = store.freeze()
    mirror = IPLDStore.from_car(store.to_car())
    store["big"] = value[:-1] + bytes([value[-1] ^ 1])
    archive = store.to_car(since=old)
    assert sorted(len(block.data) for block in CarReader(archive) if is_raw(block.cid)) == [(1 << 19) + 5]
    mirror.import_car(archive)
    assert contents(mirror) == contents(store)


def test_since_the_same_root_and_as_a_stream(castore: ContentAddressableStore) -> None:
    store = written({"a/0": b"zero"}, castore)
    root = store.freeze()
    mirror = IPLDStore.from_car(store.to_car())
    nothing = store.to_car(since=root)
    assert CarReader(nothing).roots == [root]
    assert list(CarReader(nothing)) == []
    mirror.import_car(nothing)
    assert mirror.root_cid == root
    store["a/1"] = b"one"
    stream = io.BytesIO()
    assert store.to_car(stream, since=str(root)) is None  # freezes first
    assert stream.getvalue() == store.to_car(since=bytes(root))
    assert CarReader(stream.getvalue()).roots == [store.root_cid]


def test_since_a_root_that_is_not_there(castore: ContentAddressableStore) -> None:
    """To take that for "nothing is known" would send everything without a word."""
    store = written({"a/0": b"zero"}, castore)
    absent = written({"b": b"other"}).freeze()
    with pytest.raises(IPLDStoreError, match=str(absent)):
        store.to_car(since=absent)
    with pytest.raises(IPLDStoreError, match="CID"):
        store.to_car(since="nonsense")


KEYS = st.sampled_from(["zarr.json", "a/zarr.json", "b", "b/c", *(f"a/c/{number}" for number in range(6))])
VALUES = st.sampled_from([b"", b"1", b"2", b"{}", b'{"node_type":"array"}', bytes((1 << 20) + 1)])
CONTENTS = st.dictionaries(KEYS, VALUES, max_size=8)


@given(CONTENTS, CONTENTS)
def test_both_ends_agree(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    store = written(before)
    old = store.freeze()
    mirror = IPLDStore.from_car(store.to_car())
    store.mapping.clear()
    store.mapping.update(after)
    archive = store.to_car(since=old)
    had = {cid for cid, _ in store.castore.get_dag(old)}
    assert not had & {block.cid for block in CarReader(archive)}
    mirror.import_car(archive)
    assert mirror.freeze() == store.freeze()
    assert contents(mirror) == after


# -- with blocks missing --


def lacking(store: IPLDStore, *lost: CID) -> bytes:
    """The archive of a store without some blocks."""
    root = store.freeze()
    return car(root, [(cid, data) for cid, data in store.castore.get_dag(root) if cid not in lost])


def test_an_archive_that_lacks_a_chunk(castore: ContentAddressableStore) -> None:
    source = written({"a/0": b"zero", "a/1": b"one"})
    root = source.freeze()
    lost = link_at(source.castore, root, "a", "1")
    archive = lacking(source, lost)
    store = written({"before": b"before"}, castore)
    before = store.freeze()
    with pytest.raises(IPLDStoreError, match=f"incomplete=True.*{lost}"):
        store.import_car(archive)
    assert store.root_cid == before
    with pytest.raises(IPLDStoreError, match=str(lost)):
        IPLDStore.from_car(archive)
    store.import_car(archive, incomplete=True)
    assert store.root_cid == root
    assert store["a/0"] == b"zero"
    with pytest.raises(IPLDStoreError, match=str(lost)):
        store["a/1"]
    assert IPLDStore.from_car(archive, incomplete=True)["a/0"] == b"zero"


def test_each_block_that_may_be_missing() -> None:
    """Of a node, a leaf of an index, a chunk, a part of a large value; only without its root nothing can be done."""
    source = grid()
    source["big"] = os.urandom((1 << 20) + 1)
    root = source.freeze()
    raw = [cid for cid, _ in source.castore.get_dag(root) if is_raw(cid)]
    nodes = [cid for cid, _ in source.castore.get_dag(root) if not is_raw(cid)]
    assert len(nodes) > 5
    for lost in [root, *random.Random(1).sample(nodes[1:], 5), *random.Random(1).sample(raw, 3)]:
        archive = lacking(source, lost)
        castore = MappingCAStore()
        store = IPLDStore(castore)
        with pytest.raises(IPLDStoreError, match=str(lost)):
            store.import_car(archive)
        assert store.root_cid is None
        if lost == root:
            with pytest.raises(IPLDStoreError, match=str(lost)):
                store.import_car(archive, incomplete=True)
        else:
            store.import_car(archive, incomplete=True)
            assert store.root_cid == root
    castore.put_block(lost, source.castore.get_raw(lost))  # what is there already counts
    store.import_car(archive)
    assert contents(store) == contents(source)


def test_what_is_there_counts_whoever_put_it() -> None:
    """The root that an archive was made since need not be the present one."""
    castore = MappingCAStore()
    source = grid()
    old = source.freeze()
    castore.import_car(source.to_car())
    put_step(source, STEPS)
    archive = source.to_car(since=old)
    for present in (IPLDStore(castore), written({"other": b"x"}, castore), IPLDStore(castore, root=old)):
        present.import_car(archive, discard_changes=True)
        assert present.freeze() == source.freeze()
        assert contents(present) == contents(source)


def test_what_is_read_and_asked_for() -> None:
    """Of a whole archive its nodes, and nothing is asked; of an increment also what it links and has not."""
    source = grid()
    old = source.freeze()
    observed = ObservedCAStore(MappingCAStore())
    store = IPLDStore(observed)
    store.import_car(source.to_car())
    nodes = {cid for cid, _ in source.castore.get_dag(old) if not is_raw(cid)}
    assert observed.asked == []
    assert set(observed.got) <= nodes
    assert len(observed.got) <= len(nodes) + 1  # the root is opened, too
    put_step(source, STEPS)
    observed.forget()
    store.import_car(source.to_car(since=old))
    assert not any(map(is_raw, observed.got))
    assert len(observed.got) <= 14
    assert observed.asked == []  # all that is not in the archive is in the present contents
    other = ObservedCAStore(observed.inner)
    IPLDStore(other).import_car(source.to_car(since=old))
    assert {cid for cid in other.asked if is_raw(cid)} == {cid for cid, _ in source.castore.get_dag(old) if is_raw(cid)}


def test_a_gap_below_what_is_there() -> None:
    """An import that was cut short leaves nodes without what they link: that they are there proves nothing."""
    source = grid()
    old = source.freeze()
    lost = next(cid for cid, data in source.castore.get_dag(old) if data == b"3/3")
    store = IPLDStore()
    store.import_car(lacking(source, lost), incomplete=True)
    put_step(source, STEPS)
    archive = source.to_car(since=old)
    for present in (store, IPLDStore(store.castore)):
        with pytest.raises(IPLDStoreError, match=str(lost)):
            present.import_car(archive)
    assert store.root_cid == old
    store.castore.put_block(lost, b"3/3")
    store.import_car(archive)
    assert contents(store) == contents(source)


def test_a_gap_is_remembered_when_it_was_closed(tmp_path: Path) -> None:
    """A root that is opened, or set, may be one that was imported incomplete."""
    source = grid()
    old = source.freeze()
    lost = next(cid for cid, data in source.castore.get_dag(old) if data == b"3/3")
    path = tmp_path / "mirror.car"
    with ipldstore.open(path, "a", fsync=False) as store:
        store.import_car(lacking(source, lost), incomplete=True)
    put_step(source, STEPS)
    archive = source.to_car(since=old)
    with ipldstore.open(path, "a", fsync=False) as store:
        with pytest.raises(IPLDStoreError, match=str(lost)):
            store.import_car(archive)
        store.set_root(old)
        with pytest.raises(IPLDStoreError, match=str(lost)):
            store.import_car(archive)
        assert store.root_cid == old
        store.castore.put_block(lost, b"3/3")
        store.import_car(archive)
    with ipldstore.open(path) as store:
        assert contents(store) == contents(source)


@pytest.mark.parametrize("local", [True, False])
def test_what_is_asked_for_below_a_root_that_was_opened(*, local: bool) -> None:
    """On this machine everything, once; far away what the archive links and the root has not."""
    source = grid()
    old = source.freeze()
    castore = MappingCAStore()
    castore.import_car(source.to_car())
    observed = ObservedCAStore(castore)
    observed.local = local
    store = IPLDStore(observed, root=old)
    put_step(source, STEPS)
    first = source.to_car(since=old)
    middle = source.freeze()
    store.import_car(first)
    assert bool(observed.asked) == local
    put_step(source, STEPS + 1)
    observed.forget()
    store.import_car(source.to_car(since=middle))
    assert observed.asked == []
    assert contents(store) == contents(source)


def test_a_whole_archive_over_a_present_root_that_is_broken() -> None:
    """What the present contents lack is no obstacle to others; that it heals them is the point of importing."""
    castore = MappingCAStore()
    store = grid(castore)
    archive = store.to_car()
    root = store.freeze()
    put_step(store, STEPS)
    damage(castore, link_at(castore, store.freeze(), "group", "v7"), "missing")
    IPLDStore(castore, root=store.freeze()).import_car(archive)
    opened = IPLDStore(castore, root=store.freeze())
    opened.import_car(archive)
    assert opened.root_cid == root
    assert len(contents(opened)) == STEPS * WIDTH + 21


@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_blocks_that_nobody_asked_for(seed: int) -> None:
    """As a file has them that was written to: chunks first, root last, and what older roots had."""
    source = grid()
    old = source.freeze()
    put_step(source, STEPS)
    dangling = source.castore.put({"absent": CID.decode("bafkreihc4ibtvz7btvualgou5mfbgwncwshmlovmoudgyml7x6crlhcu54")})
    root = source.freeze()
    blocks = [(cid, source.castore.get_raw(cid)) for cid in all_blocks(source.castore)]
    assert {old, dangling} < {cid for cid, _ in blocks}
    random.Random(seed).shuffle(blocks)
    store = IPLDStore.from_car(car(root, blocks + blocks[:100]))
    assert store.freeze() == root
    assert contents(store) == contents(source)


def test_what_a_damaged_increment_leaves() -> None:
    """The contents are what they were, and a second try with the whole archive succeeds."""
    source = grid()
    old = source.freeze()
    store = IPLDStore()
    store.import_car(source.to_car())
    put_step(source, STEPS)
    archive = source.to_car(since=old)
    for cut in range(0, len(archive), 997):
        with pytest.raises((ValueError, IPLDStoreError)):
            store.import_car(archive[:cut])
        assert store.root_cid == old
    store.import_car(archive)
    assert contents(store) == contents(source)
