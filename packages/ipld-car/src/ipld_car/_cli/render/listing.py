"""What ``ipld-car list`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from ipld_car import cids
from ipld_car._cli.files import mapped_file
from ipld_car.ops.blocks import open_blocks, roots_for
from ipld_car.ops.codec_names import code_name
from ipld_car.ops.layout import read_layout
from ipld_car.ops.listing import MISSING, MISSING_SHARD, details, tree, unknown_shards
from ipld_car.ops.sections import sections

from .printer import Line, Tell, printable


def blocks_of(path: str, *, as_json: bool, verbose: bool) -> Iterator[Line]:
    """A line for each block, or with ``verbose`` several."""
    name_of = cache(code_name)
    with mapped_file(path) as (_, buffer):
        layout = read_layout(buffer)
        for offset, cid, payload_offset, size in sections(buffer, layout):
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
                    for line in details(cid, buffer[payload_offset : payload_offset + size]):
                        yield "\t" + line


def paths_of(path: str, note: Tell, *, as_json: bool, with_cids: bool) -> Iterator[Line]:
    """A line for each file, directory and link below the roots, and in JSON for each shard that is missing.

    :param note: is told what is missing where the lines do not say it
    """
    unknown = 0
    with open_blocks(path) as blocks:
        for root in roots_for(blocks):
            for entry in tree(blocks, root):
                text = cids.to_text(entry.cid)
                unknown += entry.kind == MISSING_SHARD
                if as_json:
                    yield {"path": entry.path, "cid": text, "kind": entry.kind}
                elif entry.path and entry.kind != MISSING_SHARD:
                    yield f"{text} {printable(entry.path)}" if with_cids else printable(entry.path)
                    if entry.kind == MISSING:
                        note(f"data for entry not found: /{printable(entry.path)}")
    if unknown and not as_json:
        note(unknown_shards(unknown))
