"""Ancestors are found as the format says, in few steps; a history that lies is an error that names the commit."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import cids, hashes
from ipldstore._history import ancestry
from ipldstore._history.commit import CommitNode, decode_commit, encode_commit
from ipldstore.errors import NodeError

EMPTY_ROOT = cids.to_bytes("bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua")


class Commits:
    """Commits in memory, with a count of how many were loaded."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}
        self.loaded = 0
        self.first = self.put(CommitNode(EMPTY_ROOT, (), 0, None, 0, "", "", {}))

    def load(self, cid: bytes) -> CommitNode:
        self.loaded += 1
        return decode_commit(self.blocks[cid])

    def put(self, commit: CommitNode) -> bytes:
        block = encode_commit(commit)
        cid = cids.make(cids.DAG_CBOR, hashes.digest_of(cids.SHA2_256, block))
        self.blocks[cid] = block
        return cid

    def commit(self, *parents: bytes, message: str = "", step: int = 1, **fields: Any) -> bytes:
        found = [self.load(parent) for parent in parents]
        node = CommitNode(
            EMPTY_ROOT,
            parents,
            found[0].height + 1,
            ancestry.jump_of_next(self.load, parents[0]),
            max(parent.time for parent in found) + step,
            "",
            message,
            {},
        )
        return self.put(node._replace(**fields))


def test_the_vectors(fixtures: Any) -> None:
    vectors = json.loads((fixtures / "history-vectors.json").read_text("utf-8"))
    blocks: dict[bytes, CommitNode] = {
        cids.to_bytes(vectors["first_commit"]): CommitNode(EMPTY_ROOT, (), 0, None, 0, "", "", {})
    }
    for vector in vectors["commits"]:
        node = vector["node"]
        blocks[cids.to_bytes(vector["cid"])] = CommitNode(
            cids.to_bytes(node["data"]),
            tuple(map(cids.to_bytes, node["parents"])),
            node["height"],
            cids.to_bytes(node["jump"]) if "jump" in node else None,
            node["time"],
            node["author"],
            node["message"],
            {},
        )
    load = blocks.__getitem__
    for vector in vectors["ancestors"]:
        found = ancestry.ancestor_at_height(load, cids.to_bytes(vector["from"]), vector["height"])
        assert cids.to_text(found) == vector["cid"]
    for vector in vectors["as_of"]:
        found = ancestry.newest_at_time(load, cids.to_bytes(vector["from"]), vector["time"])
        assert cids.to_text(found) == vector["cid"]
    for cid, commit in blocks.items():
        ancestry.check_commit(load, ancestry.Entry(cid, commit))


def test_any_ancestor_is_a_few_steps_away() -> None:
    """At most 3 log2(height + 1) steps, to any height and any time."""
    commits = Commits()
    line = [commits.first]
    for _ in range(3000):
        line.append(commits.commit(line[-1], step=random.Random(len(line)).randrange(1, 5)))
    bound = 3 * math.log2(len(line)) + 1
    for height in range(0, 3000, 37):
        commits.loaded = 0
        assert ancestry.ancestor_at_height(commits.load, line[-1], height) == line[height]
        assert commits.loaded <= bound
        time = commits.load(line[height]).time
        commits.loaded = 0
        assert ancestry.newest_at_time(commits.load, line[-1], time) == line[height]
        assert commits.loaded <= 2 * bound


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=3, unique=True), min_size=2, max_size=25), st.data())
def test_merge_bases_are_those_of_the_definition(graph: list[list[int]], data: st.DataObject) -> None:
    commits = Commits()
    made = [commits.first]
    above: list[set[int]] = [{0}]
    for number, wanted in enumerate(graph):
        parents = list(dict.fromkeys(parent % len(made) for parent in wanted))
        step = data.draw(st.integers(1, 3))
        made.append(commits.commit(*(made[parent] for parent in parents), message=str(number), step=step))
        above.append({len(made) - 1}.union(*(above[parent] for parent in parents)))
    ours, theirs = (data.draw(st.integers(0, len(made) - 1)) for _ in range(2))
    common = above[ours] & above[theirs]
    best = {one for one in common if not any(one != other and one in above[other] for other in common)}
    assert ancestry.merge_bases(commits.load, made[ours], made[theirs]) == sorted(made[one] for one in best)
    assert ancestry.is_ancestor(commits.load, made[ours], made[theirs]) == (ours in above[theirs])
    walked = [entry.cid for entry in ancestry.walk_newest_first(commits.load, made[theirs])]
    assert sorted(walked) == sorted(made[one] for one in above[theirs])
    for cid in made:
        ancestry.check_commit(commits.load, ancestry.Entry(cid, commits.load(cid)))


def test_lies_are_found() -> None:
    """Heights and times are checked at each step; a jump to a stranger by checking the commit."""
    commits = Commits()
    line = [commits.first]
    for _ in range(9):
        line.append(commits.commit(line[-1]))
    stranger = commits.first
    for number in range(3):
        stranger = commits.commit(stranger, message=f"stranger {number}")

    def check(cid: bytes) -> None:
        ancestry.check_commit(commits.load, ancestry.Entry(cid, commits.load(cid)))

    parent = commits.load(line[8])
    wrong_height = commits.commit(line[8], height=3, jump=line[0])
    with pytest.raises(NodeError, match="height 2, found 8"):
        ancestry.ancestor_at_height(commits.load, wrong_height, 2)
    early = commits.commit(line[7], time=parent.time - 2, message="early")
    with pytest.raises(NodeError, match="time before"):
        list(ancestry.walk_newest_first(commits.load, early))
    lying = commits.commit(line[5], jump=stranger)  # of height 6, whose jump has height 3, as the stranger has
    with pytest.raises(NodeError, match="expected a jump to"):
        check(lying)
    assert ancestry.ancestor_at_height(commits.load, lying, 3) == stranger, "a walk by jumps cannot know"
