"""Archives out of archives: filter, concat, merge, split, and the DAG below one block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from mmap import mmap
from pathlib import Path

from ipld_car import cids
from ipld_car._car.header import encode_header
from ipld_car._car.reader import CarReader
from ipld_car._cli.exit_codes import RefusedError, named
from ipld_car._cli.files import mapped_file, reading
from ipld_car._cli.progress import Progress
from ipld_car._graph.selector import Selector, walk_selected
from ipld_car._graph.walk import walk_binary
from ipld_car.errors import CarError

from .blocks import Blocks, missing_block
from .layout import read_layout
from .output import Output, writing_archive
from .sections import sections


def read_cids(lines: Iterable[bytes]) -> set[bytes]:
    """The CIDs in a list, one a line; empty lines do not count.

    :raises RefusedError: if a line is no CID
    """
    found = set()
    for number, line in enumerate(lines, 1):
        text = line.decode(errors="replace").strip()
        if text:
            try:
                found.add(cids.to_bytes(text))
            except CarError as error:
                raise RefusedError(f"line {number} of the CIDs: {error}") from None
    return found


def copy_filtered(
    source: str, output: str, wanted: set[bytes], *, inverse: bool, version: int, progress: Progress
) -> tuple[list[bytes], int]:
    """Copy the blocks with these CIDs, or with ``inverse`` all others; returns the roots that are left, and a count.

    Roots that are filtered out are dropped from the header. Blocks are verified, and written once.
    """
    with reading(source) as stream:
        reader = CarReader(stream)
        roots = [root for root in map(cids.to_bytes, reader.roots) if (root in wanted) is not inverse]
        with writing_archive(output, roots, version) as out:
            for block in reader:
                if (block.cid_bytes in wanted) is not inverse:
                    out.write(block.cid_bytes, block.data)
                progress.advance(block.location.size)
            return roots, out.blocks


def append_filtered(
    source: str, output: str, wanted: set[bytes], *, inverse: bool, progress: Progress
) -> tuple[list[bytes], int]:
    """Add the blocks with these CIDs, or all others, to a CARv2 that is there, and keep its roots.

    Returns these, and how many blocks it has now. It is written anew, so that a failure leaves it as it was.

    :raises RefusedError: if it is a CARv1
    """
    with reading(source) as stream, reading(output) as old:
        before = CarReader(old)
        if before.version != 2:
            raise RefusedError(f"{output}: expected a CARv2 to append to, found a CARv1")
        roots = list(map(cids.to_bytes, before.roots))
        with writing_archive(output, roots, 2) as out:
            for block in before:
                out.write(block.cid_bytes, block.data)
            for block in CarReader(stream):
                if (block.cid_bytes in wanted) is not inverse:
                    out.write(block.cid_bytes, block.data)
                progress.advance(block.location.size)
            return roots, out.blocks


def join(sources: list[str], output: str, *, merge: bool, version: int, progress: Progress) -> Output:
    """Write the blocks of several archives into one, in their order, verified.

    :param merge: write each block once, and all roots; else every block as it is, and the roots of the first archive
    """
    with ExitStack() as stack:
        readers = [CarReader(stack.enter_context(reading(source))) for source in sources]
        roots: dict[bytes, None] = {}
        for reader in readers if merge else readers[:1]:
            roots.update(dict.fromkeys(map(cids.to_bytes, reader.roots)))
        if not merge and readers:
            kept = [cids.to_bytes(root) for root in readers[0].roots]
        else:
            kept = list(roots)
        out = stack.enter_context(writing_archive(output, kept, version))
        write: Callable[[bytes, bytes], object] = out.write if merge else out.append
        for source, reader in zip(sources, readers, strict=True):
            try:
                for block in reader:
                    write(block.cid_bytes, block.data)
                    progress.advance(block.location.size)
            except CarError as error:
                raise named(source, error) from error
        return out


def dag_of(
    blocks: Blocks, root: bytes, selector: Selector | None, missing: Callable[[bytes], None] | None
) -> Iterator[tuple[bytes, bytes]]:
    """The blocks that a root reaches, depth first, each once.

    :param selector: only those that it comes to
    :param missing: is told of blocks that are not there
    :raises FailedError: if the root is not there, or any block and ``missing`` is None
    """

    def told(cid: bytes) -> None:
        if missing is None or cid == root:
            raise missing_block(cid, f"below {cids.to_text(root)}")
        missing(cid)

    if selector is not None:
        return walk_selected(blocks.get, root, selector, told)
    return walk_binary(blocks.get, root, missing=told)


# -- split -------------------------------------------------------------------------------------------


def split(source: str, prefix: str, size: int, progress: Progress) -> list[tuple[Path, int, int]]:
    """Cut an archive into archives of at most ``size`` bytes, each a CARv1 with the roots of the whole.

    The blocks keep their order; :func:`join` with ``merge`` gives the whole again. All parts are there in the end,
    or none.

    :param prefix: what the names of the parts begin with
    :returns: name, blocks and bytes of each part
    :raises RefusedError: if a block is larger than a part may be, or a part is there already
    """
    with mapped_file(source) as (_, buffer):
        layout = read_layout(buffer)
        header = len(encode_header(layout.roots))
        sizes = (start + size - offset for offset, _, start, size in sections(buffer, layout))
        counts = _counts(sizes, header, size)
        names = [Path(f"{prefix}{number:04}.car") for number in range(len(counts))]
        for name in names:
            if name.exists():
                raise RefusedError(f"{name} is there already: nothing is written")
        written: list[tuple[Path, int, int]] = []
        if isinstance(buffer, mmap):
            buffer.seek(0)
        try:
            blocks = iter(CarReader(buffer))
            for name, count in zip(names, counts, strict=True):
                with writing_archive(str(name), layout.roots) as out:
                    for _ in range(count):
                        block = next(blocks)
                        out.append(block.cid_bytes, block.data)
                        progress.advance(block.location.size)
                written.append((name, count, header + out.size))
        except BaseException:
            for name, _, _ in written:
                name.unlink()
            raise
        return written


def _counts(sizes: Iterable[int], header: int, limit: int) -> list[int]:
    """How many sections of these sizes go into each part."""
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
