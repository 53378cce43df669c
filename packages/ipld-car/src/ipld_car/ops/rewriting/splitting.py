"""An archive in several smaller ones."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from ipld_car._car.header import encode_header
from ipld_car._car.reader import CarReader
from ipld_car.ops.archive import Source, open_archive
from ipld_car.ops.errors import Meter, Progress, RefusedError
from ipld_car.ops.output import write_archive


class SplitPart(NamedTuple):
    """An archive that :func:`split` wrote."""

    path: Path
    blocks: int
    size: int
    """Bytes of the file."""


def split(
    source: Source,
    prefix: str | os.PathLike[str],
    size: int,
    *,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> list[SplitPart]:
    """Cut an archive into archives of at most ``size`` bytes, each a CARv1 with the roots of the whole.

    The blocks are verified and keep their order; :func:`merge` gives the whole again. After an error no part is there.

    :param source: path, bytes or stream
    :param prefix: what the paths of the parts begin with, before ``0000.car``, ``0001.car`` and so on
    :param size: bytes of a part at most
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises RefusedError: if a block is larger than a part may be
    :raises FileExistsError: if a part is there already; nothing is written
    :raises CarError: if the archive or a block is bad
    :raises OSError: if something cannot be read or written

    >>> import io, tempfile
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> _ = ops.create(archive, [ops.NamedFile("a.txt", b"one" * 100), ops.NamedFile("b.txt", b"two" * 100)])
    >>> len(ops.split(archive.getvalue(), tempfile.mkdtemp() + "/part", 600))
    2
    """
    meter = Meter(progress, "splitting")
    with open_archive(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress) as archive:
        roots, buffer = archive.roots, archive.buffer
        header = len(encode_header(roots))
        counts = _counts((begin + length - at for at, _, begin, length in archive.sections()), header, size)
        names = [Path(f"{os.fspath(prefix)}{number:04}.car") for number in range(len(counts))]
        for name in names:
            if name.exists():
                raise FileExistsError(errno.EEXIST, "is there already: nothing is written", str(name))
        written: list[SplitPart] = []
        if isinstance(buffer, mmap):
            buffer.seek(0)
        try:
            blocks = iter(CarReader(buffer, zero_length_section_as_eof=zero_length_section_as_eof))
            for name, count in zip(names, counts, strict=True):
                with write_archive(name, roots) as out:
                    for _ in range(count):
                        block = next(blocks)
                        out.append(block.cid_bytes, block.data)
                        meter.advance(block.location.size)
                written.append(SplitPart(name, count, header + out.size))
        except BaseException:
            for part in written:
                part.path.unlink()
            raise
        return written


def _counts(sizes: Iterable[int], header: int, limit: int) -> list[int]:
    """Return how many sections of these sizes go into each part."""
    counts = [0]
    room = limit - header
    for number, size in enumerate(sizes):
        if size > limit - header:
            raise RefusedError(
                f"expected parts that hold block {number}, a section of {size} bytes behind a header of {header}; "
                f"found a size of {limit}"
            )
        if size > room:
            counts.append(0)
            room = limit - header
        counts[-1] += 1
        room -= size
    return counts
