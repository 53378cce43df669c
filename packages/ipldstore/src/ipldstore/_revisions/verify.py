"""Histories held against the format, commit by commit: heights, times, and where jumps lead."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from ipld_car import CarError, cids, dagcbor

from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import COMMIT_FIELD, MAX_ROOT_BYTES, decode_root, history_field
from ipldstore._history.ancestry import Entry, check_commit, walk_beyond
from ipldstore.errors import LOWER_ERRORS, NodeError, store_errors

from .ahead import FEW, MANY, CommitsAhead
from .history import History

_ROOTS_AT_ONCE: Final = 64
"""Roots that are asked for together where blocks are far away."""


def check_history(
    history: History, tips: Iterable[bytes], known: Iterable[bytes] = (), *, reads_data: bool = False
) -> int:
    """Hold commits and all their ancestors against the format; return how many were looked at.

    A walk by jumps cannot find out that a jump leads elsewhere. This walk does. It streams.

    :param tips: binary CIDs of the commits
    :param known: binary CIDs of commits that were checked before, with all their ancestors
    :param reads_data: whether to read the block that each commit has as ``data``, and check that it is a root
    :raises NodeError: if one breaks a bound of the format; the message names the block
    :raises IPLDStoreError: if a commit cannot be read
    """
    count = 0
    roots = RootCheck(history)
    known = list(known)
    ahead = CommitsAhead(history, FEW if known else MANY)
    for entry in walk_beyond(ahead.load, tips, known):
        if entry.commit.jump is not None:  # the check asks for these too, but not for those below them
            for below in ahead.load(entry.commit.parents[0]).parents[:1]:
                ahead.load(below)
        check_commit(history.load, entry)
        count += 1
        if reads_data and roots.expect(entry) >= (1 if history.castore.local else _ROOTS_AT_ONCE):
            roots.finish()
    roots.finish()
    return count


class RootCheck:
    """Checks that the ``data`` of commits are roots of datasets: as blocks come, or by reading those that did not come.

    :param history: reads blocks
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._expected: dict[bytes, bytes] = {}
        """By root whose block has not come, a commit that has it."""
        self._checked: set[bytes] = set()

    def expect(self, entry: Entry) -> int:
        """Expect a root where a commit has its ``data``; return how many roots are expected."""
        if entry.commit.data not in self._checked:
            self._expected.setdefault(entry.commit.data, entry.cid)
        return len(self._expected)

    def add(self, cid: bytes, block: bytes) -> None:
        """Take a verified block. If it is a commit, its ``data`` is expected; if it is expected, it is checked.

        :raises NodeError: if it is expected and is no root; the message names it and the commit
        """
        if not is_directory_link(cid):
            return
        if cid in self._expected:
            self._check(cid, block)
        elif history_field(block) == COMMIT_FIELD:
            self.expect(Entry(cid, self._history.decode(cid, block)))

    def finish(self) -> None:
        """Read and check the roots that are expected still.

        :raises NodeError: see :meth:`add`
        :raises IPLDStoreError: if a block cannot be read
        """
        castore = self._history.castore
        if len(self._expected) > 1 and not castore.local:
            with suppress(*LOWER_ERRORS):  # the block that fails is read once more below
                for cid, block in castore.get_many_raw([cids.from_validated(root) for root in self._expected]):
                    self._check(cids.to_bytes(cid), block)
        for root, commit in list(self._expected.items()):
            with store_errors(f"reading the 'data' of the commit {cids.to_text(commit)}"):
                block = castore.get_raw(root)
            self._check(root, block)

    def _check(self, root: bytes, block: bytes) -> None:
        _check_root(self._expected.pop(root), root, block)
        self._checked.add(root)


def _check_root(commit: bytes, root: bytes, block: bytes) -> None:
    """Require that a block, which a commit has as ``data``, is the root of a dataset.

    :raises NodeError: if it is another block; the message names both
    """
    if history_field(block) is not None:
        raise not_a_root(commit, root)
    try:
        if len(block) > MAX_ROOT_BYTES:
            raise NodeError(f"found a block of {len(block)} bytes, more than {MAX_ROOT_BYTES}")
        decode_root(dagcbor.decode_node(block), len(block))
    except (CarError, NodeError) as error:
        raise NodeError(
            f"commit {cids.to_text(commit)}: expected 'data' to be the root of a dataset, found "
            f"{cids.to_text(root)}: {error}"
        ) from error


def not_a_root(commit: bytes, data: bytes) -> NodeError:
    """Return the error for a commit whose ``data`` is a commit or a state."""
    return NodeError(
        f"commit {cids.to_text(commit)}: expected 'data' to be the root of a dataset, found a commit or a state, "
        f"{cids.to_text(data)}"
    )
