"""``ipld-car put-block``: one block into an archive."""

from __future__ import annotations

from pathlib import Path

import click

from ipld_car import cids
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car._cli.exit_codes import RefusedError
from ipld_car._cli.files import STANDARD, reading
from ipld_car._file.car_file import CarFile
from ipld_car._graph.walk import binary_links
from ipld_car.errors import CarError
from ipld_car.hashes import sha2_256, verify_digest

from .output import writing_archive

CODECS = {"raw": cids.RAW, "dag-pb": cids.DAG_PB, "dag-cbor": cids.DAG_CBOR, "dag-json": cids.DAG_JSON}


def read_block(codec: str, expected: bytes | None) -> tuple[bytes, bytes]:
    """A block on standard input: its CID, and its bytes.

    :param codec: its name, for a CIDv1 with sha2-256
    :param expected: the CID it must have, instead
    :raises RefusedError: if it is too large, is not what the codec says, or has not that CID
    """
    with reading(STANDARD) as stream:
        data = stream.read(MAX_SECTION_BYTES + 1)
    cid = expected or cids.make(CODECS[codec], sha2_256(data))
    if len(cid) + len(data) > MAX_SECTION_BYTES:
        raise RefusedError(f"expected a block of at most {MAX_SECTION_BYTES - len(cid)} bytes, found more")
    try:
        verify_digest(cid, data)
        binary_links(cid, data)
    except CarError as error:
        raise RefusedError(f"expected a block of the codec {codec}: {error}" if not expected else str(error)) from None
    return cid, data


def put(file: str, cid: bytes, data: bytes, *, version: int, set_root: bool) -> bool:
    """Put a block at the end of an archive, or into a new one; returns whether it was not there.

    :param version: of a new one
    :param set_root: make the block the root of a new one
    """
    if file == STANDARD or not Path(file).exists():
        with writing_archive(file, [cid] if set_root else [], version) as out:
            return out.write(cid, data)
    if set_root:
        raise click.UsageError(f"{file} has its roots already: --set-root is for a new file")
    with CarFile.open(file, "a") as archive:
        return archive.put(cid, data)
