"""Verify an archive: its blocks, roots, links and index."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from mmap import mmap
from typing import Final

from multiformats import CID

from ipld_car import cids, varint
from ipld_car._car.index import CarIndex, IndexEntry
from ipld_car._file.layout import Layout, read_layout
from ipld_car.errors import CarError, without_frames

from .archive import Source, open_buffer
from .check_blocks import OK, Part, Verdict
from .errors import Meter, Progress
from .parallel_verify import check_parts

_MAX_DETAILS: Final = 20
_HEAD: Final = varint.MAX_BYTES + cids.MAX_CID_BYTES


@dataclass(repr=False)
class Report:
    """The result of :func:`verify`."""

    version: int | None = None
    """None if not even the header can be read."""
    roots: list[CID] = field(default_factory=list)
    blocks: int = 0
    distinct: int = 0
    """Blocks without duplicates."""
    bad: int = 0
    """Blocks that are not what their CIDs say."""
    missing: list[CID] = field(default_factory=list)
    """CIDs that a block links, or the header names as root, and no block has; in the order of their bytes."""
    not_followed: Counter[int] = field(default_factory=Counter)
    """Blocks by codec, of those whose links are not known here, so that what they link may be missing."""
    missing_roots: list[CID] = field(default_factory=list)
    index_entries: int | None = None
    """None without an index."""
    index_faults: int = 0
    """What is wrong with the index, counted."""
    index_details: list[str] = field(default_factory=list)
    """The first 20 of these faults, in words."""
    error: CarError | None = None
    """Why the archive cannot be read any further, if that is so."""

    def __repr__(self) -> str:
        return cids.record_repr(self)

    def is_good(self, *, partial: bool = False) -> bool:
        """Return whether nothing is wrong.

        :param partial: blocks that are linked may be missing, roots may not
        """
        lacks = self.missing_roots or (self.missing and not partial)
        return not (self.bad or lacks or self.index_faults or self.error)


def verify(
    source: Source,
    *,
    jobs: int = 1,
    on_verdict: Callable[[Verdict], object] | None = None,
    every: bool = False,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Verify an archive: hash every block, look for the roots and for what blocks link, compare the index.

    A bad archive is no exception: the report says what is wrong.

    :param source: path, bytes or stream
    :param jobs: processes that hash at once, if the source is a file; 0 for as many as there are processors
    :param on_verdict: called with a :class:`Verdict` on each bad block, in their order
    :param every: call it for good blocks too
    :param zero_length_section_as_eof: take a section of length zero for the end, as archives that are padded with
        zeros need it
    :param progress: see :data:`Progress`
    :raises OSError: if the source cannot be read

    >>> from ipld_car import ops
    >>> report = ops.verify(bytes.fromhex("11a265726f6f7473806776657273696f6e01"))
    >>> report.is_good(), report.blocks
    (True, 0)
    """
    with open_buffer(source, progress) as (path, buffer):
        try:
            layout = read_layout(buffer)
        except CarError as error:
            return Report(error=without_frames(error))
        report = Report(layout.version, list(map(cids.from_bytes, layout.roots)))
        parts = check_parts(
            path,
            buffer,
            layout.first,
            layout.end,
            jobs=jobs or os.cpu_count() or 1,
            sizes=every and on_verdict is not None,
            zero_is_end=zero_length_section_as_eof,
        )
        seen, links = _read_parts(report, parts, on_verdict, Meter(progress, "verifying", layout.end - layout.first))
        report.distinct = len(seen)
        if report.error is None:
            lacking = _missing(links.union(layout.roots), seen)
            report.missing = list(map(cids.from_bytes, sorted(lacking)))
            report.missing_roots = [cids.from_bytes(root) for root in layout.roots if root in lacking]
        if layout.index_offset:
            for fault in _index_faults(report, buffer, layout, layout.index_offset, seen):
                report.index_faults += 1
                if report.index_faults <= _MAX_DETAILS:
                    report.index_details.append(fault)
        return report


def _read_parts(
    report: Report, parts: Iterable[Part], on_verdict: Callable[[Verdict], object] | None, meter: Meter
) -> tuple[set[bytes], set[bytes]]:
    """Report what is in the parts of an archive; return the CIDs of their blocks, and those that these link."""
    seen: set[bytes] = set()
    links: set[bytes] = set()
    for part in parts:
        seen.update(part.cids)
        links |= part.links
        report.not_followed += part.not_followed
        if on_verdict is not None:
            for verdict in _verdicts(part):
                on_verdict(verdict._replace(number=report.blocks + verdict.number))
        report.blocks += len(part.cids)
        report.bad += len(part.bad)
        report.error = part.error and part.error.at(part.end, report.blocks)
        meter.advance(part.end - part.start)
    return seen, links


def _verdicts(part: Part) -> Iterator[Verdict]:
    """Yield the verdicts of a part: on its bad blocks, or on all if it has the sizes of all."""
    if part.sizes is None:
        yield from part.bad
        return
    bad = {verdict.number: verdict for verdict in part.bad}
    for number, (cid, (offset, size)) in enumerate(zip(part.cids, part.sizes, strict=True)):
        yield bad.get(number) or Verdict(number, offset, size, cid, OK)


def _missing(wanted: set[bytes], seen: set[bytes]) -> set[bytes]:
    """Return the CIDs that name no block that is there, under any codec, and do not hold their block themselves."""
    missing = {cid for cid in wanted - seen if cids.prefix_of(cid).hash_code != cids.IDENTITY}
    if missing:
        hashes = set(map(cids.multihash_of, seen))
        missing = {cid for cid in missing if cids.multihash_of(cid) not in hashes}
    return missing


# -- the index ---------------------------------------------------------------------------------------


def _index_faults(report: Report, buffer: mmap | bytes, layout: Layout, start: int, seen: set[bytes]) -> Iterator[str]:
    """Yield what is wrong with the index: entries that point to no block of their digest, blocks without an entry."""
    try:
        index = CarIndex(buffer, start)
    except CarError as error:
        yield str(error)
        return
    report.index_entries = len(index)
    unindexed = {_digest(cid) for cid in seen}
    unindexed.discard(None)
    before: tuple[int | None, int, bytes] = (None, 0, b"")
    for entry in index:
        bucket = entry.hash_code, len(entry.digest)
        if bucket == before[:2] and entry.digest < before[2]:
            yield f"entry {entry.digest.hex()} follows a larger one: looking for it may fail"
        before = *bucket, entry.digest
        if not _points_to(buffer, layout, entry):
            place = layout.start + entry.offset
            yield f"entry {entry.digest.hex()} points to {place}, where no block of this digest is"
        unindexed.discard(entry.digest)
    for digest in sorted(filter(None, unindexed)):
        yield f"no entry for the block of digest {digest.hex()}"


def _digest(cid: bytes) -> bytes | None:
    """Return the digest of a CID; None if it is identity, for which no index has entries."""
    if cids.is_cidv1_sha256(cid):
        return cid[4:]
    prefix = cids.prefix_of(cid)
    return None if prefix.hash_code == cids.IDENTITY else cid[prefix.size :]


def _points_to(buffer: mmap | bytes, layout: Layout, entry: IndexEntry) -> bool:
    """Return whether an entry has the offset of a section with its digest."""
    position = layout.start + entry.offset
    if not layout.first <= position < layout.end:
        return False
    head = buffer[position : min(position + _HEAD, layout.end)]
    try:
        size, at = varint.decode(head)
        prefix = cids.prefix_of(head, at, min(at + size, len(head)))
    except CarError:
        return False
    found = head[at + prefix.size : at + prefix.cid_size]
    return found == entry.digest and entry.hash_code in (None, prefix.hash_code)
