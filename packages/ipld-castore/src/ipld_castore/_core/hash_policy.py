"""The hash functions that prove bytes from an untrusted source.

A CID whose digest can be forged proves nothing, so such blocks are refused instead of verified:
sha2-256, sha2-512, blake3 and blake2b-256 with at least 20 bytes of digest, as trustless clients of IPFS have it, and
at most the bytes that the function gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipld_car import CarError, CarReader, HashMismatchError, UnverifiableError, cids, hashes
from multiformats import CID

from ipld_castore.errors import BlockCorruptError, HashRefusedError

MIN_DIGEST_BYTES: Final = 20
MAX_IDENTITY_BYTES: Final = 128

HASH_CODES: Final = {"sha2-256": cids.SHA2_256, "blake3": hashes.BLAKE3}
"""The hash functions that a store may write with."""

# The hash functions to trust, and the bytes of their whole digest.
_TRUSTED: Final = {cids.SHA2_256: 32, hashes.SHA2_512: 64, hashes.BLAKE3: 32, hashes.BLAKE2B_256: 32}


def identity_bytes(cid: bytes) -> bytes | None:
    """Return the bytes that an identity CID holds itself; None for any other CID.

    :raises HashRefusedError: if they are more than 128
    """
    prefix = cids.prefix_of(cid)
    if prefix.hash_code != cids.IDENTITY:
        return None
    if prefix.digest_size > MAX_IDENTITY_BYTES:
        raise HashRefusedError(
            f"expected an identity CID of at most {MAX_IDENTITY_BYTES} bytes, found one of {prefix.digest_size}"
        )
    return cid[prefix.size :]


def check_hash(cid: bytes) -> None:
    """Refuse a CID that proves nothing.

    :raises HashRefusedError: if its hash function is not trusted, or its digest too short or impossibly long
    """
    prefix = cids.prefix_of(cid)
    whole = _TRUSTED.get(prefix.hash_code)
    if whole is None:
        raise HashRefusedError(
            f"expected a CID with sha2-256, sha2-512, blake3 or blake2b-256, found hash function "
            f"0x{prefix.hash_code:x}: {cids.to_text(cid)}"
        )
    if not MIN_DIGEST_BYTES <= prefix.digest_size <= whole:
        raise HashRefusedError(
            f"expected a CID with a digest of {MIN_DIGEST_BYTES} to {whole} bytes, found {prefix.digest_size}: "
            f"{cids.to_text(cid)[:200]}"
        )


def proves(cid: bytes) -> bool:
    """Return whether bytes with the hash of a CID are its block: :func:`check_hash` as an answer."""
    if cids.is_cidv1_sha256(cid):
        return True
    try:
        check_hash(cid)
    except HashRefusedError:
        return False
    return True


def verify(cid: bytes, data: bytes) -> None:
    """Check bytes from a backend against their binary CID.

    :raises HashRefusedError: if the CID proves nothing
    :raises BlockCorruptError: if these are not its bytes
    """
    check_hash(cid)
    try:
        hashes.verify_digest(cid, data)
    except UnverifiableError as error:
        raise HashRefusedError(str(error)) from None
    except HashMismatchError as error:
        raise BlockCorruptError(f"corrupt block: {error.message}") from None


def trusted_blocks(reader: CarReader, *, verify: bool) -> Iterator[tuple[CID, bytes]]:
    """Yield the blocks of an archive that are to be put: identity CIDs hold their bytes themselves."""
    for block in reader:
        if identity_bytes(block.cid_bytes) is None:
            check_hash(block.cid_bytes)
            if verify:
                try:
                    hashes.verify_digest(block.cid_bytes, block.data)
                except CarError as error:
                    raise error.at(block.location.offset) from None
            yield block.cid, block.data
