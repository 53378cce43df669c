"""Binary CIDs: parse and make them, and convert them to and from text and :class:`multiformats.CID`.

To make a :class:`multiformats.CID` takes tens of microseconds, to print it more. So all code that handles many blocks
keeps CIDs as ``bytes``, and :func:`from_bytes` makes the object where a user sees it.

Source of the layout: https://github.com/multiformats/cid.
"""

from __future__ import annotations

import dataclasses
from base64 import b32encode
from functools import lru_cache
from typing import Final, NamedTuple

import libipld
from multiformats import CID, multibase, multicodec, multihash
from multiformats.multicodec import Multicodec
from multiformats.multihash import Multihash

from . import varint
from .errors import CarError, LimitError, MalformedError, TruncatedError

__all__ = [
    "CIDV1_SHA256_PREFIXES",
    "CIDV1_SHA256_SIZE",
    "DAG_CBOR",
    "DAG_JSON",
    "DAG_PB",
    "IDENTITY",
    "MAX_CID_BYTES",
    "RAW",
    "SHA2_256",
    "Prefix",
    "check",
    "codec_of",
    "from_bytes",
    "from_validated",
    "is_cid",
    "is_cidv1_sha256",
    "make",
    "multihash_of",
    "prefix_of",
    "record_repr",
    "to_bytes",
    "to_text",
]

RAW: Final = 0x55
DAG_PB: Final = 0x70
DAG_CBOR: Final = 0x71
DAG_JSON: Final = 0x0129
IDENTITY: Final = 0x00
SHA2_256: Final = 0x12

MAX_CID_BYTES: Final = 2048
_MOST_SHOWN: Final = 3
"""Items of a list in the ``repr`` of a record."""


class Prefix(NamedTuple):
    """The part of a CID before its digest, parsed."""

    version: int
    codec: int
    hash_code: int
    digest_size: int
    """Length of the digest in bytes."""
    size: int
    """Length of the prefix in bytes. The digest follows it and ends the CID."""

    @property
    def cid_size(self) -> int:
        """Length of the whole CID in bytes."""
        return self.size + self.digest_size


_V0: Final = Prefix(0, DAG_PB, SHA2_256, 32, 2)

# Nearly every CID has a prefix of four one-byte varints, and few of these are in use: each is parsed once.
# A hostile archive may hold many, so the cache is bounded.
_PREFIX_CACHE: dict[bytes, Prefix] = {}
_PREFIX_CACHE_SIZE: Final = 4096


def prefix_of(data: bytes, start: int = 0, stop: int | None = None) -> Prefix:
    """Parse strictly the CID that begins at ``start``, and return its prefix. The CID must end at or before ``stop``.

    :raises TruncatedError: if the CID does not fit
    :raises MalformedError: if there is no CID of version 0 or 1
    :raises LimitError: if the CID is longer than :data:`MAX_CID_BYTES`

    >>> prefix = prefix_of(bytes.fromhex("01711220") + bytes(32))
    >>> prefix.version, prefix.codec == DAG_CBOR, prefix.digest_size
    (1, True, 32)
    """
    end = len(data) if stop is None else stop
    known = _PREFIX_CACHE.get(data[start : start + 4])
    if known is not None and start + known.cid_size <= end:
        return known
    if data[start : start + 2] == b"\x12\x20" and start + 2 <= end:
        prefix = _V0
    else:
        version, position = varint.decode(data, start, end)
        if version != 1:
            raise MalformedError(f"expected a CID of version 0 or 1, found version {version}")
        codec, position = varint.decode(data, position, end)
        hash_code, position = varint.decode(data, position, end)
        digest_size, position = varint.decode(data, position, end)
        prefix = Prefix(version, codec, hash_code, digest_size, position - start)
    if prefix.cid_size > MAX_CID_BYTES:
        raise LimitError(f"expected a CID of at most {MAX_CID_BYTES} bytes, found one of {prefix.cid_size}")
    if start + prefix.cid_size > end:
        raise TruncatedError(f"expected a CID of {prefix.cid_size} bytes, found {end - start} bytes")
    if prefix.version == 1 and prefix.size == 4 and len(_PREFIX_CACHE) < _PREFIX_CACHE_SIZE:
        _PREFIX_CACHE[data[start : start + 4]] = prefix
    return prefix


CIDV1_SHA256_PREFIXES: Final = frozenset(bytes((1, codec, SHA2_256, 32)) for codec in (RAW, DAG_PB, DAG_CBOR))
"""The first four bytes of nearly all CIDs: version 1; raw, dag-pb or dag-cbor; sha2-256 of 32 bytes."""
CIDV1_SHA256_SIZE: Final = 36
"""Length of these CIDs in bytes."""


def is_cidv1_sha256(cid: bytes) -> bool:
    """Return whether a binary CID is a CIDv1 of a raw, dag-pb or dag-cbor block with a whole sha2-256 digest.

    Nearly all CIDs are. Such a CID needs no parsing: byte 1 is its codec, bytes 4 to 35 are its digest.

    >>> is_cidv1_sha256(make(RAW, bytes(32))), is_cidv1_sha256(make(RAW, bytes(20)))
    (True, False)
    """
    return len(cid) == CIDV1_SHA256_SIZE and cid[:4] in CIDV1_SHA256_PREFIXES


def is_cid(text: str) -> bool:
    """Return whether a text is that of a CID.

    >>> is_cid("bafkqaaa"), is_cid("main")
    (True, False)
    """
    try:
        to_bytes(text)
    except CarError:
        return False
    return True


def check(cid: bytes) -> Prefix:
    """Parse bytes that must be exactly one CID, and return its prefix.

    :raises CarError: as :func:`prefix_of`, and if bytes follow the CID

    >>> check(bytes.fromhex("1220") + bytes(32)).version
    0
    """
    prefix = prefix_of(cid)
    if prefix.cid_size != len(cid):
        raise MalformedError(f"expected a CID of {prefix.cid_size} bytes, found {len(cid)} bytes: {cid[:64].hex()}")
    return prefix


def codec_of(cid: bytes) -> int:
    """Return the multicodec code of a binary CID.

    :raises CarError: if the bytes are no CID

    >>> hex(codec_of(bytes.fromhex("01711220") + bytes(32)))
    '0x71'
    """
    return cid[1] if is_cidv1_sha256(cid) else prefix_of(cid).codec


def multihash_of(cid: bytes) -> bytes:
    """Return the multihash of a binary CID: hash function, length and digest, which are the same for any codec.

    :raises CarError: if the bytes are no CID

    >>> multihash_of(bytes.fromhex("01711220") + bytes(32))[:2].hex()
    '1220'
    """
    if is_cidv1_sha256(cid):
        return cid[2:]
    prefix = prefix_of(cid)
    if prefix.version == 0:
        return cid
    hash_and_length = varint.encode(prefix.hash_code) + varint.encode(prefix.digest_size)
    return hash_and_length + cid[prefix.size :]


def make(codec: int, digest: bytes, hash_code: int = SHA2_256) -> bytes:
    """Return the binary CIDv1 of a digest.

    :param codec: multicodec code of the block
    :param hash_code: multihash code of the hash function

    >>> make(RAW, bytes(32)).hex()[:8]
    '01551220'
    """
    return _make_prefix(codec, hash_code, len(digest)) + digest


@lru_cache(maxsize=256)
def _make_prefix(codec: int, hash_code: int, digest_size: int) -> bytes:
    return b"\x01" + varint.encode(codec) + varint.encode(hash_code) + varint.encode(digest_size)


def to_text(cid: bytes) -> str:
    """Return the text of a binary CID: base32, or base58btc without a multibase prefix for version 0.

    :raises CarError: if the bytes are no CID

    >>> to_text(make(RAW, b"", IDENTITY))
    'bafkqaaa'
    """
    # libipld takes digests of up to 64 bytes; an identity CID may hold more. A CIDv0 never does.
    if not is_cidv1_sha256(cid) and check(cid).digest_size > 64:
        return "b" + b32encode(cid).decode().rstrip("=").lower()
    return libipld.encode_cid(cid)


def to_bytes(cid: CID | str | bytes) -> bytes:
    """Return the binary form of a CID that is given as an object, text or bytes.

    :param cid: as text also in the forms ``ipfs://CID`` and ``/ipfs/CID``, with or without a slash at the end
    :raises CarError: if it is not exactly one CID
    :raises TypeError: if it has another type

    >>> to_bytes("bafkqaaa").hex()
    '01550000'
    >>> to_bytes("ipfs://bafkqaaa") == to_bytes("/ipfs/bafkqaaa") == to_bytes("bafkqaaa")
    True
    """
    if isinstance(cid, _BinaryCID):
        return cid._binary  # noqa: SLF001 - its own module
    if isinstance(cid, str):
        return _parse_text(cid)
    if isinstance(cid, (CID, bytes, bytearray, memoryview)):
        binary = bytes(cid)
        if not is_cidv1_sha256(binary):
            check(binary)
        return binary
    raise TypeError(f"expected a CID as multiformats.CID, str or bytes, found {type(cid).__name__}")


def _parse_text(given: str) -> bytes:
    prefix = "ipfs://" if given[:7].lower() == "ipfs://" else "/ipfs/" if given.startswith("/ipfs/") else ""
    text = given[len(prefix) :].removesuffix("/") if prefix else given
    try:
        if prefix and "/" in text:
            raise MalformedError("a path follows the CID")
        if len(text) == 46 and text.startswith("Qm"):
            binary = bytes(CID.decode(text))
        else:
            binary = libipld.decode_multibase(text)[1]
            if binary[:1] == b"\x12":
                raise MalformedError("a CID of version 0 has no multibase prefix")
        check(binary)
    except (CarError, ValueError, KeyError) as error:
        raise MalformedError(f"expected the text of a CID, found {given[:100]!r}: {error}") from None
    return binary


class _BinaryCID(CID):
    """A :class:`multiformats.CID` that keeps its bytes: it is cheap to make and print, and can be pickled.

    The slots of the base class are filled on first use.
    """

    __slots__ = ("_binary",)

    _binary: bytes

    def __getattr__(self, name: str) -> object:
        # Python calls this for a slot that is empty.
        if name not in CID.__slots__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        prefix = prefix_of(self._binary)
        self._base, self._codec, self._hashfun, digest_at = _parts(prefix)
        self._version = 1 if prefix.version else 0
        self._digest = self._binary[digest_at:]
        return object.__getattribute__(self, name)

    def __bytes__(self) -> bytes:
        return self._binary

    def __str__(self) -> str:
        return to_text(self._binary)

    def __reduce__(self) -> tuple[object, ...]:
        return from_bytes, (self._binary,)


def from_validated(cid: bytes) -> CID:
    """Return the CID object of bytes that have been validated: :func:`from_bytes` without the check."""
    made = object.__new__(_BinaryCID)
    made._binary = cid
    return made


def from_bytes(cid: bytes) -> CID:
    """Return the CID object of a binary CID. It prints in base32.

    :raises CarError: if the bytes are no CID

    >>> from_bytes(bytes.fromhex("01550000"))
    CID('base32', 1, 'raw', '0000')
    """
    check(cid)
    return from_validated(cid)


def record_repr(record: object) -> str:
    """Return the ``repr`` of a named tuple or a dataclass with CIDs as text, in one line; of long lists the beginning.

    >>> from typing import NamedTuple
    >>> class Found(NamedTuple):
    ...     root: CID
    ...     sizes: list[int]
    >>> record_repr(Found(from_bytes(make(RAW, bytes(32))), list(range(99))))
    'Found(root=bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, sizes=[0, 1, 2, ... 96 more])'
    """
    fields = getattr(type(record), "_fields", None) or [each.name for each in dataclasses.fields(record) if each.repr]  # type: ignore[arg-type]  # a dataclass
    return f"{type(record).__name__}({', '.join(f'{name}={_shown(getattr(record, name))}' for name in fields)})"


def _shown(value: object) -> str:
    if isinstance(value, CID):
        return to_text(bytes(value))
    if type(value) in (list, tuple):
        assert isinstance(value, (list, tuple))  # noqa: S101  # not a child, such as a named tuple
        more = [f"... {len(value) - _MOST_SHOWN} more"] if len(value) > _MOST_SHOWN else []
        text = ", ".join([*map(_shown, value[:_MOST_SHOWN]), *more])
        return f"[{text}]" if isinstance(value, list) else f"({text},)" if len(value) == 1 else f"({text})"
    if type(value) is dict:
        return f"{{{', '.join(f'{_shown(name)}: {_shown(each)}' for name, each in value.items())}}}"
    return repr(value)


@lru_cache(maxsize=1024)
def _parts(prefix: Prefix) -> tuple[multibase.Multibase, Multicodec, Multihash, int]:
    """Base, codec and hash function objects of a prefix, and where its multihash begins."""
    base = multibase.get("base32" if prefix.version else "base58btc")
    hashed = varint.encode(prefix.hash_code) + varint.encode(prefix.digest_size)
    return base, _codec_object(prefix.codec, "ipld"), _hash_object(prefix.hash_code), prefix.size - len(hashed)


def _codec_object(code: int, tag: str) -> Multicodec:
    """Return the registered multicodec; for a code that is in no table, one that only has its number."""
    if multicodec.exists(code=code):
        return multicodec.get(code=code)
    return Multicodec(name=f"unknown-0x{code:x}", tag=tag, code=code, status="draft", description="")


def _hash_object(code: int) -> Multihash:
    if multihash.exists(code=code):
        return multihash.get(code=code)
    unknown = object.__new__(Multihash)
    unknown._codec = _codec_object(code, "multihash")
    unknown._implementation = None
    return unknown
