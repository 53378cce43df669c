"""Fetch the blocks that are missing or damaged from another block store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from ipld_car import CarError, binary_links, cids
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockMalformedError,
    BlockNotFoundError,
    ContentAddressableStore,
)
from ipld_castore.concurrency import in_order
from multiformats import CID

from ipldstore._display.bars import Progress
from ipldstore._read.reach import is_node
from ipldstore.errors import store_errors

_THREADS: Final = 16
"""Blocks that are read at a time."""


class Repaired(NamedTuple):
    """What a repair has done."""

    checked: int
    """Blocks that were read here."""
    blocks: int
    """Blocks that were fetched, as they were missing or damaged."""
    bytes: int
    """Bytes of these blocks."""
    lost: tuple[CID, ...]
    """Blocks that the other block store could not give either."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


def repair(
    castore: ContentAddressableStore, root: bytes, source: ContentAddressableStore, progress: Progress | None = None
) -> Repaired:
    """Read every block that a root reaches, and fetch those that are missing or damaged from elsewhere, level by level.

    What is fetched is verified, and put where the damaged block was. Memory: some 100 bytes for each node and chunk.

    :param root: binary CID of any root: of a dataset, a commit or the state of a repository
    :param source: where good blocks are
    :param progress: called as the work goes on
    :raises IPLDStoreError: if a block cannot be written, or the block store that is repaired does not answer
    """
    checked = fetched = size = read = 0
    lost: list[CID] = []
    seen = {root}
    waiting = [root]
    with store_errors("repairing"):
        while waiting:
            level, waiting = waiting, []
            for cid, data, is_new in _read(castore, source, level):
                checked += 1
                if data is None:
                    lost.append(cids.from_validated(cid))
                    continue
                if is_new:
                    castore.put_block(cids.from_validated(cid), data)
                    fetched += 1
                    size += len(data)
                read += len(data)
                if progress is not None:
                    progress("repairing", read, None)
                if is_node(cid):
                    fresh = [link for link in dict.fromkeys(_links(cid, data)) if link not in seen]
                    seen.update(fresh)
                    waiting += fresh
        castore.flush()
    return Repaired(checked, fetched, size, tuple(lost))


def _read(
    castore: ContentAddressableStore, source: ContentAddressableStore, level: Iterable[bytes]
) -> Iterator[tuple[bytes, bytes | None, bool]]:
    """Yield each block that is right in one of two stores, and whether it is the second; None if it is in neither."""
    missing: list[bytes] = []
    for cid, data in _many(castore, partial(_good, castore), level):
        if data is None:
            missing.append(cid)
        else:
            yield cid, data, False
    for cid, data in _many(source, partial(_from_elsewhere, source), missing):
        yield cid, data, True


def _many(
    castore: ContentAddressableStore, read: Callable[[bytes], bytes | None], wanted: Iterable[bytes]
) -> Iterator[tuple[bytes, bytes | None]]:
    """Read blocks, many at a time where they are far away: near, a thread costs more than most blocks."""
    return ((cid, read(cid)) for cid in wanted) if castore.local else in_order(read, wanted, threads=_THREADS)


def _good(castore: ContentAddressableStore, cid: bytes) -> bytes | None:
    """Return a block if it is there and right."""
    with suppress(BlockNotFoundError, BlockCorruptError):
        return castore.get_raw(cid)
    return None


def _from_elsewhere(source: ContentAddressableStore, cid: bytes) -> bytes | None:
    with suppress(BackendUnavailableError):
        return _good(source, cid)
    return None


def _links(cid: bytes, data: bytes) -> list[bytes]:
    try:
        return list(binary_links(cid, data))
    except CarError as error:
        raise BlockMalformedError(f"block {cids.to_text(cid)}: {error}") from error
