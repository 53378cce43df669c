"""A block into an archive."""

from __future__ import annotations

import os
from pathlib import Path

from multiformats import CID

from ipld_car import cids
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car._file.car_file import CarFile
from ipld_car._graph.walk import binary_links
from ipld_car.errors import CarError
from ipld_car.hashes import verify_digest
from ipld_car.messages import Message, Term
from ipld_car.ops.errors import RefusedError
from ipld_car.ops.output import Target, write_archive


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

    >>> import tempfile
    >>> from ipld_car import cids, hashes, ops
    >>> path = tempfile.mkdtemp() + "/hello.car"
    >>> cid = cids.make(cids.RAW, hashes.sha2_256(b"hello"))
    >>> ops.put_block(path, cid, b"hello"), ops.put_block(path, cid, b"hello")
    (True, False)
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
