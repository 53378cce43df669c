"""Several archives in one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from ipld_car import cids
from ipld_car._car.reader import CarReader
from ipld_car.ops.archive import Source, open_stream
from ipld_car.ops.errors import Meter, Progress, naming
from ipld_car.ops.output import Target, Written, check_not_input, write_archive


def concat(
    sources: Iterable[Source],
    target: Target,
    *,
    version: int = 1,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Write all blocks of some archives, one after the other, duplicates too, with the roots of the first.

    :param sources: paths, bytes or streams
    :param target: path or stream
    :param version: of the archive that is written
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises RefusedError: if the target is one of the sources
    :raises CarError: if an archive or a block is bad, with the name of the archive; nothing is written
    :raises OSError: if something cannot be read or written

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> both = io.BytesIO()
    >>> ops.concat([archive.getvalue(), archive.getvalue()], both).blocks
    6
    """
    every = list(sources)
    check_not_input(target, *every)
    return _join(every, target, False, version, zero_length_section_as_eof, progress)


def merge(
    sources: Iterable[Source],
    target: Target,
    *,
    version: int = 2,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Write the blocks of some archives, each once, with all their roots; so also the parts that :func:`split` makes.

    :param sources: paths, bytes or streams
    :param target: path or stream; one of the sources may be replaced
    :param version: of the archive that is written
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises CarError: if an archive or a block is bad, with the name of the archive; nothing is written
    :raises OSError: if something cannot be read or written

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> both = io.BytesIO()
    >>> ops.merge([archive.getvalue(), archive.getvalue()], both).blocks
    3
    """
    return _join(list(sources), target, True, version, zero_length_section_as_eof, progress)


def _join(
    sources: list[Source], target: Target, each_once: bool, version: int, zero_is_end: bool, progress: Progress | None
) -> Written:
    meter = Meter(progress, "joining")
    with ExitStack() as inputs:  # not the output: an error that an ExitStack raises is in a cycle with its frame
        readers = [
            CarReader(inputs.enter_context(open_stream(source)), zero_length_section_as_eof=zero_is_end)
            for source in sources
        ]
        roots = [cids.to_bytes(root) for reader in (readers if each_once else readers[:1]) for root in reader.roots]
        with write_archive(target, dict.fromkeys(roots) if each_once else roots, version) as out:
            write: Callable[[bytes, bytes], object] = out.write if each_once else out.append
            for number, (source, reader) in enumerate(zip(sources, readers, strict=True)):
                with naming(source if isinstance(source, (str, os.PathLike)) else f"archive {number}"):
                    for block in reader:
                        write(block.cid_bytes, block.data)
                        meter.advance(block.location.size)
    return out.written
