"""Collecting garbage: the blocks of a store that no head, session or running writer needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_car.messages import Message, Term
from ipld_castore import (
    BlockNotFoundError,
    BlockStatus,
    CarCAStore,
    ContentAddressableStore,
    Journal,
    SupportsAge,
    SupportsHead,
    SupportsJournal,
    SupportsLeftovers,
    SupportsPin,
)
from multiformats import CID

from ipldstore._dataset.in_flight import collecting
from ipldstore._format.nodes import MAX_NODE_BYTES
from ipldstore._read.reach import reach
from ipldstore._writers.coordinator import stop_writers
from ipldstore._writers.session_state import decode_state, encode_state, notes_behind
from ipldstore.errors import IPLDStoreError, store_errors

from .in_files import own_part
from .limits import GRACE, OlderThan, begin_of_operations, limit_of
from .needed import needed_roots, reach_all, reach_from_young, reach_in_use, require_head, sessions_in_use, states_of

_BATCH: Final = 1000
"""Blocks that are deleted at once."""


class Compacted(NamedTuple):
    """What :func:`ipldstore.compact` did."""

    kept_blocks: int
    """Blocks that are needed."""
    freed_blocks: int
    """Blocks that are gone."""
    freed_bytes: int
    """Bytes that were freed: by which a file is shorter, or of the deleted blocks and of what killed writers left."""


def collect(
    castore: ContentAddressableStore, older_than: OlderThan, *, dry_run: bool = False, progress: bool | None = None
) -> Compacted:
    """Delete old blocks that are not needed, beside running writers; see :func:`ipldstore.compact`.

    :param older_than: how long blocks are young, or since when; None keeps the whole operation log of a repository, and
        what was put within the last hour
    :param dry_run: delete nothing, and say what would be deleted
    :param progress: whether to show a bar of the blocks that are kept; see :func:`ipldstore.compact`
    """
    own = own_part(castore)
    if isinstance(own, SupportsPin) and not dry_run and older_than is not None:
        return _collect_sessions(own, older_than)
    if not isinstance(own, SupportsAge) or not isinstance(own, SupportsHead):
        own_file = isinstance(own, CarCAStore) and own.writable
        raise IPLDStoreError(
            Message(
                f"expected a block store with a head that tells the age of blocks, found {castore!r}",
                Term("compact(path)", f": close it, and call compact({own.address!r})") if own_file else "",
            )
        )
    require_head(own)
    limit = limit_of(own, GRACE if older_than is None else older_than)
    with store_errors(f"compacting {castore!r}"), collecting(castore):
        limit = min(limit, begin_of_operations(castore, own.now))
        head = require_head(own)
        if isinstance(own, SupportsJournal) and not dry_run:
            _delete_old_sessions(castore, own, own.now() - limit)
        seen: set[bytes] = set()
        log = _operation_log(own, bytes(head)) if older_than is not None else {}

        def is_young(cid: bytes, _: object) -> bool:
            return older_than is None or (cid in log and log[cid].time >= limit)

        reach_all(castore, needed_roots(castore, bytes(head), is_young), seen, progress)
        reach_in_use(castore, seen)
        kept = {cids.multihash_of(cid) for cid in seen}
        if isinstance(own, SupportsJournal):
            kept |= _blocks_of_sessions(castore, own)
        _reach_from_young(castore, own, limit, kept)
        sweep = _Sweep(castore, own, head, kept, limit, dry_run=dry_run)
        # States first, the oldest before the others: a collection that is killed leaves no state without its commits.
        states = {cid: each for cid, each in log.items() if cids.multihash_of(cid) not in kept and each.time < limit}
        sweep.free(reversed(states.values()))
        sweep.free(_old_garbage(own, limit, kept, _digests(states), sweep))
        if not dry_run:
            sweep.freed_bytes += own.delete_leftovers(limit)
    return Compacted(sweep.kept_blocks, sweep.freed_blocks, sweep.freed_bytes)


def _collect_sessions(castore: ContentAddressableStore, older_than: timedelta | datetime) -> Compacted:
    """Delete old sessions in a store that collects its garbage itself, such as an IPFS node."""
    if not isinstance(castore, SupportsJournal) or not isinstance(castore, SupportsLeftovers):
        raise IPLDStoreError(f"expected a block store with sessions of writers and a clock, found {castore!r}")
    limit = limit_of(castore, older_than)
    with store_errors(f"compacting {castore!r}"):
        _delete_old_sessions(castore, castore, castore.now() - limit)
        castore.delete_leftovers(limit)
    return Compacted(0, 0, 0)


class _Sweep:
    """The deletion of old blocks beside running writers, and its counts.

    :param own: the store that has the blocks, and the head
    :param head: the head that ``kept`` was made for
    :param kept: multihashes of blocks that are needed
    """

    def __init__(
        self,
        castore: ContentAddressableStore,
        own: SupportsAge,
        head: CID,
        kept: set[bytes],
        limit: float,
        *,
        dry_run: bool,
    ) -> None:
        self._castore = castore
        self._own = own
        self._head = head
        self._kept = kept
        self._limit = limit
        self._dry_run = dry_run
        self.kept_blocks = self.freed_blocks = self.freed_bytes = 0

    def free(self, old: Iterator[BlockStatus]) -> None:
        """Delete old blocks in their order, but for those that the head needs by now."""
        assert isinstance(self._own, SupportsHead)  # noqa: S101  # as collect() has seen
        while batch := {each.cid: each.size for each in islice(old, _BATCH)}:
            if (moved := require_head(self._own)) != self._head:
                self._head = moved
                self._kept |= blocks_below(self._castore, moved)
            garbage = [cid for cid in batch if cids.multihash_of(bytes(cid)) not in self._kept]
            for cid in garbage if self._dry_run else self._own.delete_old(garbage, self._limit):
                self.freed_blocks += 1
                self.freed_bytes += batch[cid]


def _operation_log(castore: SupportsAge, head: bytes) -> dict[bytes, BlockStatus]:
    """Return the states in the operation log of a repository by binary CID, the present one first, with their ages."""
    assert isinstance(castore, ContentAddressableStore)  # noqa: S101  # as all that tell ages
    log = [cid for cid, _ in states_of(castore, head)]
    digests = _digests(log)
    found = {}
    if log:
        for each in castore.block_statuses():
            if (digest := cids.multihash_of(bytes(each.cid))) in digests:
                found[digest] = each
    return {cid: found[digest] for cid in log if (digest := cids.multihash_of(cid)) in found}


def _digests(log: Iterable[bytes]) -> set[bytes]:
    return {cids.multihash_of(cid) for cid in log}


def _reach_from_young(castore: ContentAddressableStore, own: SupportsAge, limit: float, kept: set[bytes]) -> None:
    """Keep what young blocks link that no head and no session reaches yet.

    :param own: the store that has the young blocks
    """
    statuses = ((bytes(each.cid), each) for each in own.block_statuses())
    young = (
        cid
        for cid, each in statuses
        if each.time >= limit and each.size <= MAX_NODE_BYTES and cids.multihash_of(cid) not in kept
    )
    seen: set[bytes] = set()
    reach_from_young(castore, young, seen)
    kept |= {cids.multihash_of(cid) for cid in seen}


def _old_garbage(
    castore: SupportsAge, limit: float, kept: set[bytes], freed: set[bytes], sweep: _Sweep
) -> Iterator[BlockStatus]:
    """Yield blocks that are old, not kept and not freed before; count the kept ones."""
    for each in castore.block_statuses():
        digest = cids.multihash_of(bytes(each.cid))
        if each.time >= limit or digest in kept:
            sweep.kept_blocks += 1
        elif digest not in freed:
            yield each


def blocks_below(castore: ContentAddressableStore, root: CID, progress: bool | None = False) -> set[bytes]:
    """Return the multihashes of all blocks that a root reaches.

    :param progress: see :func:`collect`
    """
    seen: set[bytes] = set()
    reach_all(castore, [bytes(root)], seen, progress)
    return {cids.multihash_of(cid) for cid in seen}


def _blocks_of_sessions(castore: ContentAddressableStore, journals: SupportsJournal) -> set[bytes]:
    """Return the multihashes of all blocks that sessions need: what their roots reach, and what notes name."""
    seen: set[bytes] = set()
    for name in journals.sessions():
        for root, contents in _contents_of_session(journals.journal(name)):
            reach(castore, root, seen)
            for content in contents:
                try:
                    reach(castore, content, seen)
                except BlockNotFoundError:  # the machine of the writer has crashed: taking the note in raises the error
                    continue
    return {cids.multihash_of(cid) for cid in seen}


def _contents_of_session(journal: Journal) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield the root of a session and the links that its notes name; again where it goes on while it is read."""
    read = None
    while (data := journal.state) not in (None, read):
        read = data
        state = decode_state(data)
        yield state.root, [note.after for _, note in notes_behind(state, journal) if isinstance(note.after, bytes)]


def _delete_old_sessions(castore: ContentAddressableStore, journals: SupportsJournal, age: float) -> None:
    """Delete the sessions in which nothing has happened for longer than ``age`` seconds, but for those of this process.

    :param castore: the block store that this process writes
    :param journals: the part of it that has the sessions
    """
    for name in set(journals.sessions()) - sessions_in_use(castore):
        journal = journals.journal(name)
        data = journal.state
        if data is not None and journal.age() > age and _end(journal, data):
            stop_writers(journal, decode_state(data).positions)
            journal.remove()


def _end(journal: Journal, data: bytes) -> bool:
    """Refuse the writers of a session; return False if its coordinator has just moved it."""
    return journal.exchange(data, encode_state(decode_state(data)._replace(ended=True)))


def end_sessions(castore: SupportsJournal) -> None:
    """Delete the sessions that have ended.

    :raises IPLDStoreError: if a session has not ended, or has changes that no root has
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
                Message(
                    f"expected no session of writers that has not ended, found {name}: ",
                    Term("recover(...)"),
                    " takes it in, and ",
                    Term("older_than=...", "older_than=... compacts beside it"),
                )
            )
    for name in names:
        castore.journal(name).remove()
