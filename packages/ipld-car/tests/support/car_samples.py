"""Archives made and checked by other means than ipld_car's own: multiformats, dag-cbor, hashlib, struct."""

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import dag_cbor
from ipld_car import BlockLocation, CarError, CarReader, Source
from multiformats import CID, multihash
from multiformats import varint as their_varint

PRAGMA = bytes.fromhex("0aa16776657273696f6e02")
NO_ROOTS = bytes.fromhex("11a265726f6f7473806776657273696f6e01")


def varint(value: int) -> bytes:
    return bytes(their_varint.encode(value))


def cid(data: bytes, codec: int | str = "raw", hash_name: str = "sha2-256", *, version: int = 1) -> bytes:
    digest = multihash.digest(data, hash_name)
    return bytes(CID("base32" if version else "base58btc", version, codec, digest))


def header(roots: Iterable[bytes] = ()) -> bytes:
    encoded = dag_cbor.encode({"roots": [CID.decode(root) for root in roots], "version": 1})
    return varint(len(encoded)) + encoded


def section(data: bytes, name: bytes | None = None) -> bytes:
    name = cid(data) if name is None else name
    return varint(len(name) + len(data)) + name + data


def car_v1(*sections: bytes, roots: Iterable[bytes] = ()) -> bytes:
    return header(roots) + b"".join(sections)


def car_v2(
    payload: bytes,
    *,
    padding: bytes = b"",
    index: bytes = b"",
    characteristics: bytes = bytes(16),
    data_offset: int | None = None,
    data_size: int | None = None,
    index_offset: int | None = None,
) -> bytes:
    """A CARv2 around a payload; the last three override what its header says."""
    start = 51 + len(padding) if data_offset is None else data_offset
    size = len(payload) if data_size is None else data_size
    where = (51 + len(padding) + len(payload) if index else 0) if index_offset is None else index_offset
    fixed = struct.pack("<16sQQQ", characteristics, start, size, where)
    return PRAGMA + fixed + padding + payload + index


# One block of every form that a reader has a way of its own for: the usual one, CIDv0, identity, a hash
# function with a longer code, no bytes at all, and the usual one again.
MIXED = (
    section(b"hello"),
    section(b"", cid(b"", "dag-pb", version=0)),
    section(b"\xa0", cid(b"\xa0", "dag-cbor", "blake2b-256")),
    section(b"me", cid(b"me", "raw", "identity")),
    section(b"world" * 20),
    section(b"again"),
)
SMALL_V1 = car_v1(*MIXED, roots=[cid(b"hello")])
SMALL_V2 = car_v2(SMALL_V1, padding=bytes(7), index=b"\x80\x08 no index, really")

_DIGESTS: dict[int, Callable[[bytes], bytes]] = {
    0x00: lambda data: data,
    0x12: lambda data: hashlib.sha256(data).digest(),
    0x13: lambda data: hashlib.sha512(data).digest(),
    0x16: lambda data: hashlib.sha3_256(data).digest(),
    0xB220: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
}


@lru_cache(maxsize=10_000)
def matches(name: bytes, data: bytes) -> bool:
    """Return whether a block has the digest in its binary CID; other hash functions than those above do not match."""
    rest = memoryview(name)
    if len(name) != 34 or name[:2] != b"\x12\x20":
        version, _, rest = their_varint.decode_raw(rest)
        _, _, rest = their_varint.decode_raw(rest)
        if version != 1:
            return False
    code, _, rest = their_varint.decode_raw(rest)
    size, _, rest = their_varint.decode_raw(rest)
    digest = bytes(rest)
    if code not in _DIGESTS or len(digest) != size:
        return False
    found = _DIGESTS[code](data)
    return found == digest if code == 0 else size > 0 and found[:size] == digest


class Outcome(NamedTuple):
    """The result of reading an archive; an error by its class, message and place, since errors compare by identity."""

    version: int | None
    roots: list[bytes]
    blocks: list[tuple[bytes, bytes, BlockLocation]]
    error: tuple[type[CarError], str, int | None, int | None] | None

    def codecs(self) -> Counter[int]:
        return Counter(CID.decode(name).codec.code for name, _, _ in self.blocks)


def outcome(
    source: Source,
    *,
    verify: bool = True,
    max_header_bytes: int = 32 << 20,
    max_section_bytes: int = 8 << 20,
    zero_length_section_as_eof: bool = False,
) -> Outcome:
    """Read an archive to the end or to the error. An exception that is no CarError passes through."""
    version: int | None = None
    roots: list[bytes] = []
    blocks: list[tuple[bytes, bytes, BlockLocation]] = []
    try:
        reader = CarReader(
            source,
            verify=verify,
            max_header_bytes=max_header_bytes,
            max_section_bytes=max_section_bytes,
            zero_length_section_as_eof=zero_length_section_as_eof,
        )
        version, roots = reader.version, [bytes(root) for root in reader.roots]
        blocks.extend((block.cid_bytes, block.data, block.location) for block in reader)
    except CarError as error:
        return Outcome(version, roots, blocks, (type(error), error.message, error.offset, error.block))
    return Outcome(version, roots, blocks, None)


def check(found: Outcome, archive: bytes) -> None:
    """Check what holds for every archive, however damaged: valid blocks at their locations, then at most one error."""
    for name, data, location in found.blocks:
        assert matches(name, data), name.hex()
        assert location.payload_size == len(data)
        assert archive[location.payload_offset - len(name) : location.payload_offset + len(data)] == name + data
        assert location.offset + location.size == location.payload_offset + len(data)
    if found.error:
        _, message, offset, block = found.error
        assert message
        assert offset is not None
        assert 0 <= offset <= len(archive)
        assert block == (None if found.version is None else len(found.blocks))


class Dribble:
    """A stream that returns at most ``step`` bytes at a time and cannot seek."""

    def __init__(self, data: bytes, step: int = 1) -> None:
        self._data = data
        self._step = step
        self._position = 0

    def read(self, size: int, /) -> bytes:
        start = self._position
        self._position = min(start + min(size, self._step), len(self._data))
        return self._data[start : self._position]
