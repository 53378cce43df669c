"""What tests of CarFile share: blocks, and whether a file is the archive it should be."""

import hashlib
from pathlib import Path

from ipld_car import CarIndex, CarReader, cids

from .car_samples import cid, outcome

EMPTY_MAP = cid(b"\xa0", "dag-cbor")
HELLO, WORLD, ABSENT = cid(b"hello"), cid(b"world"), cid(b"absent")


def block(number: int, size: int = 30) -> tuple[bytes, bytes]:
    data = (b"%d " % number * size)[:size]
    return cids.make(cids.RAW, hashlib.sha256(data).digest()), data


def check_archive(path: Path, blocks: list[tuple[bytes, bytes]], roots: list[bytes]) -> None:
    """To a reader of streams it is an archive of these blocks, with an index that has them all."""
    archive = path.read_bytes()
    found = outcome(archive)
    assert found.error is None
    assert found.roots == roots
    assert [(name, data) for name, data, _ in found.blocks] == blocks
    header = CarReader(archive).v2_header
    assert header is not None
    assert header.fully_indexed
    assert header.index_offset == header.data_offset + header.data_size
    index = CarIndex(archive, header.index_offset)
    assert index.end == len(archive)
    expected = {(cids.multihash_of(name), at.offset - header.data_offset) for name, _, at in found.blocks}
    assert {(multihash(entry.hash_code or 0, entry.digest), entry.offset) for entry in index} == expected
    assert len(index) == len(blocks)


def multihash(code: int, digest: bytes) -> bytes:
    return cids.multihash_of(cids.make(cids.RAW, digest, code))
