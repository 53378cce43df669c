"""The whole blocks of a damaged archive."""

from __future__ import annotations

import os
from typing import NamedTuple

from multiformats import CID

from ipld_car import cids
from ipld_car._file.layout import Buffer, Layout, read_layout
from ipld_car._file.salvage import undamaged_sections
from ipld_car.errors import CarError
from ipld_car.ops.archive import Source, open_buffer
from ipld_car.ops.errors import Meter, Progress, naming
from ipld_car.ops.output import Target, write_archive


class Repaired(NamedTuple):
    """The result of :func:`repair`."""

    roots: list[CID]
    blocks: int
    lost: list[tuple[int, int]]
    """Ranges of bytes of the source in which there is no whole block: the start, and the position behind the end."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


def repair(
    source: Source,
    target: Target,
    *,
    version: int = 2,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> Repaired:
    """Write the whole blocks of a damaged archive: each block with the hash in its CID, once, with the same roots.

    Behind damage the next section is found whose block has the SHA-256 or BLAKE3 in its CID. Where the header is
    damaged, its roots are lost, and the archive that is written has none: :func:`get_dag` writes one of a root that is
    known. Where it says that the blocks end before others that are whole, these are written too.

    :param source: path, bytes or stream
    :param target: path or stream; the archive itself may be replaced
    :param version: of the archive that is written
    :param zero_length_section_as_eof: see :func:`verify`; but if anything but zeros follows, it is damage
    :param progress: see :data:`Progress`
    :raises CarError: if the header is damaged, and no whole block is there; nothing is written
    :raises OSError: if something cannot be read or written

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> damaged = archive.getvalue().replace(b"one", b"0ne")
    >>> whole = io.BytesIO()
    >>> ops.repair(damaged, whole).blocks
    2
    """
    lost: list[tuple[int, int]] = []
    zeros = zero_length_section_as_eof
    with open_buffer(source, progress) as (_, buffer):
        with naming(source if isinstance(source, (str, os.PathLike)) else None):
            roots, first, stop = _place_of_sections(buffer)
        meter = Meter(progress, "repairing", stop - first)
        found = undamaged_sections(buffer, first, stop, lost, zero_is_end=zeros, verifies_all=True)
        with write_archive(target, roots, version) as out:
            for _, cid, begin, size in found:
                out.write(cid, bytes(buffer[begin : begin + size]))
                meter.reach(begin + size - first)
    return Repaired(out.written.roots, out.written.blocks, lost)


def _place_of_sections(buffer: Buffer) -> tuple[list[bytes], int, int]:
    """Return the roots of an archive, where its sections begin, and where they end.

    :return: without roots, and with the whole archive for the place, if the header is damaged
    :raises CarError: if it is, and there is no whole section
    """
    try:
        layout = read_layout(buffer, allow_unfinished=True, allow_truncated=True)
    except CarError:
        if next(undamaged_sections(buffer, 0, len(buffer), [], verifies_all=True), None) is None:
            raise
        return [], 0, len(buffer)
    return layout.roots, layout.first, _end_of_sections(buffer, layout)


def _end_of_sections(buffer: Buffer, layout: Layout) -> int:
    """Return the position behind the last section: where the header says, unless a whole section lies behind it."""
    if not layout.finished:
        return len(buffer)
    limit = len(buffer)
    if layout.end <= layout.index_offset < limit:
        limit = layout.index_offset
    beyond = undamaged_sections(buffer, layout.end, limit, [], verifies_all=True)
    return layout.end if next(beyond, None) is None else limit
