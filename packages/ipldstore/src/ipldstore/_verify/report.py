"""What a verification has found, as data, as text and for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from ipld_car import cids
from multiformats import CID

from ipldstore._display.page import page, section, table
from ipldstore._display.size import nbytes_text
from ipldstore._merge.node_diff import ChunkRange

Kind = Literal["missing", "damaged", "unreachable"]
"""``missing``: no block. ``damaged``: bytes that neither CID nor format allow. ``unreachable``: no answer."""

_MOST_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, repr=False)
class Failure:
    """One block that is lost."""

    path: str
    """The key that it belongs to; of a node, the path below which its keys are."""
    cid: CID
    kind: Kind
    reason: str
    keys: int | None = 1
    """How many keys are lost with it; None where that is not known."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


@dataclass(frozen=True, slots=True)
class Region:
    """A box of an array that cannot be read, or cannot be read whole."""

    chunks: ChunkRange
    """In chunk coordinates; of a sharded array, of shards."""
    start: tuple[int, ...] | None
    """The first element on each axis; None where the metadata do not tell the grid."""
    stop: tuple[int, ...] | None
    """The element after the last on each axis."""
    dimensions: tuple[str | None, ...] | None = None
    labels: tuple[tuple[str, str] | None, ...] | None = None
    """The coordinates of the first and the last element on each axis, as text; None where they cannot be read."""

    def __str__(self) -> str:
        if self.start is None or self.stop is None:
            return f"chunks {self.chunks}"
        nothing = (None,) * len(self.start)
        spans = zip(self.dimensions or nothing, self.start, self.stop, self.labels or nothing, strict=True)
        return ", ".join(
            _span(name or f"axis {at}", low, high, labels) for at, (name, low, high, labels) in enumerate(spans)
        )


def _span(name: str, low: int, high: int, labels: tuple[str, str] | None) -> str:
    """Return a part of an axis as text.

    >>> _span("time", 2, 5, ("2020-01-03", "2020-01-05")), _span("x", 0, 4, None)
    ('time 2020-01-03..2020-01-05 [2:5]', 'x 0:4')
    """
    if labels is None:
        return f"{name} {low}:{high}"
    return f"{name} {'..'.join(dict.fromkeys(labels))} [{low}:{high}]"


@dataclass(frozen=True, slots=True)
class ArrayDamage:
    """What is lost of one array."""

    path: str
    lost: dict[Kind, int]
    """By kind, the number of chunks. Those of a lost node of the index are counted as the node above says."""
    regions: tuple[Region, ...]
    """The regions that these chunks are in. Where a node of the index is lost, all chunks that it may have had."""
    is_complete: bool = True
    """Whether the regions are all; a report has bounds."""

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} chunk{'' if count == 1 else 's'} {kind}" for kind, count in self.lost.items())
        more = "" if self.is_complete else "; and more"
        shown = "; ".join(str(each) for each in self.regions[:_MOST_SHOWN])
        rest = len(self.regions) - _MOST_SHOWN
        return f"{self.path or '/'}: {counts}: {shown}{f' and {rest} more regions' if rest > 0 else ''}{more}"


@dataclass(frozen=True, repr=False)
class VerifyReport:
    """What :meth:`IPLDStore.verify` has found. It is true if every byte below the root is there and right.

    ``str`` says it in words, :attr:`data` as plain values.
    """

    root: CID
    keys: int
    """Keys whose blocks were looked for, those of lost nodes not among them."""
    blocks: int
    """Blocks that were read and are right, each counted where it is linked."""
    bytes: int
    """The bytes of these blocks."""
    arrays: tuple[ArrayDamage, ...] = ()
    """Arrays of which something is lost, by path."""
    failures: tuple[Failure, ...] = ()
    """The blocks that are lost, at most ten thousand."""
    failed: int = 0
    """How many blocks are lost."""

    def __bool__(self) -> bool:
        return not self.failed

    def __repr__(self) -> str:
        return f"<VerifyReport {self._title}>"

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self._title
        yield from (str(array) for array in self.arrays)
        for failure in self.failures[:_MOST_SHOWN]:
            yield f"{failure.kind}: {failure.path or '/'}: {failure.reason}"
        if self.failed > _MOST_SHOWN:
            yield f"and {self.failed - _MOST_SHOWN:,} more blocks"

    @property
    def _title(self) -> str:
        verdict = "good" if self else f"{self.failed:,} block{'' if self.failed == 1 else 's'} lost"
        return f"{self.root}: {verdict}; {self.keys:,} keys, {self.blocks:,} blocks, {nbytes_text(self.bytes)} verified"

    @property
    def data(self) -> dict[str, Any]:
        """The same as plain values, which JSON has."""
        return {
            "root": str(self.root),
            "good": bool(self),
            "keys": self.keys,
            "blocks": self.blocks,
            "bytes": self.bytes,
            "failed": self.failed,
            "arrays": [_array_data(array) for array in self.arrays],
            "failures": [
                {"path": each.path, "cid": str(each.cid), "kind": each.kind, "reason": each.reason, "keys": each.keys}
                for each in self.failures
            ],
        }

    def _repr_html_(self) -> str:
        facts = {
            "root": str(self.root),
            "verdict": "good" if self else "blocks are lost",
            "verified": f"{self.keys:,} keys, {self.blocks:,} blocks, {nbytes_text(self.bytes)}",
        }
        parts = []
        for array in self.arrays:
            rows = [(str(region), str(region.chunks)) for region in array.regions[:_MOST_SHOWN]]
            title = f"{array.path or '/'}: {', '.join(f'{count:,} {kind}' for kind, count in array.lost.items())}"
            parts.append(section(title, table(rows, ("region", "chunks")), count=len(array.regions)))
        if self.failures:
            blocks = [(str(each.kind), each.path or "/", str(each.cid)) for each in self.failures[:_MOST_SHOWN]]
            parts.append(section("Blocks", table(blocks, ("", "key", "CID")), count=self.failed, is_open=False))
        return page("VerifyReport", facts, parts)


def _array_data(array: ArrayDamage) -> dict[str, Any]:
    regions = [
        {
            "chunks": {"start": list(each.chunks.start), "stop": list(each.chunks.stop)},
            "start": None if each.start is None else list(each.start),
            "stop": None if each.stop is None else list(each.stop),
            "dimensions": None if each.dimensions is None else list(each.dimensions),
            "labels": None if each.labels is None else [label and list(label) for label in each.labels],
        }
        for each in array.regions
    ]
    return {"path": array.path, "lost": dict(array.lost), "regions": regions, "is_complete": array.is_complete}
