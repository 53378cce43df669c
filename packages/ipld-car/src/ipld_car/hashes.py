"""Hash functions by multihash code, and the verification of blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial
from typing import Final

from multiformats import CID

from . import cids
from .errors import HashMismatchError, UnverifiableError

__all__ = ["BLAKE2B_256", "BLAKE3", "SHA2_512", "digest_of", "hasher", "sha2_256", "verify_block", "verify_digest"]

SHA2_512: Final = 0x13
BLAKE3: Final = 0x1E
BLAKE2B_256: Final = 0xB220
MD5: Final = 0xD5

Hasher = Callable[[bytes], bytes]

# https://github.com/multiformats/multicodec/blob/master/table.csv
_HASHLIB: Final = {
    0x11: "sha1",
    0x12: "sha256",
    0x13: "sha512",
    0x14: "sha3_512",
    0x15: "sha3_384",
    0x16: "sha3_256",
    0x17: "sha3_224",
    0x20: "sha384",
    0x1013: "sha224",
    0x1014: "sha512_224",
    0x1015: "sha512_256",
    MD5: "md5",
}


_MAX_HASHED_UNDER_GIL: Final = 2047
"""Bytes up to which hashlib keeps the GIL."""
_SMALL_BLOCK: Final = 8 << 10


def sha2_256(data: bytes | memoryview) -> bytes:
    """Return the sha2-256 digest of a block.

    hashlib releases the GIL to hash more than 2047 bytes. For a small block, to take the GIL again takes longer than
    the hashing; so a small block is hashed in pieces.

    >>> sha2_256(b"").hex()[:8]
    'e3b0c442'
    """
    step = _MAX_HASHED_UNDER_GIL
    if step < len(data) <= _SMALL_BLOCK:
        view = memoryview(data)
        hasher = hashlib.sha256(view[:step])
        for at in range(step, len(data), step):
            hasher.update(view[at : at + step])
        return hasher.digest()
    return hashlib.sha256(data).digest()


def _identity(data: bytes) -> bytes:
    return data


def _double_sha2_256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _hashlib(name: str, data: bytes) -> bytes:
    try:
        return hashlib.new(name, data, usedforsecurity=False).digest()
    except ValueError as error:  # in FIPS mode OpenSSL lists functions that it then refuses
        raise UnverifiableError(f"the hash function {name} is not available here: {error}") from None


def _blake2b(size: int, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=size).digest()


def _blake2s(size: int, data: bytes) -> bytes:
    return hashlib.blake2s(data, digest_size=size).digest()


@cache
def _has_blake3() -> bool:
    try:
        import blake3  # noqa: F401 - an extra: whether it is there is asked for the first block that needs it
    except ImportError:
        return False
    return True


def _blake3(size: int, data: bytes) -> bytes:
    import blake3

    return blake3.blake3(data).digest(length=size)


def hasher(code: int, size: int | None = None) -> Hasher:
    """Return the hash function of a multihash code.

    :param size: length of the digest in bytes, for functions with any length: blake3, by default 32
    :raises UnverifiableError: if the function is unknown, or its library is not installed

    >>> hasher(cids.SHA2_256)(b"hello") == sha2_256(b"hello")
    True
    """
    if code == cids.SHA2_256:
        return sha2_256
    if code == cids.IDENTITY:
        return _identity
    if code == 0x56:
        return _double_sha2_256
    if code == BLAKE3:
        if not _has_blake3():
            raise UnverifiableError(
                "expected the library blake3, which computes the hash, found none: pip install 'ipld-car[blake3]'"
            )
        return partial(_blake3, size or 32)
    if 0xB201 <= code <= 0xB240:
        return partial(_blake2b, code - 0xB200)
    if 0xB241 <= code <= 0xB260:
        return partial(_blake2s, code - 0xB240)
    name = _HASHLIB.get(code)
    if name is None or name not in hashlib.algorithms_available:
        raise UnverifiableError(f"the hash function 0x{code:x} is unknown, so its blocks cannot be verified")
    return partial(_hashlib, name)


def digest_of(code: int, data: bytes) -> bytes:
    """Return the digest of a block with the hash function of a multihash code.

    :raises UnverifiableError: as :func:`hasher`

    >>> digest_of(0x12, b"").hex()[:8]
    'e3b0c442'
    """
    return hasher(code)(data)


def verify_digest(cid: bytes, data: bytes) -> None:
    """Check a block against its binary CID, as :func:`verify_block` does.

    >>> verify_digest(cids.make(cids.RAW, sha2_256(b"hello")), b"hello")
    """
    prefix = cids.prefix_of(cid)
    try:
        found = hasher(prefix.hash_code, prefix.digest_size)(data)
    except UnverifiableError as error:
        raise UnverifiableError(f"block {cids.to_text(cid)}: {error.message}") from None
    expected = cid[prefix.size :]
    # A digest may be shortened (https://multiformats.io/multihash); an identity "digest" may not.
    if prefix.hash_code != cids.IDENTITY and prefix.digest_size:
        found = found[: prefix.digest_size]
    if found != expected:
        raise HashMismatchError(
            f"expected bytes with the hash of {cids.to_text(cid)}, found {len(data)} bytes whose digest is "
            f"{found[:64].hex()}"
        )


def verify_block(cid: CID | str | bytes, data: bytes) -> None:
    """Check that a block has the digest in its CID.

    Of a shortened digest as many bytes are compared as the CID has. An identity CID holds the block itself.

    :param cid: the CID, as object, text or bytes
    :param data: the bytes of the block
    :raises HashMismatchError: if the block has another digest
    :raises UnverifiableError: if the hash function is not available

    >>> verify_block("bafkqaaa", b"")
    """
    verify_digest(cids.to_bytes(cid), data)
