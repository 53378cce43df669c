"""``ipld-car verify``: whether an archive is all it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from typing import Final

from ipld_car import cids, varint
from ipld_car._car.index import CarIndex, IndexEntry
from ipld_car._cli.progress import Progress
from ipld_car.errors import CarError

from .check_blocks import OK, Part, Verdict
from .layout import Layout, read_layout
from .parallel_verify import check_parts

_TOLD_FAULTS: Final = 20
_HEAD: Final = varint.MAX_BYTES + cids.MAX_CID_BYTES


@dataclass
class Report:
    """What was found of an archive."""

    version: int | None = None
    """None if not even the header can be read."""
    roots: list[bytes] = field(default_factory=list)
    blocks: int = 0
    distinct: int = 0
    bad: int = 0
    """Blocks that are not what their CIDs say."""
    missing: list[bytes] = field(default_factory=list)
    """CIDs that a block links, or the header names as root, and no block has; in their order as bytes."""
    not_followed: Counter[int] = field(default_factory=Counter)
    """Codecs of the blocks of which nobody here knows what they link, so that it may be missing."""
    missing_roots: list[bytes] = field(default_factory=list)
    index_entries: int | None = None
    """None without an index."""
    index_faults: int = 0
    told_faults: list[str] = field(default_factory=list)
    """What is wrong with the index; the first of the faults."""
    error: CarError | None = None
    """Why the archive cannot be read any further, if that is so."""

    def is_good(self, *, partial: bool) -> bool:
        """Whether nothing is wrong.

        :param partial: blocks that are linked may be missing
        """
        lacks = self.missing_roots or (self.missing and not partial)
        return not (self.bad or lacks or self.index_faults or self.error)


def verify(
    path: Path,
    buffer: mmap | bytes,
    *,
    jobs: int,
    tell: Callable[[Verdict], None],
    every: bool,
    progress: Progress,
) -> Report:
    """Verify an archive.

    :param path: the file that ``buffer`` has mapped
    :param jobs: processes that work at once
    :param tell: gets the verdict of each bad block
    :param every: of each good one too
    """
    try:
        layout = read_layout(buffer)
    except CarError as error:
        return Report(error=error)
    report = Report(layout.version, layout.roots)
    seen: set[bytes] = set()
    links: set[bytes] = set()
    for part in check_parts(path, buffer, layout.first, layout.end, jobs=jobs, sizes=every):
        seen.update(part.cids)
        links |= part.links
        report.not_followed += part.not_followed
        for verdict in _verdicts(part):
            tell(verdict._replace(number=report.blocks + verdict.number))
        report.blocks += len(part.cids)
        report.bad += len(part.bad)
        report.error = part.error and part.error.at(part.end, report.blocks)
        progress.advance(part.end - part.start)
    report.distinct = len(seen)
    if report.error is None:
        report.missing = sorted(_missing(links.union(layout.roots), seen))
        lacking = set(report.missing)
        report.missing_roots = [root for root in layout.roots if root in lacking]
    if layout.v2_header is not None and layout.v2_header.index_offset:
        for fault in _index_faults(report, buffer, layout, layout.v2_header.index_offset, seen):
            report.index_faults += 1
            if report.index_faults <= _TOLD_FAULTS:
                report.told_faults.append(fault)
    return report


def _verdicts(part: Part) -> Iterator[Verdict]:
    """The verdicts of a part: of its bad blocks, or of all if it tells where they are."""
    if part.sizes is None:
        yield from part.bad
        return
    bad = {verdict.number: verdict for verdict in part.bad}
    for number, (cid, (offset, size)) in enumerate(zip(part.cids, part.sizes, strict=True)):
        yield bad.get(number) or Verdict(number, offset, size, cid, OK)


def _missing(wanted: set[bytes], seen: set[bytes]) -> set[bytes]:
    """Which CIDs name no block that is there: under another codec, or in the CID itself, it is there too."""
    missing = {cid for cid in wanted - seen if cids.prefix_of(cid).hash_code != cids.IDENTITY}
    if missing:
        hashes = set(map(cids.multihash_of, seen))
        missing = {cid for cid in missing if cids.multihash_of(cid) not in hashes}
    return missing


# -- the index ---------------------------------------------------------------------------------------


def _index_faults(report: Report, buffer: mmap | bytes, layout: Layout, start: int, seen: set[bytes]) -> Iterator[str]:
    """What is wrong with the index: entries that point to no block of their digest, and blocks without an entry."""
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
            yield f"entry {entry.digest.hex()} stands behind one that is larger: looking for it may fail"
        before = *bucket, entry.digest
        if not _points_to(buffer, layout, entry):
            place = layout.start + entry.offset
            yield f"entry {entry.digest.hex()} points to {place}, where no block of this digest is"
        unindexed.discard(entry.digest)
    for digest in sorted(filter(None, unindexed)):
        yield f"no entry for the block of digest {digest.hex()}"


def _digest(cid: bytes) -> bytes | None:
    """The digest of a CID; None if it is identity, for which no index has entries."""
    if cids.is_cidv1_sha256(cid):
        return cid[4:]
    prefix = cids.prefix_of(cid)
    return None if prefix.hash_code == cids.IDENTITY else cid[prefix.size :]


def _points_to(buffer: mmap | bytes, layout: Layout, entry: IndexEntry) -> bool:
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
