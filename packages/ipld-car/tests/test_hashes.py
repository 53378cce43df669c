"""Hash functions and verification, compared with multiformats; an unknown function is an error of its own."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import HashMismatchError, MalformedError, UnverifiableError, cids, hashes, verify_block
from multiformats import CID, multihash

from .support.car_samples import cid, varint

# Functions that multiformats computes with hashlib alone.
KNOWN = [
    *("identity", "sha1", "md5", "sha2-224", "sha2-256", "sha2-384", "sha2-512"),
    *("sha3-224", "sha3-256", "sha3-384", "sha3-512"),
    *(
        "blake2b-8",
        "blake2b-160",
        "blake2b-256",
        "blake2b-384",
        "blake2b-512",
        "blake2s-8",
        "blake2s-128",
        "blake2s-256",
    ),
]


# Digests of "abc" from the examples of FIPS 180-4; multiformats needs another library for these two.
NIST = {
    0x1014: "4634270f707b6a54daae7530460842e20e37ed265ceee9a43e8924aa",
    0x1015: "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
}


@pytest.mark.parametrize("code", NIST)
def test_truncated_variants_of_sha2_512(code: int) -> None:
    assert hashes.digest_of(code, b"abc").hex() == NIST[code]


@given(st.sampled_from(KNOWN), st.binary(max_size=300), st.binary(max_size=300))
def test_digests_equal_those_of_multiformats(name: str, data: bytes, other: bytes) -> None:
    function = multihash.get(name)
    digest = function.unwrap(function.digest(data))
    assert hashes.digest_of(function.code, data) == digest
    assert hashes.hasher(function.code)(data) == digest
    binary = b"\x01\x55" + varint(function.code) + varint(len(digest)) + digest
    for form in (binary, cids.from_bytes(binary), cids.to_text(binary)):
        verify_block(form, data)
    hashes.verify_digest(binary, data)
    if other != data and name not in ("blake2b-8", "blake2s-8"):
        with pytest.raises(HashMismatchError, match=f"found {len(other)} bytes whose digest is"):
            verify_block(binary, other)


def test_every_hash_function_of_the_multicodec_table() -> None:
    """It is computed as multiformats does, or it is reported as unknown; it is never skipped."""
    known = set()
    for code in [*range(0x100), *range(0x1000, 0x1100), *range(0xB200, 0xB400)]:
        binary = b"\x01\x55" + varint(code) + b"\x04abcd"
        try:
            digest = hashes.digest_of(code, b"data")
        except UnverifiableError as error:
            assert f"0x{code:x}" in str(error) or "blake3" in str(error)  # noqa: PT017  # one of two good ends
            with pytest.raises(UnverifiableError):
                verify_block(binary, b"data")
        else:
            known.add(code)
            with pytest.raises(HashMismatchError):
                verify_block(binary, b"data")
            if code not in (0x56, hashes.BLAKE3) and multihash.exists(code=code):
                function = multihash.get(code=code)
                if function.name.startswith(("sha", "blake2", "md5", "identity")) and code not in NIST:
                    assert digest == function.unwrap(function.digest(b"data"))
    assert known >= {0, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x20, 0x56, 0xD5, *range(0xB201, 0xB261)}
    assert not known & {0x18, 0x19, 0x1B, 0x22, 0x1011, 0xB200, 0xB261}


def test_double_sha2_256() -> None:
    digest = hashlib.sha256(hashlib.sha256(b"hello").digest()).digest()
    assert digest.hex() == "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50"
    verify_block(cids.make(cids.RAW, digest, 0x56), b"hello")


def test_blake3_is_an_extra() -> None:
    try:
        import blake3  # noqa: F401  # whether it is there
    except ImportError:
        with pytest.raises(UnverifiableError, match=r"pip install 'ipld-car\[blake3\]'"):
            hashes.digest_of(hashes.BLAKE3, b"")
        return
    # https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors/test_vectors.json, input_len 1
    output = bytes.fromhex(
        "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"
        "c3a6cb8bf623e20cdb535f8d1a5ffb86342d9c0b64aca3bce1d31f60adfa137b"
        "358ad4d79f97b47c3d5e79f179df87a3b9776ef8325f8329886ba42f07fb138b"
        "b502f4081cbcec3195c5871e6c23e2cc97d3c69a613eba131e5f1351f3f1da78"
        "6545e5"
    )
    assert hashes.digest_of(hashes.BLAKE3, b"\x00") == output[:32]
    # BLAKE3 has digests of any length, so a CID may have more than the usual 32 bytes, or fewer.
    for size in (16, 32, 33, 64, 131):
        verify_block(cids.make(cids.RAW, output[:size], hashes.BLAKE3), b"\x00")
        with pytest.raises(HashMismatchError):
            verify_block(cids.make(cids.RAW, output[: size - 1] + b"?", hashes.BLAKE3), b"\x00")


@given(st.binary(max_size=100), st.integers(1, 32))
def test_shortened_digests_are_compared_as_far_as_they_go(data: bytes, size: int) -> None:
    binary = cids.make(cids.RAW, hashlib.sha256(data).digest()[:size])
    verify_block(binary, data)
    with pytest.raises(HashMismatchError):
        verify_block(binary[:-1] + bytes([binary[-1] ^ 1]), data)


def test_digests_of_no_bytes_or_too_many() -> None:
    for digest in (b"", hashlib.sha256(b"").digest() + b"\x00"):
        with pytest.raises(HashMismatchError):
            verify_block(cids.make(cids.RAW, digest), b"")


def test_an_identity_cid_holds_its_block() -> None:
    verify_block("bafkqaaa", b"")
    for size in (1, 64, 65, 300, 2000):
        data = bytes(size)
        verify_block(cid(data, "raw", "identity"), data)
        for other in (data[:-1], data + b"\x00", b"\x01" * size):
            with pytest.raises(HashMismatchError):
                verify_block(cid(data, "raw", "identity"), other)


def test_types_that_a_block_may_have() -> None:
    name = CID.decode(cid(b"hello"))
    verify_block(name, bytearray(b"hello"))  # type: ignore[arg-type]  # other types of bytes are taken too
    verify_block(name, memoryview(b"hello"))  # type: ignore[arg-type]  # other types of bytes are taken too
    with pytest.raises(MalformedError):
        verify_block(b"no CID", b"hello")


def test_a_hash_function_that_this_machine_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """In FIPS mode hashlib lists functions that OpenSSL then refuses."""

    def refuse(name: str, *_: object, **__: object) -> None:
        raise ValueError(f"[digital envelope routines] unsupported: {name}")

    monkeypatch.setattr(hashlib, "new", refuse)
    with pytest.raises(UnverifiableError, match="md5 is not available here"):
        verify_block(cids.make(cids.RAW, hashlib.md5(b"x").digest(), 0xD5), b"x")  # noqa: S324  # a hash that proves nothing is what is tested


@pytest.mark.parametrize("size", [0, 1, 2046, 2047, 2048, 4096, 6141, 8191, 8192, 8193, 100_000])
def test_sha2_256_in_pieces(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    assert hashes.sha2_256(data) == hashlib.sha256(data).digest()
    assert hashes.digest_of(cids.SHA2_256, data) == hashlib.sha256(data).digest()
