"""Histories held against the format, commit by commit: heights, times, and where jumps lead."""

from __future__ import annotations

from collections.abc import Iterable

from ipldstore._history.ancestry import check_commit, walk_beyond

from .history import History


def check_history(history: History, tips: Iterable[bytes], known: Iterable[bytes] = ()) -> int:
    """Hold commits and all their ancestors against the format; return how many were looked at.

    A walk by jumps cannot find out that a jump leads elsewhere. This walk does. It streams.

    :param tips: binary CIDs of the commits
    :param known: binary CIDs of commits that were checked before, with all their ancestors
    :raises NodeError: if one breaks a bound of the format; the message names the block
    :raises IPLDStoreError: if a commit cannot be read
    """
    count = 0
    for entry in walk_beyond(history.load, tips, known):
        check_commit(history.load, entry)
        count += 1
    return count
