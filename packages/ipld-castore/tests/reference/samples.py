"""Files and an index of their blocks."""

from __future__ import annotations

from pathlib import Path

from ipld_car import cids, hashes
from ipld_castore import ReferenceIndex, ReferenceIndexWriter
from multiformats import CID

SIZE = 100


def cid_of(data: bytes) -> CID:
    return cids.from_bytes(cids.make(cids.RAW, hashes.sha2_256(data)))


def block(number: int) -> bytes:
    return number.to_bytes(8) + bytes(SIZE - 8)


def write_file(path: Path, numbers: range) -> bytes:
    data = b"head" + b"".join(map(block, numbers))
    path.write_bytes(data)
    return data


def index_of(path: Path, files: dict[str, range], *, made_here: bool = True) -> ReferenceIndex:
    """Write an index of files as :func:`write_file` makes them, by name."""
    writer = ReferenceIndexWriter(path, fsync=False, made_here=made_here)
    for name, numbers in files.items():
        file = writer.file(name)
        for position, number in enumerate(numbers):
            writer.add(cid_of(block(number)), file, 4 + SIZE * position, SIZE)
    return writer.close()
