"""Archives out of archives: filter, concat, merge, split, repair, the DAG below a block; a block into an archive."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from multiformats import CID

from ipld_car import cids
from ipld_car._car.header import encode_header
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car._car.reader import CarReader
from ipld_car._file.car_file import CarFile
from ipld_car._file.layout import read_layout
from ipld_car._file.salvage import undamaged_sections
from ipld_car._graph.selector import Selector, walk_selected
from ipld_car._graph.selector_json import parse
from ipld_car._graph.walk import KNOWN_CODECS, binary_links, walk_binary
from ipld_car.errors import CarError
from ipld_car.hashes import verify_digest
from ipld_car.messages import Message, Term
from ipld_car.ops.archive import Archive, Source, binary_or_none, missing_block, open_archive, open_buffer, open_stream
from ipld_car.ops.errors import Meter, Progress, RefusedError, naming
from ipld_car.ops.output import Target, Written, check_not_input, write_archive

# -- filter ------------------------------------------------------------------------------------------


def filter_blocks(
    source: Source,
    target: Target,
    wanted: Iterable[CID | str | bytes],
    *,
    inverse: bool = False,
    append: bool = False,
    version: int = 2,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Write the blocks with these CIDs, or all others; each once, verified, in their order.

    Roots that are left out are not in the header either.

    :param source: path, bytes or stream
    :param target: path or stream; the archive itself may be replaced
    :param wanted: CIDs
    :param inverse: leave these CIDs out, and keep all others
    :param append: add the blocks to the target, a CARv2, and keep its roots. A new file replaces it, so a
        failure leaves it as it was
    :param version: of the archive that is written
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises RefusedError: if a CARv1 is to be appended to
    :raises CarError: if an archive or a block is bad; nothing is written
    :raises OSError: if something cannot be read or written
    """
    kept = frozenset(map(cids.to_bytes, wanted))
    meter = Meter(progress, "filtering")
    with ExitStack() as inputs:  # not the output, see _join
        old: Iterable[tuple[bytes, bytes]] = ()
        if append:
            if not isinstance(target, (str, os.PathLike)):
                raise TypeError(f"expected the path of a CARv2 to append to, found {type(target).__name__}")
            before = CarReader(inputs.enter_context(open_stream(target)))
            if before.version != 2 or version != 2:
                raise RefusedError(f"{target}: expected a CARv2 to append to, found a CARv{before.version}")
            old = ((block.cid_bytes, block.data) for block in before)
        reader = CarReader(
            inputs.enter_context(open_stream(source)), zero_length_section_as_eof=zero_length_section_as_eof
        )
        roots = [cids.to_bytes(root) for root in (before if append else reader).roots]
        if not append:
            roots = [root for root in roots if (root in kept) is not inverse]
        with write_archive(target, roots, version) as out:
            for cid, data in old:
                out.write(cid, data)
            for block in reader:
                if (block.cid_bytes in kept) is not inverse:
                    out.write(block.cid_bytes, block.data)
                meter.advance(block.location.size)
    return out.written


# -- concat, merge -----------------------------------------------------------------------------------


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


# -- get-dag -----------------------------------------------------------------------------------------


class Dag(NamedTuple):
    """The result of :func:`get_dag`."""

    root: CID
    blocks: int
    missing: list[CID]
    """Blocks that are linked and not in the archive."""
    not_followed: Counter[int]
    """Blocks by codec, of those whose links are not known here."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


def get_dag(
    source: Source,
    target: Target,
    root: CID | str | bytes | None = None,
    *,
    selector: str | Selector | None = None,
    strict: bool = False,
    version: int = 2,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> Dag:
    """Write the blocks that one block reaches, depth first, each once, as an archive with that root.

    :param source: path, bytes or stream
    :param target: path or stream
    :param root: where to begin; by default the one root of the archive
    :param selector: only what this IPLD selector explores, as DAG-JSON
    :param strict: fail if a block is missing, instead of leaving it out
    :param version: of the archive that is written
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises RefusedError: if the target is the source
    :raises OperationError: if the root is missing, or with ``strict`` another block
    :raises CarError: if the archive or a block is bad; nothing is written
    :raises OSError: if something cannot be read or written
    """
    check_not_input(target, source)
    chosen = parse(selector) if isinstance(selector, str) else selector
    meter = Meter(progress, "writing")
    missing: list[bytes] = []
    unknown: Counter[int] = Counter()
    with open_archive(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress) as archive:
        start = binary_or_none(root) or archive.start(single=True)[0]
        with write_archive(target, [start], version) as out:
            for cid, data in _walk(archive, start, chosen, None if strict else missing.append):
                out.append(cid, data)
                meter.advance(len(data))
                codec = cids.codec_of(cid)
                if codec not in KNOWN_CODECS:
                    unknown[codec] += 1
    return Dag(cids.from_bytes(start), out.blocks, list(map(cids.from_bytes, missing)), unknown)


def _walk(
    archive: Archive, root: bytes, selector: Selector | None, on_missing: Callable[[bytes], None] | None
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the blocks that a root reaches, depth first, each once.

    :param on_missing: called with each block that is not there; None makes that an error
    """

    def missing(cid: bytes) -> None:
        if on_missing is None or cid == root:
            raise missing_block(cid, f"below {cids.to_text(root)}")
        on_missing(cid)

    if selector is not None:
        return walk_selected(archive.get, root, selector, missing)
    return walk_binary(archive.get, root, missing=missing)


# -- repair ------------------------------------------------------------------------------------------


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
    """Write what is whole of a damaged archive: each block that is what its CID says, once, with the same roots.

    Behind damage the next section is found whose block has the SHA-256 or BLAKE3 in its CID.

    :param source: path, bytes or stream; its header must be whole
    :param target: path or stream; the archive itself may be replaced
    :param version: of the archive that is written
    :param zero_length_section_as_eof: see :func:`verify`; but if anything but zeros follows, it is damage
    :param progress: see :data:`Progress`
    :raises CarError: if the header is damaged; nothing is written
    :raises OSError: if something cannot be read or written
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


# -- split -------------------------------------------------------------------------------------------


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


# -- put-block ---------------------------------------------------------------------------------------


def put_block(target: Target, cid: CID | str | bytes, data: bytes, *, version: int = 2, set_root: bool = False) -> bool:
    """Put a block at the end of an archive, or into a new one; return whether it was not there.

    :param target: the path of an archive, which is appended to, or of a file that is made; or a stream for a new one
    :param cid: the CID of the block
    :param data: its bytes
    :param version: of a new archive
    :param set_root: make the block the root of a new archive
    :raises RefusedError: if the bytes are not what the CID says or its links cannot be read, or with ``set_root`` the
        archive is there already
    :raises CarError: if the archive is bad
    :raises OSError: if it cannot be written, or another writer has it
    """
    binary = cids.to_bytes(cid)
    if len(binary) + len(data) > MAX_SECTION_BYTES:
        raise RefusedError(f"expected a block of at most {MAX_SECTION_BYTES - len(binary)} bytes, found more")
    try:
        verify_digest(binary, data)
        binary_links(binary, data)
    except CarError as error:
        codec = cids.from_bytes(binary).codec.name
        raise RefusedError(f"expected a {codec} block of the CID {cids.to_text(binary)}: {error}") from None
    if not isinstance(target, (str, os.PathLike)) or not Path(target).exists():
        with write_archive(target, [binary] if set_root else [], version) as out:
            return out.write(binary, data)
    if set_root:
        raise RefusedError(Message(f"{target} has its roots already: ", Term("set_root=True"), " is for a new file"))
    with CarFile.open(target, "a") as archive:
        return archive.put(binary, data)
