"""Collecting garbage: the blocks of a store that no head, session or running writer needs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from ipld_car import cids, walk_binary
from ipld_castore import (
    BlockNotFoundError,
    BlockStatus,
    CarCAStore,
    ContentAddressableStore,
    Journal,
    SupportsAge,
    SupportsDelete,
    SupportsHead,
    SupportsJournal,
    SupportsList,
)
from multiformats import CID

from ipldstore._dataset.reach import reach
from ipldstore._display.bars import Bar, open_bar
from ipldstore._format.nodes import MAX_NODE_BYTES
from ipldstore._revisions.times import check_older_than
from ipldstore._writers.coordinator import stop_writers
from ipldstore._writers.notes import decode_note
from ipldstore._writers.session_state import decode_state, encode_state
from ipldstore.errors import IPLDStoreError, store_errors

from .in_files import own_part, references_part, require_in_file
from .needed import needed_roots, reach_from_young, reach_in_use, states_of

OlderThan = timedelta | datetime | None

GRACE: Final = timedelta(hours=1)
"""How long blocks are young where the caller does not say."""

_BAR: Final = "keeping"
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


def collect(
    castore: ContentAddressableStore, older_than: OlderThan, *, dry_run: bool = False, progress: bool | None = None
) -> Compacted:
    """Delete old blocks that nobody needs, beside running writers; see :func:`ipldstore.compact`.

    :param older_than: how long blocks are young, or since when; None keeps the whole operation log of a repository, and
        what was put within the last hour
    :param dry_run: delete nothing, and say what would be deleted
    :param progress: whether to show a bar of the blocks that are kept; see :func:`ipldstore.compact`
    """
    own = own_part(castore)
    if not isinstance(own, SupportsAge) or not isinstance(own, SupportsHead):
        raise IPLDStoreError(f"expected a block store with a head that tells the age of blocks, found {castore!r}")
    head = require_head(own)
    limit = _limit(own, GRACE if older_than is None else older_than)
    with store_errors(f"compacting {castore!r}"):
        if isinstance(own, SupportsJournal) and not dry_run:
            _delete_old_sessions(own, own.now() - limit)
        seen: set[bytes] = set()
        log = _operation_log(own, bytes(head)) if older_than is not None else {}

        def is_young(cid: bytes, _: object) -> bool:
            return older_than is None or (cid in log and log[cid].time >= limit)

        _reach_all(castore, needed_roots(castore, bytes(head), is_young), seen, progress)
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


class _Sweep:
    """The deletion of old blocks beside running writers, and its counts.

    :param own: the store that has the blocks, and the head
    :param head: the head that ``kept`` was made for
    :param kept: multihashes of blocks that are needed
    """

    def __init__(  # what one collection knows
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


def collect_here(
    castore: ContentAddressableStore, older_than: OlderThan, *, dry_run: bool = False, progress: bool | None = None
) -> Compacted:
    """Free what nobody needs in a block store of this process, whose blocks have no ages: a CAR file or a mapping.

    :param older_than: of a repository, how long states stay in the operation log, by the times that are written in
        them; None keeps all of it
    :param dry_run: see :func:`collect`, also for ``progress``
    :raises IPLDStoreError: if a block that is needed is missing or wrong, or the block store cannot free blocks
    """
    own = own_part(castore)
    is_car = isinstance(own, CarCAStore) and own.writable
    if not is_car and not (isinstance(own, SupportsDelete) and isinstance(own, SupportsList)):
        raise IPLDStoreError(f"expected a block store that frees blocks, found {castore!r}")
    if not isinstance(own, SupportsHead):
        raise IPLDStoreError(f"expected a block store with a head, found {castore!r}")
    limit = -math.inf if older_than is None else _instant(older_than, time.time())
    with store_errors(f"compacting {castore!r}"):
        head = bytes(require_head(own))
        seen: set[bytes] = set()
        roots = needed_roots(castore, head, lambda _, state: state.time >= limit * 1e6)
        if isinstance(own, CarCAStore) and not dry_run:
            there = sum(1 for _ in own)
            with open_bar(_BAR, unit=" blocks", progress=progress) as bar:
                kept, shorter = own.rewrite(_counted(_blocks_in_order(castore, roots), bar))
            return Compacted(kept, there - kept, shorter)
        _reach_all(castore, roots, seen, progress)
        reach_in_use(castore, seen)
        needed = {cids.multihash_of(cid) for cid in seen}
        there = list(own) if isinstance(own, SupportsList) else []
        log = {cids.multihash_of(cid): number for number, (cid, _) in enumerate(states_of(castore, head))}
        garbage = [cid for cid in there if cids.multihash_of(bytes(cid)) not in needed]
        garbage.sort(key=lambda cid: -log.get(cids.multihash_of(bytes(cid)), -1))  # the oldest states first, as above
        freed = 0
        for cid in garbage:
            freed += own.block_size(cid)
            if isinstance(own, SupportsDelete) and not dry_run:
                own.delete_block(cid)
    return Compacted(len(there) - len(garbage), len(garbage), freed)


def _reach_all(
    castore: ContentAddressableStore, roots: Iterable[bytes], seen: set[bytes], progress: bool | None
) -> None:
    """Find all blocks that roots reach, with a bar."""
    with open_bar(_BAR, unit=" blocks", progress=progress) as bar:
        for root in roots:
            reach(castore, root, seen, count=bar.set if bar.is_shown else None)


def _counted(blocks: Iterable[tuple[CID, bytes]], bar: Bar) -> Iterator[tuple[CID, bytes]]:
    for block in blocks:
        bar.update()
        yield block


def _blocks_in_order(castore: ContentAddressableStore, roots: Iterable[bytes]) -> Iterator[tuple[CID, bytes]]:
    """Yield the blocks that roots reach, those of the first root first, and those that stores of this process need.

    Blocks that lie in other files are left out.
    """
    own, references = own_part(castore), references_part(castore)

    def absent(cid: bytes) -> None:
        require_in_file(cid, references, own)

    seen: set[bytes] = set()
    for root in roots:
        if root not in seen:
            for binary, data in walk_binary(own.get_raw, root, seen, missing=absent):
                yield cids.from_validated(binary), data
    in_use: set[bytes] = set()
    reach_in_use(castore, in_use)
    for binary in in_use - seen:
        cid = cids.from_validated(binary)
        if references is None or own.has_block(cid):
            yield cid, own.get_raw(binary)


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


def _limit(castore: SupportsAge, older_than: timedelta | datetime) -> float:
    """Return the time, by the clock of the store, before which blocks are old; see :func:`_instant`."""
    now = 0.0
    if isinstance(older_than, timedelta):
        with store_errors("asking for the time"):
            now = castore.now()
    return _instant(older_than, now)


def _instant(older_than: timedelta | datetime, now: float) -> float:
    """Return an instant in seconds since 1970 in UTC.

    :raises ValueError: if an instant has no time zone
    :raises TypeError: if it is neither an age nor an instant
    """
    check_older_than(older_than)
    return now - older_than.total_seconds() if isinstance(older_than, timedelta) else older_than.timestamp()


def _old_garbage(
    castore: SupportsAge, limit: float, kept: set[bytes], freed: set[bytes], sweep: _Sweep
) -> Iterator[BlockStatus]:
    """Yield blocks that are old, not kept, and not among those that were freed before; count those that are kept."""
    for each in castore.block_statuses():
        digest = cids.multihash_of(bytes(each.cid))
        if each.time >= limit or digest in kept:
            sweep.kept_blocks += 1
        elif digest not in freed:
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


def blocks_below(castore: ContentAddressableStore, root: CID, progress: bool | None = False) -> set[bytes]:
    """Return the multihashes of all blocks that a root reaches.

    :param progress: see :func:`collect`
    """
    seen: set[bytes] = set()
    _reach_all(castore, [bytes(root)], seen, progress)
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
            stop_writers(journal, decode_state(data).positions)
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
