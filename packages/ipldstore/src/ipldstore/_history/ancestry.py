"""Ancestors of commits: down along jumps, along all parents, and the bases of a merge (history.md, sections 2 and 5).

A commit's time is greater than that of each parent. So commits in descending order of time are in topological order,
and a walk that takes the newest first has met all descendants of a commit before the commit itself.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from ipld_car import cids

from ipldstore.errors import NodeError

from .commit import CommitNode
from .jumps import has_jump, jump_height

LoadCommit = Callable[[bytes], CommitNode]
"""Gives the fields of a commit by its binary CID."""

_OURS: Final = 1
_THEIRS: Final = 2
_BOTH: Final = _OURS | _THEIRS
_STALE: Final = 4
"""Of a commit that is below a base."""


class Entry(NamedTuple):
    """A commit and its binary CID."""

    cid: bytes
    commit: CommitNode


def load_first_parent(load: LoadCommit, child: Entry) -> Entry:
    """Return the first parent of a commit that has one.

    :raises NodeError: if its height or time does not fit
    """
    return _step(load, child, child.commit.parents[0], child.commit.height - 1, "first parent")


def load_jump(load: LoadCommit, child: Entry) -> Entry:
    """Return the commit that a jump leads to, or the first parent where there is no jump.

    :raises NodeError: if its height or time does not fit
    """
    if child.commit.jump is None:
        return load_first_parent(load, child)
    return _step(load, child, child.commit.jump, jump_height(child.commit.height), "jump")


def load_parents(load: LoadCommit, child: Entry) -> list[Entry]:
    """Return all parents of a commit, the first one first.

    :raises NodeError: if a height or time does not fit
    """
    return [
        load_first_parent(load, child) if number == 0 else _step(load, child, cid, None, "parent")
        for number, cid in enumerate(child.commit.parents)
    ]


def _step(load: LoadCommit, child: Entry, cid: bytes, height: int | None, what: str) -> Entry:
    found = load(cid)
    if found.time >= child.commit.time:
        raise NodeError(
            f"commit {cids.to_text(child.cid)}: expected a {what} with a time before {child.commit.time}, "
            f"found {found.time} in {cids.to_text(cid)}"
        )
    if height is not None and found.height != height:
        raise NodeError(
            f"commit {cids.to_text(child.cid)}: expected a {what} of height {height}, "
            f"found {found.height} in {cids.to_text(cid)}"
        )
    return Entry(cid, found)


def ancestor_at_height(load: LoadCommit, tip: bytes, height: int) -> bytes:
    """Return the ancestor of a height along first parents, in at most ``3 log2(height of tip + 1)`` steps.

    :raises ValueError: if the tip is below that height, or the height is negative
    :raises NodeError: if a commit on the way breaks a bound of the format
    """
    at = Entry(tip, load(tip))
    if not 0 <= height <= at.commit.height:
        raise ValueError(f"expected a height from 0 to {at.commit.height}, found {height}")
    while at.commit.height > height:
        takes_jump = has_jump(at.commit.height) and jump_height(at.commit.height) >= height
        at = load_jump(load, at) if takes_jump else load_first_parent(load, at)
    return at.cid


def newest_at_time(load: LoadCommit, tip: bytes, time: int) -> bytes:
    """Return the newest commit along first parents whose time is at most ``time``.

    :param time: microseconds since 1970 in UTC, not negative
    :raises NodeError: if a commit on the way breaks a bound of the format
    """
    at = Entry(tip, load(tip))
    while at.commit.time > time:
        if not at.commit.parents:
            raise ValueError(f"expected a time from {at.commit.time} on, that of the oldest commit; found {time}")
        below = load_jump(load, at)
        at = below if below.commit.time > time else load_first_parent(load, at)
    return at.cid


def walk_newest_first(load: LoadCommit, *tips: bytes) -> Iterator[Entry]:
    """Yield commits and all their ancestors, each once, the newest first; streams.

    :raises NodeError: if a commit breaks a bound of the format
    """
    seen: set[bytes] = set()
    heap: list[tuple[int, bytes, CommitNode]] = []

    def add(entry: Entry) -> None:
        if entry.cid not in seen:
            seen.add(entry.cid)
            heapq.heappush(heap, (-entry.commit.time, entry.cid, entry.commit))

    for tip in tips:
        add(Entry(tip, load(tip)))
    while heap:
        _, cid, commit = heapq.heappop(heap)
        entry = Entry(cid, commit)
        yield entry
        for parent in load_parents(load, entry):
            add(parent)


def walk_beyond(load: LoadCommit, tips: Iterable[bytes], known: Iterable[bytes]) -> Iterator[Entry]:
    """Yield commits and their ancestors that are not among others and the ancestors of these, the newest first.

    Reads the commits that are newer than the oldest of these.

    :param known: the others
    :raises NodeError: if a commit breaks a bound of the format
    """
    is_known: dict[bytes, bool] = {}
    heap: list[tuple[int, bytes, CommitNode]] = []
    wanted = 0
    """Commits in the heap that are not known."""

    def mark(entry: Entry, flag: bool) -> None:
        nonlocal wanted
        before = is_known.get(entry.cid)
        is_known[entry.cid] = flag or bool(before)
        if before is None:
            heapq.heappush(heap, (-entry.commit.time, entry.cid, entry.commit))
            wanted += not flag
        else:
            wanted -= flag and not before

    for flag, cids_of in ((False, tips), (True, known)):
        for cid in cids_of:
            mark(Entry(cid, load(cid)), flag)
    while wanted:
        _, cid, commit = heapq.heappop(heap)
        entry, flag = Entry(cid, commit), is_known[cid]
        wanted -= not flag
        if not flag:
            yield entry
        for parent in load_parents(load, entry):
            mark(parent, flag)


def merge_bases(load: LoadCommit, ours: bytes, theirs: bytes) -> list[bytes]:
    """Return the common ancestors of two commits that no other common ancestor descends from, sorted.

    Reads the commits that are newer than the oldest base, of either side.

    :raises NodeError: if a commit breaks a bound of the format
    """
    marks: dict[bytes, int] = {}
    heap: list[tuple[int, bytes, CommitNode]] = []
    undecided = 0
    """Commits in the heap that are not below a base."""

    def mark(cid: bytes, commit: CommitNode, flags: int) -> None:
        nonlocal undecided
        before = marks.get(cid)
        marks[cid] = (before or 0) | flags
        if before is None:
            heapq.heappush(heap, (-commit.time, cid, commit))
            undecided += not flags & _STALE
        else:
            undecided -= bool(flags & _STALE and not before & _STALE)

    mark(ours, load(ours), _OURS)
    mark(theirs, load(theirs), _THEIRS)
    bases = []
    while undecided:
        _, cid, commit = heapq.heappop(heap)
        flags = marks[cid]
        undecided -= not flags & _STALE
        if flags == _BOTH:
            bases.append(cid)
            flags |= _STALE
        for parent in load_parents(load, Entry(cid, commit)):
            mark(parent.cid, parent.commit, flags)
    return sorted(bases)


def is_ancestor(load: LoadCommit, ancestor: bytes, tip: bytes) -> bool:
    """Return whether a commit is another or one of its ancestors.

    :raises NodeError: if a commit breaks a bound of the format
    """
    wanted = load(ancestor)
    newest = load(tip)
    if newest.height >= wanted.height and ancestor_at_height(load, tip, wanted.height) == ancestor:
        return True
    for entry in walk_newest_first(load, tip):
        if entry.cid == ancestor:
            return True
        if entry.commit.time < wanted.time:
            return False
    return False


def check_commit(load: LoadCommit, entry: Entry) -> None:
    """Hold a commit against all its parents and its jump: heights, times, and where the jump leads.

    A walk along jumps cannot find out that a jump is no ancestor; checking each commit of a history does.

    :raises NodeError: if something does not fit
    """
    parents = load_parents(load, entry)
    if entry.commit.jump is None:
        return
    load_jump(load, entry)
    expected = load_jump(load, load_jump(load, parents[0])).cid
    if entry.commit.jump != expected:
        raise NodeError(
            f"commit {cids.to_text(entry.cid)}: expected a jump to {cids.to_text(expected)}, "
            f"found one to {cids.to_text(entry.commit.jump)}"
        )


def jump_of_next(load: LoadCommit, first_parent: bytes) -> bytes | None:
    """Return the jump of a commit that is written on top of another; None if it has none."""
    parent = Entry(first_parent, load(first_parent))
    if not has_jump(parent.commit.height + 1):
        return None
    return load_jump(load, load_jump(load, parent)).cid
