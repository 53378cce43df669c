"""The blocks of an archive that one of its blocks reaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from multiformats import CID

from ipld_car import cids
from ipld_car._graph.selector import Selector, walk_selected
from ipld_car._graph.selector_json import parse
from ipld_car._graph.walk import KNOWN_CODECS, walk_binary
from ipld_car.ops.archive import Archive, Source, binary_or_none, missing_block, open_archive
from ipld_car.ops.errors import Meter, Progress
from ipld_car.ops.output import Target, check_not_input, write_archive


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

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> copy = io.BytesIO()
    >>> dag = ops.get_dag(archive.getvalue(), copy)
    >>> dag.root == made.root, dag.blocks, dag.missing
    (True, 3, [])
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
