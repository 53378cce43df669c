"""What verbs read and write of a long history does not grow with it. Blocks and requests are counted."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from ipld_car import cids
from ipld_castore import GatewayCAStore, MappingCAStore
from ipld_castore.testing import BlockServer
from ipldstore import IPLDStore, Repository
from ipldstore._exchange.committing import put_node
from ipldstore._history.commit import CommitNode, encode_commit
from ipldstore._history.jumps import has_jump, jump_height
from ipldstore._history.state import encode_state
from ipldstore._revisions.times import to_datetime
from multiformats import CID

from ..support.repositories import commit

MINUTE = 60_000_000


class CountingCAStore(MappingCAStore):
    """Counts the blocks that are read and put."""

    def __init__(self, mapping: Any) -> None:
        super().__init__(mapping)
        self.reads: list[bytes] = []
        self.puts: list[bytes] = []
        self.looked_for: list[bytes] = []

    def has_block(self, cid: CID) -> bool:
        self.looked_for.append(bytes(cid))
        return super().has_block(cid)

    def get_block(self, cid: CID) -> bytes:
        self.reads.append(bytes(cid))
        return super().get_block(cid)

    def put_block(self, cid: CID, data: bytes) -> None:
        self.puts.append(bytes(cid))
        super().put_block(cid, data)


def long_history(mapping: dict[str, bytes], count: int) -> None:
    """Make a repository with commits a minute apart on one branch; the data of each hundred are the same."""
    repo = Repository.create(mapping)
    store = IPLDStore(repo.castore)
    roots = []
    for number in range(100):
        store["a"] = b"%d" % number
        roots.append(bytes(store.freeze()))
    line = [cids.to_bytes(repo.lookup().cid)]
    for height in range(1, count + 1):
        jump = line[jump_height(height)] if has_jump(height) else None
        node = CommitNode(roots[height % 100], (line[-1],), height, jump, height * MINUTE, "", f"commit {height}", {})
        line.append(put_node(repo.castore, encode_commit(node)))
    state = repo._state._replace(branches={"main": line[-1]}, previous=cids.to_bytes(repo.cid))
    cid = put_node(repo.castore, encode_state(state, lambda names: put_node(repo.castore, names)))
    repo.castore.swap_head(repo.cid, cids.from_validated(cid))  # type: ignore[attr-defined]  # a store with a head


@pytest.fixture(scope="module", params=[2000, pytest.param(100_000, marks=pytest.mark.slow)])
def history(request: pytest.FixtureRequest) -> tuple[dict[str, bytes], int]:
    mapping: dict[str, bytes] = {}
    long_history(mapping, request.param)
    return mapping, request.param


def test_reads_and_writes_of_a_long_history(history: tuple[dict[str, bytes], int]) -> None:
    mapping, count = dict(history[0]), history[1]

    def opened() -> tuple[CountingCAStore, Repository]:
        castore = CountingCAStore(mapping)
        return castore, Repository.open(castore)

    castore, repo = opened()
    session = repo.writable_session()
    assert session.store["a"] == b"%d" % (count % 100)
    above_the_root = len(set(castore.reads)) - 2  # the root and its value
    assert above_the_root <= 3
    assert len(castore.reads) <= 5

    castore, repo = opened()
    assert repo.lookup(f"main~{count // 2}").height == count - count // 2
    assert len(castore.reads) <= 60

    castore, repo = opened()
    at = to_datetime((count // 3) * MINUTE + 5)
    assert repo.readonly_session(as_of=at).base.height == count // 3
    assert len(castore.reads) <= 60

    castore, repo = opened()
    assert len(list(islice(repo.log(), 20))) == 20
    assert len(castore.reads) <= 20 + 1, "20 commits and the state"

    castore, repo = opened()
    session = repo.writable_session()
    session.store["a"] = b"changed"
    castore.reads.clear()
    session.commit("one more")
    assert len(castore.puts) == 4, "the chunk, the root, one commit, one state"
    assert len(castore.reads) <= 60


def test_a_state_is_small_whatever_the_history(history: tuple[dict[str, bytes], int]) -> None:
    repo = Repository.open(dict(history[0]))
    assert len(repo.castore.get_raw(repo.cid)) < 250


def test_a_log_behind_a_gateway_takes_few_round_trips() -> None:
    repo = Repository.create({})
    for number in range(120):
        commit(repo, {"a": b"%d" % number})
    assert isinstance(repo.castore, MappingCAStore)
    with BlockServer(repo.castore) as server, GatewayCAStore(server.url) as gateway:
        far = Repository.open(repo.cid, castore=gateway)
        before = len(server.requests)
        assert len(list(islice(far.log(), 100))) == 100
        assert len(server.requests) - before <= 12


def test_a_push_and_a_pull_cost_what_is_new() -> None:
    """Also the check at the end that all has arrived."""
    repo = Repository.create({})
    for number in range(60):
        commit(repo, {"a": b"%d" % number})
    there, here = CountingCAStore({}), CountingCAStore({})
    repo.push(there)
    clone = Repository.open_or_create(here)
    clone.pull(repo)
    commit(repo, {"b": b"new"})
    for each in (there, here):
        each.reads.clear()
        each.looked_for.clear()
    assert repo.push(there).blocks == 4
    assert len(there.reads) + len(there.looked_for) < 30
    assert clone.pull(there).blocks == 4
    assert len(here.reads) + len(here.looked_for) < 40
    assert clone.verify() == repo.verify() == 62


def test_what_a_push_finds_gone_from_below_is_sent_again() -> None:
    """A block that is there may have lost what it links, to a collection of what no name reached."""
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    there = MappingCAStore()
    repo.push(there)
    commit(repo, {"b/0": b"0", "b/1": b"gone"})
    for cid, block in repo.castore.get_dag(repo.lookup().data):
        if block != b"gone":
            there.put_block(cid, block)
    assert repo.push(there).blocks == 3
    assert Repository.open(there).verify() == 3
