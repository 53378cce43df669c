"""Three-way merges of commits: their bases, and the root that is merged from theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ipld_car import cids
from ipld_car.messages import Message, Term

from ipldstore._exchange.advance import NO_LONGER_BELOW
from ipldstore._history.ancestry import is_ancestor, merge_bases
from ipldstore._merge.conflicts import Merged, Resolve, Resolved
from ipldstore._merge.merge import merge_roots
from ipldstore._merge.shift import shift_append
from ipldstore._revisions.history import History
from ipldstore.errors import IPLDStoreError, MergeConflictError

_MOST_SHOWN = 20


class MergedData(NamedTuple):
    """The root of a merge, and what was decided for it."""

    root: bytes
    resolved: tuple[Resolved, ...] = ()


def merge_data(
    history: History, bases: Sequence[bytes], ours: bytes, theirs: bytes, resolve: Resolve | None, what: str
) -> MergedData:
    """Merge two roots that go back to others.

    :param bases: binary CIDs of the roots that both go back to
    :param what: what is being done, for errors
    :raises MergeConflictError: if both have changed the same, and ``resolve`` does not decide
    :raises IPLDStoreError: if a block cannot be read or written
    """
    return _merged_data(merge_roots(history.castore, bases, ours, theirs, resolve), what)


def _merged_data(merged: Merged, what: str) -> MergedData:
    """Return what a merge gave.

    :raises MergeConflictError: if conflicts are left
    """
    if merged.root is not None:
        return MergedData(merged.root, merged.resolved)
    count = f"{len(merged.conflicts)} conflict{'' if len(merged.conflicts) == 1 else 's'}"
    lines = [f"- {each}" for each in merged.conflicts[:_MOST_SHOWN]]
    if len(merged.conflicts) > _MOST_SHOWN:
        lines.append(f"- and {len(merged.conflicts) - _MOST_SHOWN} more")
    first = Message(f"{what}: {count}, and nothing was changed (", Term("resolve=..."), " decides):")
    raise MergeConflictError(Message(first, *(f"\n{line}" for line in lines)), merged.conflicts)


def bases_of(history: History, ours: bytes, theirs: bytes, *, unrelated: bool) -> list[bytes]:
    """Return the binary CIDs of the roots of the bases of two commits.

    :param unrelated: whether the first commit, which all histories have, may be the only base
    :raises IPLDStoreError: if the first commit is the only base, and is neither of the two; or if there is no base
    """
    bases = merge_bases(history.load, ours, theirs)
    found = [history.load(base) for base in bases]
    related = any(each.height > 0 for each in found) or ours in bases or theirs in bases
    if not found or (not related and not unrelated):
        raise IPLDStoreError(
            Message(
                f"merging {cids.to_text(theirs)} into {cids.to_text(ours)}: expected commits that have more in common "
                f"than the first commit, found two histories, such as one and its copy from before ",
                Term("expire()"),
                ": a merge could bring back what was deleted. ",
                Term("unrelated=True"),
                " merges them as they are",
            )
        )
    return list(dict.fromkeys(each.data for each in found))


def rebased_data(
    history: History, base: bytes, tip: bytes, root: bytes, *, resolve: Resolve | None, append: bool, what: str
) -> MergedData:
    """Bring changes that were made to one commit onto a later one.

    :param base: binary CID of the commit that the changes were made to
    :param tip: binary CID of the later commit
    :param root: binary CID of the root with the changes
    :param append: whether an append is shifted behind that of the later commit
    :raises MergeConflictError: see :func:`merge_data`
    :raises ConflictError: if an append cannot be shifted
    :raises IPLDStoreError: if the base is no ancestor of the tip
    """
    if not is_ancestor(history.load, base, tip):
        raise IPLDStoreError(
            f"{what}: expected a branch that goes on from the commit {cids.to_text(base)}, found {cids.to_text(tip)}, "
            f"of which it is no ancestor: {NO_LONGER_BELOW}"
        )
    before, theirs = history.load(base).data, history.load(tip).data
    if append and before not in (root, theirs) and root != theirs:
        return _merged_data(shift_append(history.castore, before, root, theirs, resolve), what)
    return merge_data(history, [before], root, theirs, resolve, what)


def with_resolved(message: str, resolved: Iterable[Resolved]) -> str:
    """Return a message that says what was decided."""
    lines = [f"- {each}" for each in resolved]
    return "\n".join([message, "", "Resolved:", *lines]) if lines else message
