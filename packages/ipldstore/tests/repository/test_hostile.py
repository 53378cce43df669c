"""Histories of others: an error that names the block, never a hang, a recursion, or a wrong answer."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from ipld_car import cids, dagcbor
from ipld_castore import MappingCAStore
from ipldstore import IPLDStoreError, NodeError, Repository
from ipldstore._exchange.committing import put_node
from ipldstore._history.commit import CommitNode, encode_commit
from ipldstore._history.jumps import has_jump, jump_height

from ..support.repositories import commit, state_over, text


@pytest.fixture(scope="session")
def refused(fixtures: Path) -> list[bytes]:
    vectors = json.loads((fixtures / "history-vectors.json").read_text("utf-8"))
    return [bytes.fromhex(each["hex"]) for each in vectors["refused"]]


def test_what_the_vectors_refuse_is_refused_by_each_verb(refused: list[bytes]) -> None:
    for block in refused:
        repo = Repository.create({})
        cid = put_node(repo.castore, block)
        name = cids.to_text(cid)
        if b"__ipld_repo__" in block:
            with pytest.raises(NodeError, match=name):
                Repository.open(cids.from_validated(cid), castore=repo.castore)
            repo.castore.swap_head(repo.cid, cids.from_validated(cid))  # type: ignore[attr-defined]  # a store with a head
            with pytest.raises(NodeError, match=name):
                Repository.open(repo.castore)
            continue
        liar = state_over(repo, cid)
        for action in (
            liar.lookup,
            lambda liar=liar: list(liar.log()),
            liar.readonly_session,
            liar.verify,
            lambda name=name, repo=repo: repo.create_branch("x", name),
        ):
            with pytest.raises(NodeError, match=name):
                action()
        there = Repository.create({})
        before = there.cid
        with pytest.raises(IPLDStoreError):  # of several that lack the data of the commit, that is found first
            there.pull(liar)
        assert there.cid == before


def test_links_that_are_no_commits() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    root = cids.to_bytes(repo.lookup().data)
    with pytest.raises(NodeError, match=cids.to_text(root)):
        state_over(repo, root).lookup()
    child = CommitNode(root, (root,), 1, None, 5, "", "", {})
    with pytest.raises(NodeError, match=cids.to_text(root)):
        list(state_over(repo, put_node(repo.castore, encode_commit(child))).log())
    commit_cid = cids.to_bytes(repo.lookup().cid)
    nested = CommitNode(commit_cid, (commit_cid,), 2, None, 1 << 52, "", "", {})
    liar = state_over(repo, put_node(repo.castore, encode_commit(nested)))
    for action in (liar.readonly_session, liar.verify):
        with pytest.raises(NodeError, match="'data' to be the root"):
            action()


def test_heights_and_times_that_lie() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    tip = repo.lookup()
    good = CommitNode(cids.to_bytes(tip.data), (cids.to_bytes(tip.cid),), 2, None, 1 << 52, "", "", {})
    for lie, problem in ((good._replace(height=4), "height 3, found 1"), (good._replace(time=3), "a time before 3")):
        liar = state_over(repo, put_node(repo.castore, encode_commit(lie)))
        with pytest.raises(NodeError, match=problem) as caught:
            list(liar.log())
        assert text(tip.cid) in str(caught.value)
        for action in (lambda liar=liar: liar.lookup("main~2"), liar.verify):
            with pytest.raises(NodeError):
                action()


def test_a_negative_zero_in_meta_is_refused() -> None:
    """JSON texts do not agree on it, so the format has none; libipld alone would lose the sign."""
    repo = Repository.create({})
    cid = commit(repo, {"a": b"1"}, meta={"x": 0.0})
    block = repo.castore.get_raw(cid)
    lie = put_node(
        repo.castore, block.replace(bytes.fromhex("fb0000000000000000"), bytes.fromhex("fb8000000000000000"))
    )
    with pytest.raises(NodeError, match=r"the number -0.0 at meta\['x'\]"):
        state_over(repo, lie).lookup()


def test_blocks_that_are_too_large() -> None:
    castore = MappingCAStore()
    large = put_node(castore, dagcbor.encode({"__ipld_repo__": 1, "operation": "x" * (2 << 20)}))
    with pytest.raises(NodeError, match=r"at most 16384 bytes"):
        Repository.open(cids.from_validated(large), castore=castore)
    repo = Repository.create({})
    message = put_node(repo.castore, dagcbor.encode({"__ipld_commit__": 1, "message": "x" * (2 << 20)}))
    with pytest.raises(NodeError, match=r"at most 262144 bytes"):
        list(state_over(repo, message).log())


def endless(castore: MappingCAStore, count: int) -> bytes:
    """Return the tip of a line of commits without what they need below: parents that are no ancestors of each other."""
    repo = Repository.open_or_create(castore)
    first = cids.to_bytes(repo.lookup().cid)
    root = cids.to_bytes(repo.lookup().data)
    line = [first]
    for height in range(1, count + 1):
        jump = line[jump_height(height)] if has_jump(height) else None
        line.append(put_node(castore, encode_commit(CommitNode(root, (line[-1],), height, jump, height, "", "", {}))))
    return line[-1]


@pytest.mark.soak
def test_a_million_commits_stream() -> None:
    """A log is a stream that can be stopped; a walk needs neither a stack of calls nor all of it at once."""
    castore = MappingCAStore()
    tip = endless(castore, 1_000_000)
    repo = state_over(Repository.open(castore), tip)
    assert [each.height for each in islice(repo.log(), 3)] == [1_000_000, 999_999, 999_998]
    assert repo.lookup("main~999999").height == 1
    assert repo.verify() == 1_000_001


def test_thousands_of_parents_in_a_row_need_no_stack() -> None:
    castore = MappingCAStore()
    repo = state_over(Repository.open_or_create(castore), endless(MappingCAStore(castore.mapping), 3000))
    assert sum(1 for _ in repo.log()) == repo.verify() == 3001


def test_names_in_blocks_of_their_own() -> None:
    """Many names stand in a block; a block that is missing or is no map is an error that names it."""
    repo = Repository.create({})
    for number in range(90):
        repo.create_tag(f"t{number:03}")
    assert len(repo.tags) == 90
    copy: Any = MappingCAStore()
    for cid, data in repo.castore.get_dag(repo.cid):
        copy.put_block(cid, data)
    names = next(cid for cid, data in repo.castore.get_dag(repo.cid) if len(data) > 4096)
    copy.delete_block(names)
    with pytest.raises(IPLDStoreError, match=text(names)):
        Repository.open(repo.cid, castore=copy)
