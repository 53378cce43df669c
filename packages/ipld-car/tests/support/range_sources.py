"""Archives in memory that are read by ranges, and what was read."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from ipld_car import CarFile, IndexWriter, V2Header, cids, encode_v2_header, hashes, varint

from .car_samples import header, section


class MemorySource:
    """An archive in memory; counts what is read.

    :param data: the archive
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int]] = []
        """Offset and size of each read."""

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def bytes_read(self) -> int:
        return sum(size for _, size in self.reads)

    def read(self, offset: int, size: int, /) -> bytes:
        assert 0 <= offset < offset + size <= len(self.data), "the reader asks for what the archive has"
        self.reads.append((offset, size))
        return self.data[offset : offset + size]

    def forget(self) -> None:
        self.reads.clear()


def block_of(number: int, size: int = 100) -> bytes:
    """The bytes of a block; the same for the same number."""
    return random.Random(number).randbytes(size)


def raw_cid(data: bytes) -> bytes:
    return cids.make(cids.RAW, hashes.sha2_256(data))


def car_file(path: Path, blocks: Iterable[bytes]) -> bytes:
    """A finished CARv2 of raw blocks, as CarFile writes it."""
    with CarFile.open(path, "x", fsync=False) as file:
        for data in blocks:
            file.put(raw_cid(data), data)
    return path.read_bytes()


def indexed(sections: Iterable[tuple[bytes, bytes]], *, codec: int = 0x0401, roots: Iterable[bytes] = ()) -> bytes:
    """A CARv2 with an index; sections are given as CID and bytes."""
    writer = IndexWriter(codec)
    payload = bytearray(header(roots))
    for name, data in sections:
        writer.add(name, len(payload))
        payload += section(data, name)
    stream = BytesIO()
    writer.write(stream)
    return encode_v2_header(V2Header(True, 51, len(payload), 51 + len(payload))) + payload + stream.getvalue()


def many_small_blocks(count: int, size: int = 40) -> tuple[bytes, list[bytes]]:
    """A CARv2 of many small blocks of random bytes, made quickly; returns it and the CIDs."""
    pool = os.urandom(count * size)
    writer = IndexWriter()
    head = header()
    length = varint.encode(cids.CIDV1_SHA256_SIZE + size)
    parts, names, offset = [head], [], len(head)
    for at in range(0, len(pool), size):
        data = pool[at : at + size]
        name = raw_cid(data)
        part = length + name + data
        writer.add(name, offset)
        parts.append(part)
        names.append(name)
        offset += len(part)
    stream = BytesIO()
    writer.write(stream)
    payload = b"".join(parts)
    fixed = encode_v2_header(V2Header(True, 51, len(payload), 51 + len(payload)))
    return b"".join((fixed, payload, stream.getvalue())), names
