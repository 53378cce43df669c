"""Datasets pushed and pulled: what is missing, all of it, and nothing that is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from ipld_car import binary_links
from ipld_castore import (
    BlockNotFoundError,
    ContentAddressableStore,
    FileSystemCAStore,
    MappingCAStore,
    TieredCAStore,
    Transferred,
    transfer,
)
from ipldstore import IPLDStore, IPLDStoreError, Repository, pull, push
from multiformats import CID

from ..support.store_samples import ObservedCAStore, contents, written

LARGE = bytes(range(256)) * 10_000
SOME = {f"air/c/{number // 60}/{number % 60}": b"%d" % number * 9 for number in range(4200)} | {
    "air/zarr.json": b'{"node_type":"array"}',
    "zarr.json": b'{"node_type":"group","attributes":{},"zarr_format":3}',
    "large": LARGE,
    "twice/a": b"the same",
    "twice/b": b"the same",
}


@pytest.fixture(scope="module")
def source() -> IPLDStore:
    store = written(SOME)
    store.freeze()
    return store


def test_a_dataset_stands_for_its_block_store(source: IPLDStore) -> None:
    """One layer down too: what takes block stores takes what is over them."""
    there, root = IPLDStore(), source.freeze()
    sent = transfer(root, source, there)
    assert sent == transfer(root, source.castore, MappingCAStore())
    assert contents(IPLDStore(there, root=root)) == SOME
    near = IPLDStore()
    assert contents(IPLDStore(TieredCAStore(near, there), root=root)) == SOME
    assert IPLDStore(near, root=root)["twice/a"] == b"the same"
    with pytest.raises(TypeError, match=r"expected a ContentAddressableStore or an IPLDStore, found dict"):
        transfer(root, source, {})  # type: ignore[arg-type]  # that is the mistake


class Far(ObservedCAStore):
    """A store that breaks down after some blocks."""

    def __init__(self, blocks: int = sys.maxsize) -> None:
        super().__init__(MappingCAStore())
        self.left = blocks

    def put_block(self, cid: CID, data: bytes) -> None:
        self.down = not self.left
        super().put_block(cid, data)
        self.left -= 1


@pytest.mark.covering(1)
@pytest.mark.parametrize("way", [push, pull])
@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_everything_arrives_once(source: IPLDStore, tmp_path: Path, way: type, kind: str) -> None:
    """Between any two kinds of stores; the second time there is nothing to do, and nearly nothing is asked."""
    there: ContentAddressableStore = MappingCAStore()
    if kind == "folder":
        there = FileSystemCAStore(tmp_path, fsync=False)
    observed = ObservedCAStore(there)
    root = source.freeze()
    blocks = dict(source.castore.get_dag(root))
    assert way(root, source.castore, observed) == Transferred(len(blocks), sum(map(len, blocks.values())))
    assert sorted(map(bytes, observed.put_cids)) == sorted(map(bytes, blocks))
    assert contents(IPLDStore(there, root=root)) == SOME
    observed.forget()
    assert way(str(root), source.castore, observed) == Transferred(0, 0)
    assert observed.put_cids == []


def test_pushing_has_the_root_kept(source: IPLDStore) -> None:
    class Keeping(ObservedCAStore):
        kept: CID | None = None

        def persist(self, root: CID, previous: CID | None = None) -> None:
            super().persist(root, previous)
            self.kept = root

    far, near = Keeping(MappingCAStore()), Keeping(MappingCAStore())
    push(source.freeze(), source.castore, far)
    pull(source.freeze(), source.castore, near)
    assert far.kept == source.root_cid
    assert near.kept is None


def test_a_new_version_costs_what_changed(source: IPLDStore) -> None:
    """Blocks that are there are not sent, and the blocks below them are not looked at."""
    far, observed = Far(), ObservedCAStore(source.castore)
    push(source.freeze(), source.castore, far)
    store = IPLDStore(observed, root=source.root_cid)
    store["air/c/90/0"] = b"one more"
    root = store.freeze()
    observed.forget()
    far.forget()
    sent = push(root, observed, far)
    assert sent.blocks == len(far.put_cids) <= 5
    assert len(observed.got) <= 5
    assert IPLDStore(far, root=root)["air/c/90/0"] == b"one more"
    assert IPLDStore(far, root=source.root_cid)["air/c/0/1"] == SOME["air/c/0/1"]


@pytest.mark.parametrize("blocks", [0, 1, 100, 3000])
def test_what_was_broken_off_goes_on(source: IPLDStore, blocks: int) -> None:
    """Nothing is sent twice, whenever the other end went away."""
    far = Far(blocks)
    with pytest.raises(IPLDStoreError, match="pushing: the disk is on fire"):
        push(source.freeze(), source.castore, far)
    far.down, far.left = False, sys.maxsize
    push(source.freeze(), source.castore, far)
    assert len(far.put_cids) == len(set(map(bytes, far.put_cids)))
    assert contents(IPLDStore(far, root=source.root_cid)) == SOME


def test_what_somebody_took_away_is_sent_again(source: IPLDStore) -> None:
    """A block that is there vouches for those below only until the end, where all are looked for."""
    far = Far()
    push(source.freeze(), source.castore, far)
    assert isinstance(far.inner, MappingCAStore)
    keys = sorted(far.inner.mapping)
    for key in keys[::7]:
        if key != str(source.root_cid):
            del far.inner.mapping[key]
    far.forget()
    push(source.freeze(), source.castore, far)
    assert len(far.put_cids) == pytest.approx(len(keys) / 7, abs=1)
    assert sorted(far.inner.mapping) == keys


def test_a_block_that_the_source_lacks(source: IPLDStore) -> None:
    """The error names the block, and the root does not arrive."""
    near = MappingCAStore(dict(source.castore.mapping)) if isinstance(source.castore, MappingCAStore) else None
    assert near is not None
    lost = next(key for key, data in near.mapping.items() if data == b"7" * 9)
    del near.mapping[lost]
    far = Far()
    with pytest.raises(IPLDStoreError, match=f"pushing: no block {lost}") as caught:
        push(source.freeze(), near, far)
    assert isinstance(caught.value.__cause__, BlockNotFoundError)
    assert source.freeze() not in far


@pytest.mark.parametrize("codec", ["bafkrei", "bafyrei", "bafybei"])
def test_wrong_bytes_are_not_passed_on(source: IPLDStore, codec: str) -> None:
    """No wrong chunk, node or file arrives."""
    assert isinstance(source.castore, MappingCAStore)
    near = MappingCAStore(dict(source.castore.mapping))
    bad = next(key for key in near.mapping if key.startswith(codec) and key != str(source.root_cid))
    near.mapping[bad] = b"evil"
    far = Far()
    with pytest.raises(IPLDStoreError, match=f"hash of {bad}"):
        push(source.freeze(), near, far)
    assert bad not in far


def test_a_store_that_forgets_is_found_out(source: IPLDStore) -> None:
    """At the end it must have all, whatever it said."""

    class Forgetful(MappingCAStore):
        def put_block(self, cid: CID, data: bytes) -> None:
            if not data.startswith(b"7"):
                super().put_block(cid, data)

    with pytest.raises(IPLDStoreError, match=r"no block .* below"):
        push(source.freeze(), source.castore, Forgetful())


def test_one_block_and_inline_blocks() -> None:
    """A dataset of one block; values whose CIDs hold them."""
    store = IPLDStore()
    far = MappingCAStore()
    assert push(store.freeze(), store.castore, far) == Transferred(1, 1)
    inline = far.put([1])
    near = MappingCAStore()
    root = near.put({"inline": CID("base32", 1, "raw", ("identity", b"x")), "other": near.put([1])})
    far.delete_block(inline)
    assert push(root, near, far).blocks == 2


def test_progress(source: IPLDStore, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar is shown where it is asked for. Elsewhere there is none, and tqdm is not imported."""
    push(source.freeze(), source.castore, MappingCAStore())
    assert capsys.readouterr().err == ""
    push(source.freeze(), source.castore, MappingCAStore(), progress=True)
    assert "pushing: 100%" in capsys.readouterr().err


class Counting(ObservedCAStore):
    """A store that counts what it is asked for many blocks at a time."""

    def __init__(self, inner: ContentAddressableStore, *, sends_graphs: bool = False) -> None:
        super().__init__(inner)
        self.calls: list[str] = []
        self.sends_graphs = sends_graphs

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        self.calls.append("has")
        return super().has_blocks(wanted)

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        self.calls.append("get")
        return super().get_blocks(wanted)

    def get_dag(self, root: CID | str | bytes) -> Iterator[tuple[CID, bytes]]:
        self.calls.append("dag")
        return super().get_dag(root)


def test_many_blocks_are_asked_for_at_once(source: IPLDStore) -> None:
    """All links of a level of nodes are one question. Leaves come with their node where graphs are one response."""
    for sends_graphs in (False, True):
        near, far = Counting(source.castore, sends_graphs=sends_graphs), Counting(MappingCAStore())
        push(source.freeze(), near, far)
        nodes = sum(not str(cid).startswith("bafkrei") for cid, _ in source.castore.get_dag(source.freeze()))
        levels = 3
        assert far.calls.count("has") <= 2 * levels + 2 < nodes + 4  # for the root, for levels, and at the end
        assert (3 <= near.calls.count("dag") < nodes) is sends_graphs


def test_a_long_history_is_sent_in_few_round_trips() -> None:
    """Commits lead far back by their jumps: many of them are on their way at a time, where each had to wait."""
    repo = Repository.create({})
    session = repo.writable_session()
    for number in range(200):
        session.store[f"a/{number}"] = b"%d" % number
        session.commit(f"commit {number}")
    near, far, here = Counting(repo.castore), Counting(MappingCAStore()), MappingCAStore()
    push(repo.cid, near, far)
    assert far.calls.count("has") + near.calls.count("get") + near.calls.count("dag") < 120
    far.calls.clear()
    pull(repo.cid, far, here)
    assert far.calls.count("get") + far.calls.count("dag") < 60
    assert Repository.open(repo.cid, castore=here).verify() == 201


def test_blocks_are_put_before_what_links_them_in_a_history() -> None:
    """A block that is there vouches for those below, wherever the transfer was broken off."""
    repo = Repository.create({})
    session = repo.writable_session()
    for number in range(40):
        session.store[f"a/{number}"] = b"%d" % number
        session.commit(f"commit {number}")
    repo.create_branch("exp", "main~7")
    commit_on(repo, "exp")
    repo.merge("exp")
    far = Far()
    push(repo.cid, repo.castore, far)
    there: set[bytes] = set()
    for cid in map(bytes, far.put_cids):
        assert there.issuperset(binary_links(cid, repo.castore.get_raw(cid)))
        there.add(cid)


def commit_on(repo: Repository, branch: str) -> None:
    with repo.transaction(branch, message="there") as store:
        store["b"] = b"1"
