"""Collecting garbage: the blocks of a store that no head, session or running writer needs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_castore import (
    BlockNotFoundError,
    BlockStatus,
    ContentAddressableStore,
    Journal,
    SupportsAge,
    SupportsHead,
    SupportsJournal,
)
from multiformats import CID

from ipldstore._dataset.reach import reach
from ipldstore._writers.notes import decode_note
from ipldstore._writers.session_state import decode_state, encode_state
from ipldstore.errors import IPLDStoreError, store_errors

_BATCH: Final = 1000
"""Blocks that are deleted at once."""


class Compacted(NamedTuple):
    """What :func:`ipldstore.compact` did."""

    kept_blocks: int
    """Blocks that are needed."""
    freed_blocks: int
    """Blocks that are gone."""
    freed_bytes: int
    """Bytes that the file is shorter, or that the blocks in the folder had, and what killed writers left there."""


def collect(castore: ContentAddressableStore, older_than: timedelta | datetime) -> Compacted:
    """Delete old blocks that nobody needs, beside running writers; see :func:`ipldstore.compact`."""
    if not isinstance(castore, SupportsAge) or not isinstance(castore, SupportsHead):
        raise IPLDStoreError(f"expected a block store with a head that tells the age of blocks, found {castore!r}")
    head = require_head(castore)
    limit = _limit(castore, older_than)
    with store_errors(f"compacting {castore!r}"):
        if isinstance(castore, SupportsJournal):
            _delete_old_sessions(castore, castore.now() - limit)
        kept = blocks_below(castore, head)
        if isinstance(castore, SupportsJournal):
            kept |= _blocks_of_sessions(castore, castore)
        done = [0, 0, 0]
        old = _old_garbage(castore, limit, kept, done)
        while batch := {each.cid: each.size for each in islice(old, _BATCH)}:
            if (moved := require_head(castore)) != head:
                head = moved
                kept |= blocks_below(castore, head)
            for cid in castore.delete_old([cid for cid in batch if cids.multihash_of(bytes(cid)) not in kept], limit):
                done[1] += 1
                done[2] += batch[cid]
        done[2] += castore.delete_leftovers(limit)
    return Compacted(*done)


def _limit(castore: SupportsAge, older_than: timedelta | datetime) -> float:
    """Return the time, by the clock of the store, before which blocks are old.

    :raises ValueError: if an instant has no time zone
    :raises TypeError: if it is neither an age nor an instant
    """
    if isinstance(older_than, timedelta):
        with store_errors("asking for the time"):
            return castore.now() - older_than.total_seconds()
    if not isinstance(older_than, datetime):
        raise TypeError(f"expected an age (timedelta) or an instant with a time zone (datetime), found {older_than!r}")
    if older_than.utcoffset() is None:
        raise ValueError(f"expected an instant with a time zone, found {older_than}: datetime.now(UTC) has one")
    return older_than.timestamp()


def _old_garbage(castore: SupportsAge, limit: float, kept: set[bytes], done: list[int]) -> Iterator[BlockStatus]:
    """Yield blocks that are old and not kept; count the others in ``done``."""
    for each in castore.block_statuses():
        if each.time >= limit or cids.multihash_of(bytes(each.cid)) in kept:
            done[0] += 1
        else:
            yield each


def require_head(castore: SupportsHead) -> CID:
    """Return the head of a store.

    :raises ValueError: if there is none
    """
    with store_errors("reading the head"):
        head = castore.head
    if head is None:
        raise ValueError(
            f"expected a folder whose file HEAD names a root, found none in {castore!r}: others may need its blocks"
        )
    return head


def blocks_below(castore: ContentAddressableStore, root: CID) -> set[bytes]:
    """Return the multihashes of all blocks that a root reaches."""
    seen: set[bytes] = set()
    reach(castore, bytes(root), seen)
    return {cids.multihash_of(cid) for cid in seen}


def _blocks_of_sessions(castore: ContentAddressableStore, journals: SupportsJournal) -> set[bytes]:
    """Return the multihashes of all blocks that sessions need: what their roots reach, and what notes name."""
    seen: set[bytes] = set()
    for name in journals.sessions():
        journal = journals.journal(name)
        data = journal.state
        if data is None:
            continue
        state = decode_state(data)
        reach(castore, state.root, seen)
        for entry in () if state.done else journal.entries(state.positions):
            content = decode_note(entry.record).after
            if isinstance(content, bytes):
                try:
                    reach(castore, content, seen)
                except BlockNotFoundError:  # its writer's machine has crashed: taking the note in tells
                    continue
    return {cids.multihash_of(cid) for cid in seen}


def _delete_old_sessions(castore: SupportsJournal, age: float) -> None:
    """Delete the sessions in which nothing has happened for longer than ``age`` seconds."""
    for name in list(castore.sessions()):
        journal = castore.journal(name)
        data = journal.state
        if data is not None and journal.age() > age and _end(journal, data):
            journal.remove()


def _end(journal: Journal, data: bytes) -> bool:
    """Refuse the writers of a session; return False if its coordinator has just moved it."""
    return journal.exchange(data, encode_state(decode_state(data)._replace(ended=True)))


def end_sessions(castore: SupportsJournal) -> None:
    """Delete the sessions that have ended.

    :raises IPLDStoreError: if one has not, or has changes that no root has
    """
    names = list(castore.sessions())
    for name in names:
        journal = castore.journal(name)
        data = journal.state
        if data is None:
            continue
        state = decode_state(data)
        if not state.done:
            raise IPLDStoreError(
                f"expected no session of writers that has not ended, found {name}: recover(...) takes it in, and "
                f"older_than=... compacts beside it"
            )
    for name in names:
        castore.journal(name).remove()
