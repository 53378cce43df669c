"""``ipld-car inspect``: figures about an archive, as go-car gives them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any, Final

from ipld_car import cids
from ipld_car._car.header import PRAGMA, V2Header
from ipld_car._car.index import INDEX_SORTED, MULTIHASH_INDEX_SORTED, CarIndex
from ipld_car._car.reader import CarReader
from ipld_car._cli.progress import Progress
from ipld_car.errors import CarError, MalformedError

from .codec_names import by_name, code_name
from .layout import Layout, read_layout
from .sections import sections

INDEX_NAMES: Final = {INDEX_SORTED: "car-index-sorted", MULTIHASH_INDEX_SORTED: "car-multihash-index-sorted"}


@dataclass
class Sizes:
    """Smallest, mean and largest of some lengths, in bytes."""

    count: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def add(self, size: int) -> None:
        """Take one more into account."""
        self.least = size if not self.count else min(self.least, size)
        self.most = max(self.most, size)
        self.count += 1
        self.total += size

    def figures(self) -> dict[str, int]:
        """As a mapping; the mean is rounded down."""
        return {"min": self.least, "mean": self.total // max(self.count, 1), "max": self.most}

    def __str__(self) -> str:
        return " / ".join(map(str, self.figures().values()))


@dataclass
class Inspection:
    """What is in an archive."""

    layout: Layout
    characteristics: str = ""
    index: str = "(none)"
    """The name of the index's codec."""
    roots_present: bool = False
    block_sizes: Sizes = field(default_factory=Sizes)
    cid_sizes: Sizes = field(default_factory=Sizes)
    codecs: Counter[int] = field(default_factory=Counter)
    hashes: Counter[int] = field(default_factory=Counter)


def inspect(buffer: mmap | bytes, *, full: bool, progress: Progress) -> Inspection:
    """Collect the figures of an archive, which may be padded with zeros, as go-car lets it be here.

    :param full: hash every block, too
    :raises CarError: if something cannot be read, or with ``full`` a block is bad
    """
    layout = read_layout(buffer)
    found = Inspection(layout)
    if layout.v2_header is not None:
        found.characteristics = buffer[len(PRAGMA) : len(PRAGMA) + 16].hex()
        found.index = _index_name(buffer, layout.v2_header)
    if full:
        if isinstance(buffer, mmap):
            buffer.seek(0)
        for block in CarReader(buffer, zero_length_section_as_eof=True):
            progress.advance(len(block.data))
    lacking = set(layout.roots)
    forms: Counter[tuple[int, int]] = Counter()
    for _, cid, _, size in sections(buffer, layout, zero_is_end=True):
        found.block_sizes.add(size)
        found.cid_sizes.add(len(cid))
        prefix = cids.prefix_of(cid)
        forms[prefix.codec, prefix.hash_code] += 1
        lacking.discard(cid)
    for (codec, hash_code), count in forms.items():
        found.codecs[codec] += count
        found.hashes[hash_code] += count
    found.roots_present = not lacking
    return found


def _index_name(buffer: mmap | bytes, header: V2Header) -> str:
    if not header.index_offset:
        return "(none)"
    try:
        return INDEX_NAMES[CarIndex(buffer, header.index_offset).codec]
    except CarError as error:
        raise MalformedError(f"its index cannot be read: {error}") from error


def report(found: Inspection) -> str:
    """The figures for a person, word for word as go-car prints them."""
    layout = found.layout
    lines = [f"Version: {layout.version}"]
    if layout.v2_header is not None:
        lines += [
            f"Characteristics: {found.characteristics}",
            f"Data offset: {layout.v2_header.data_offset}",
            f"Data (payload) length: {layout.v2_header.data_size}",
            f"Index offset: {layout.v2_header.index_offset}",
            f"Index type: {found.index}",
        ]
    roots = [cids.to_text(root) for root in layout.roots]
    named = " (none)" if not roots else f" {roots[0]}" if len(roots) == 1 else "".join(f"\n\t{root}" for root in roots)
    lines += [
        f"Roots:{named}",
        f"Root blocks present in data: {'Yes' if found.roots_present else 'No'}",
        f"Block count: {found.block_sizes.count}",
        f"Min / average / max block length (bytes): {found.block_sizes}",
        f"Min / average / max CID length (bytes): {found.cid_sizes}",
        "Block count per codec:",
        *(f"\t{code_name(code)}: {count}" for code, count in sorted(found.codecs.items())),
        "CID count per multihash:",
        *(f"\t{code_name(code)}: {count}" for code, count in sorted(found.hashes.items())),
    ]
    return "\n".join(lines)


def as_mapping(found: Inspection) -> dict[str, Any]:
    """The figures for a machine."""
    layout = found.layout
    figures: dict[str, Any] = {"version": layout.version}
    if layout.v2_header is not None:
        figures |= {
            "characteristics": found.characteristics,
            "data_offset": layout.v2_header.data_offset,
            "data_size": layout.v2_header.data_size,
            "index_offset": layout.v2_header.index_offset,
            "index": found.index,
        }
    return figures | {
        "roots": [cids.to_text(root) for root in layout.roots],
        "roots_present": found.roots_present,
        "blocks": found.block_sizes.count,
        "block_bytes": found.block_sizes.figures(),
        "cid_bytes": found.cid_sizes.figures(),
        "codecs": by_name(found.codecs),
        "multihashes": by_name(found.hashes),
    }
