"""Print the results of ``ipld-car list``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from ipld_car import cids, unixfs
from ipld_car.codecs import dagpb
from ipld_car.errors import CarError
from ipld_car.ops import Progress, Source, list_paths
from ipld_car.ops.archive import open_archive
from ipld_car.ops.paths import MISSING, MISSING_SHARD
from ipld_car.terminal import Line, Printer, printable

from .codec_names import code_name


def render_blocks(
    source: Source, *, as_json: bool, verbose: bool, zero_length_section_as_eof: bool, progress: Progress
) -> Iterator[Line]:
    """Yield a line for each block, or with ``verbose`` several."""
    name_of = cache(code_name)
    # Not list_blocks: an object for each block would take a third of the time.
    with open_archive(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress) as archive:
        for offset, cid, payload_offset, size in archive.sections():
            text = cids.to_text(cid)
            if as_json:
                yield {
                    "cid": text,
                    "codec": name_of(cids.codec_of(cid)),
                    "offset": offset,
                    "payload_offset": payload_offset,
                    "size": size,
                }
            elif not verbose:
                yield text
            else:
                codec = cids.codec_of(cid)
                yield f"{name_of(codec)}: {text}"
                if codec == cids.DAG_PB:
                    for line in _details(cid, archive.buffer[payload_offset : payload_offset + size]):
                        yield "\t" + line


def _details(cid: bytes, data: bytes) -> Iterator[str]:
    """Yield the lines of ``--verbose`` on a dag-pb block, as in go-car: its links, and its UnixFS fields."""
    try:
        node = dagpb.decode(data)
    except CarError as error:
        yield f"not interpretable as dag-pb: {error}"
        return
    yield f"{len(node.links)} links. {len(node.data or b'')} bytes"
    for link in node.links[:3]:
        yield f"\t{printable(link.name or '<no name>')}[{link.size or 0} B] {cids.to_text(link.cid)}"
    if len(node.links) > 3:
        yield f"\t({len(node.links)} total)"
    try:
        yield f"UnixFS {unixfs.kind_of(lambda _: data, cid)}"
    except CarError as error:
        yield f"not interpretable as UnixFS: {error.message}"


def render_paths(
    source: Source,
    warn: Printer,
    *,
    as_json: bool,
    with_cids: bool,
    zero_length_section_as_eof: bool,
    progress: Progress,
) -> Iterator[Line]:
    """Yield a line for each file, directory and link below the roots, and in JSON for each shard that is missing.

    :param warn: prints what is missing where the lines do not say it
    """
    shards = 0
    for entry in list_paths(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress):
        text = cids.to_text(entry.cid_bytes)
        shards += entry.kind == MISSING_SHARD
        if as_json:
            yield {"path": entry.path, "cid": text, "kind": entry.kind}
        elif entry.path and entry.kind != MISSING_SHARD:
            yield f"{text} {printable(entry.path)}" if with_cids else printable(entry.path)
            if entry.kind == MISSING:
                warn(f"data for entry not found: /{printable(entry.path)}")
    if shards and not as_json:
        warn(missing_shards(shards))


def missing_shards(count: int) -> str:
    """Return the line on shards that are missing, in go-car's words."""
    return f"data for entry not found for {count} unknown sharded entries"
