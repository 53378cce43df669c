"""The hash functions that blocks are verified with."""

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


_GIL_KEPT: Final = 2047
"""Bytes that hashlib hashes without letting other threads run meanwhile."""
_SMALL: Final = 8 << 10


def sha2_256(data: bytes) -> bytes:
    """The sha2-256 digest of a block.

    hashlib lets other threads run while it hashes more than 2047 bytes. For a small block to hand over and to
    wait for one's turn again takes longer than the hashing, so it is hashed in pieces.

    >>> sha2_256(b"").hex()[:8]
    'e3b0c442'
    """
    if _GIL_KEPT < len(data) <= _SMALL:
        view = memoryview(data)
        hasher = hashlib.sha256(view[:_GIL_KEPT])
        for at in range(_GIL_KEPT, len(data), _GIL_KEPT):
            hasher.update(view[at : at + _GIL_KEPT])
        return hasher.digest()
    return hashlib.sha256(data).digest()


def _identity(data: bytes) -> bytes:
    return data


def _double_sha2_256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _hashlib(name: str, data: bytes) -> bytes:
    try:
        return hashlib.new(name, data, usedforsecurity=False).digest()
    except ValueError as error:  # OpenSSL lists what it then refuses, where it is told to be strict
        raise UnverifiableError(f"the hash function {name} is not to be had here: {error}") from None


def _blake2b(size: int, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=size).digest()


def _blake2s(size: int, data: bytes) -> bytes:
    return hashlib.blake2s(data, digest_size=size).digest()


@cache
def _has_blake3() -> bool:
    try:
        import blake3  # noqa: F401 - an extra: it is asked for where its blocks are
    except ImportError:
        return False
    return True


def _blake3(size: int, data: bytes) -> bytes:
    import blake3

    return blake3.blake3(data).digest(length=size)


def hasher(code: int, size: int | None = None) -> Hasher:
    """The function from bytes to their digest, for a multihash code.

    :param size: bytes of the digest, where the function gives as many as are wanted: blake3, by default 32
    :raises UnverifiableError: if the function is not known, or its library not installed
    """
    if code == cids.SHA2_256:
        return sha2_256
    if code == cids.IDENTITY:
        return _identity
    if code == 0x56:
        return _double_sha2_256
    if code == BLAKE3:
        if not _has_blake3():
            raise UnverifiableError("the block is named by its blake3 hash: install the extra `blake3` to verify it")
        return partial(_blake3, size or 32)
    if 0xB201 <= code <= 0xB240:
        return partial(_blake2b, code - 0xB200)
    if 0xB241 <= code <= 0xB260:
        return partial(_blake2s, code - 0xB240)
    name = _HASHLIB.get(code)
    if name is None or name not in hashlib.algorithms_available:
        raise UnverifiableError(f"the hash function 0x{code:x} is not known here, its blocks cannot be verified")
    return partial(_hashlib, name)


def digest_of(code: int, data: bytes) -> bytes:
    """The digest of ``data`` under the hash function of a multihash code.

    >>> digest_of(0x12, b"").hex()[:8]
    'e3b0c442'
    """
    return hasher(code)(data)


def verify_digest(cid: bytes, data: bytes) -> None:
    """Check ``data`` against a binary CID, as :func:`verify_block` does."""
    prefix = cids.prefix_of(cid)
    found = hasher(prefix.hash_code, prefix.digest_size)(data)
    expected = cid[prefix.size :]
    # A digest may be cut (https://multiformats.io/multihash), an identity "digest" may not.
    if prefix.hash_code != cids.IDENTITY and prefix.digest_size:
        found = found[: prefix.digest_size]
    if found != expected:
        raise HashMismatchError(
            f"expected bytes with the hash of {cids.to_text(cid)}, found {len(data)} bytes whose digest is "
            f"{found[:64].hex()}"
        )


def verify_block(cid: CID | str | bytes, data: bytes) -> None:
    """Check that ``data`` is the block that ``cid`` names; return if it is.

    A digest that is cut short is compared as far as it goes; an identity CID holds its bytes itself.

    :raises HashMismatchError: if the bytes are others
    :raises UnverifiableError: if the hash function cannot be computed here

    >>> verify_block("bafkqaaa", b"")
    """
    verify_digest(cids.to_bytes(cid), data)
