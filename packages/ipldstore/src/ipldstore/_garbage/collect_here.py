"""Collecting garbage in a block store that one process writes, beside its threads."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator

from ipld_car import cids, walk_binary
from ipld_castore import (
    BlockNotFoundError,
    CarCAStore,
    ContentAddressableStore,
    SupportsDelete,
    SupportsDeleteOld,
    SupportsHead,
    SupportsList,
    SupportsRecent,
)
from multiformats import CID

from ipldstore._dataset.in_flight import collecting
from ipldstore._display.bars import Bar, open_bar
from ipldstore._format.nodes import MAX_NODE_BYTES
from ipldstore._revisions.times import check_older_than
from ipldstore.errors import IPLDStoreError, store_errors

from .collect import Compacted
from .in_files import own_part, references_part, require_in_file
from .limits import OlderThan, begin_of_operations, instant
from .needed import BAR, needed_roots, reach_all, reach_from_young, reach_in_use, require_head, states_of


def collect_here(
    castore: ContentAddressableStore, older_than: OlderThan, *, dry_run: bool = False, progress: bool | None = None
) -> Compacted:
    """Free unneeded blocks of a block store that one process writes, a CAR file or a mapping, beside its threads.

    Blocks that this process has put since ``older_than`` are young; those that were there before are not.

    :param older_than: how long blocks are young, and of a repository how long states stay in the operation log, by the
        times that are written in them; None keeps all of the log, and takes no block for young
    :param dry_run: see :func:`collect`, also for ``progress``
    :raises IPLDStoreError: if a block that is needed is missing or wrong, or the block store cannot free blocks
    """
    own = own_part(castore)
    is_car = isinstance(own, CarCAStore) and own.writable
    if not is_car and not (isinstance(own, SupportsDelete) and isinstance(own, SupportsList)):
        raise IPLDStoreError(f"expected a block store that frees blocks, found {castore!r}")
    if not isinstance(own, SupportsHead):
        raise IPLDStoreError(f"expected a block store with a head, found {castore!r}")
    if older_than is not None:
        check_older_than(older_than)
    with store_errors(f"compacting {castore!r}"), collecting(castore):
        puts = own if isinstance(own, SupportsRecent) else _UnknownPuts()
        now = puts.now()
        log_limit = -math.inf if older_than is None else instant(older_than, now)
        limit = min(now if older_than is None else log_limit, begin_of_operations(castore, puts.now))
        if isinstance(own, CarCAStore) and not dry_run:
            there = sum(1 for _ in own)
            with open_bar(BAR, unit=" blocks", progress=progress) as bar:
                kept, shorter = own.rewrite(_counted(_blocks_in_order(castore, own, log_limit, limit), bar), limit)
            return Compacted(kept, max(0, there - kept), max(0, shorter))  # an index can make the file longer
        return _collect_here(castore, own, puts, log_limit, limit, dry_run=dry_run, progress=progress)


class _UnknownPuts:
    """The puts of a store that does not record when blocks were put."""

    def now(self) -> float:
        """See :meth:`SupportsRecent.now`."""
        return time.time()

    def recent(self, since: float) -> Iterator[CID]:
        """See :meth:`SupportsRecent.recent`."""
        return iter(())


def _collect_here(
    castore: ContentAddressableStore,
    own: ContentAddressableStore,
    puts: SupportsRecent,
    log_limit: float,
    limit: float,
    *,
    dry_run: bool,
    progress: bool | None,
) -> Compacted:
    """Delete the garbage of a mapping; or say what is garbage there, or in a CAR file.

    :param puts: knows what was put into the store lately
    :param log_limit: the time before which states leave the operation log
    :param limit: the time before which blocks are old
    """
    assert isinstance(own, SupportsHead)  # noqa: S101  # as collect_here() has seen
    there = list(own) if isinstance(own, SupportsList) else []  # before the head: a commit puts first
    head = bytes(require_head(own))
    seen: set[bytes] = set()
    reach_all(castore, _roots_here(castore, head, log_limit), seen, progress)
    _reach_beside(castore, own, puts, limit, seen)
    needed = {cids.multihash_of(cid) for cid in seen}
    log = {cids.multihash_of(cid): number for number, (cid, _) in enumerate(states_of(castore, head))}
    garbage = [cid for cid in there if cids.multihash_of(bytes(cid)) not in needed]
    garbage.sort(key=lambda cid: -log.get(cids.multihash_of(bytes(cid)), -1))  # the oldest states first: see collect()
    sizes = {cid: own.block_size(cid) for cid in garbage}
    freed = garbage if dry_run else list(_delete_here(own, garbage, limit))
    return Compacted(len(there) - len(freed), len(freed), sum(sizes[cid] for cid in freed))


def _roots_here(castore: ContentAddressableStore, head: bytes, log_limit: float) -> list[bytes]:
    return needed_roots(castore, head, lambda _, state: state.time >= log_limit * 1e6)


def _delete_here(own: ContentAddressableStore, garbage: list[CID], limit: float) -> Iterator[CID]:
    if isinstance(own, SupportsDeleteOld):
        yield from own.delete_old(garbage, limit)
    elif isinstance(own, SupportsDelete):  # an iteration does not show what is put meanwhile
        for cid in garbage:
            own.delete_block(cid)
            yield cid


def _reach_beside(
    castore: ContentAddressableStore, own: ContentAddressableStore, puts: SupportsRecent, limit: float, seen: set[bytes]
) -> None:
    """Find what stores of this process need, and what they have put lately, with what that links."""
    reach_in_use(castore, seen)
    recent = [bytes(cid) for cid in puts.recent(limit)]
    reach_from_young(castore, (cid for cid in recent if cid not in seen and _is_small(own, cid)), seen)
    seen.update(recent)


def _is_small(own: ContentAddressableStore, cid: bytes) -> bool:
    """Return whether a block can be a node. One that is just being put does not count: it links young blocks."""
    try:
        return own.block_size(cids.from_validated(cid)) <= MAX_NODE_BYTES
    except BlockNotFoundError:
        return False


def _counted(blocks: Iterable[tuple[CID, bytes]], bar: Bar) -> Iterator[tuple[CID, bytes]]:
    for block in blocks:
        bar.update()
        yield block


def _blocks_in_order(
    castore: ContentAddressableStore, own: CarCAStore, log_limit: float, limit: float
) -> Iterator[tuple[CID, bytes]]:
    """Yield the blocks that roots reach, those of the head first, and those that stores of this process need.

    Blocks that lie in other files are left out. Nothing is read before the first block is asked for.
    """
    references = references_part(castore)

    def absent(cid: bytes) -> None:
        require_in_file(cid, references, own)

    seen: set[bytes] = set()
    for root in _roots_here(castore, bytes(require_head(own)), log_limit):
        if root not in seen:
            for binary, data in walk_binary(own.get_raw, root, seen, missing=absent):
                yield cids.from_validated(binary), data
    beside: set[bytes] = set()
    _reach_beside(castore, own, own, limit, beside)
    for binary in sorted(beside - seen):
        cid = cids.from_validated(binary)
        if references is None or own.has_block(cid):
            yield cid, own.get_raw(binary)
