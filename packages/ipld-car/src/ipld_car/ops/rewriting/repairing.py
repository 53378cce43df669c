"""The whole blocks of a damaged archive."""

from __future__ import annotations

import os
from typing import NamedTuple

from multiformats import CID

from ipld_car import cids
from ipld_car._file.layout import read_layout
from ipld_car._file.salvage import undamaged_sections
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

    Behind damage the next section is found whose block has the SHA-256 or BLAKE3 in its CID.

    :param source: path, bytes or stream; its header must be whole
    :param target: path or stream; the archive itself may be replaced
    :param version: of the archive that is written
    :param zero_length_section_as_eof: see :func:`verify`; but if anything but zeros follows, it is damage
    :param progress: see :data:`Progress`
    :raises CarError: if the header is damaged; nothing is written
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
    with open_buffer(source, progress) as (_, buffer):
        with naming(source if isinstance(source, (str, os.PathLike)) else None):
            layout = read_layout(buffer, allow_unfinished=True, allow_truncated=True)
        stop = layout.end if layout.finished else len(buffer)
        meter = Meter(progress, "repairing", stop - layout.first)
        zeros = zero_length_section_as_eof
        found = undamaged_sections(buffer, layout.first, stop, lost, zero_is_end=zeros, verifies_all=True)
        with write_archive(target, layout.roots, version) as out:
            for _, cid, begin, size in found:
                out.write(cid, bytes(buffer[begin : begin + size]))
                meter.reach(begin + size - layout.first)
    return Repaired(out.written.roots, out.written.blocks, lost)
