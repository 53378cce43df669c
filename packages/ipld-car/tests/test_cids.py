"""Binary CIDs and CID objects, against those of multiformats."""

import copy
import pickle
import threading
import weakref
from base64 import b32encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarError, LimitError, MalformedError, TruncatedError, cids
from multiformats import CID, multicodec, multihash

from .support.car_samples import cid, varint

V0 = cid(b"", "dag-pb", version=0)
V1 = cid(b"hello")


@st.composite
def known(draw: st.DrawFn) -> bytes:
    """A CID with a codec and a hash function that are in the tables of multiformats."""
    if draw(st.integers(0, 5)) == 0:
        return b"\x12\x20" + draw(st.binary(min_size=32, max_size=32))
    codec = draw(st.sampled_from(["raw", "dag-pb", "dag-cbor", "dag-json", "libp2p-key", "git-raw"]))
    name = draw(st.sampled_from(["sha2-256", "sha2-512", "blake2b-256", "sha3-224", "identity", "sha1", "md5"]))
    function = multihash.get(name)
    largest = function.max_digest_size
    digest = draw(st.binary(min_size=largest or 0, max_size=largest or 200))
    return b"\x01" + varint(multicodec.get(codec).code) + varint(function.code) + varint(len(digest)) + digest


@given(known())
def test_cid_objects_equal_those_of_multiformats(binary: bytes) -> None:
    ours = cids.from_bytes(binary)
    theirs = CID.decode(binary)
    if theirs.version:
        theirs = theirs.set(base="base32")
    assert isinstance(ours, CID)
    assert ours == theirs
    assert theirs == ours
    assert hash(ours) == hash(theirs)
    assert {ours: 1}[theirs] == {theirs: 1}[ours] == 1
    assert bytes(ours) == bytes(theirs) == binary
    assert str(ours) == str(theirs) == cids.to_text(binary)
    assert repr(ours) == repr(theirs)
    assert ours.human_readable == theirs.human_readable
    for name in ("version", "base", "codec", "hashfun", "digest", "raw_digest"):
        assert getattr(ours, name) == getattr(theirs, name), name
    if ours.version:
        for base in ("base58btc", "base64url", "base16"):
            assert ours.encode(base) == theirs.encode(base)
            assert cids.to_bytes(ours.encode(base)) == binary
            assert ours.set(base=base) == theirs.set(base=base)
        assert ours.set(codec="raw") == theirs.set(codec="raw")


@given(known())
def test_object_text_and_bytes_give_the_same_binary_cid(binary: bytes) -> None:
    ours, theirs = cids.from_bytes(binary), CID.decode(binary)
    forms: list[Any] = [binary, bytearray(binary), memoryview(binary), ours, theirs, str(ours), str(theirs)]
    for form in forms:
        assert cids.to_bytes(form) == binary
        assert type(cids.to_bytes(form)) is bytes


@given(known())
def test_objects_pickle_and_copy(binary: bytes) -> None:
    """CID objects that multiformats makes from bytes do neither."""
    ours = cids.from_bytes(binary)
    for used in (False, True):
        if used:
            assert ours.digest
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(ours, protocol))  # noqa: S301 - made right here
            assert again == ours
            assert str(again) == str(ours)
        assert copy.copy(ours) == copy.deepcopy(ours) == ours


def test_cid_objects_behave_like_those_of_multiformats() -> None:
    made = cids.from_bytes(V1)
    assert repr(made) == f"CID('base32', 1, 'raw', '1220{V1[4:].hex()}')"
    assert made != V1
    assert made != str(made)
    assert made != cids.from_bytes(V0)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = made.nothing  # type: ignore[attr-defined]  # that it has none is tested
    assert not hasattr(made, "__array__")
    assert weakref.ref(made)() is made


def test_objects_can_be_shared_between_threads() -> None:
    """The slots of an object are filled on first use, here by many threads at once."""
    for _ in range(50):
        made = cids.from_bytes(V1)
        seen: list[tuple[object, ...]] = []
        ready = threading.Barrier(4)

        def use(made: CID = made, seen: list[tuple[object, ...]] = seen, ready: threading.Barrier = ready) -> None:
            ready.wait()
            seen.append((made.version, made.codec.name, made.digest, made.base.name, made.hashfun.name))

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [(1, "raw", V1[2:], "base32", "sha2-256")] * 4


def test_codes_that_multiformats_does_not_know() -> None:
    """Archives of other programs hold such CIDs; multiformats cannot make their objects."""
    for codec, code in ((0x300001, 0x12), (0x55, 0x1011), (0x3FFFFF, 0x300002), ((1 << 63) - 1, (1 << 63) - 1)):
        binary = b"\x01" + varint(codec) + varint(code) + b"\x04abcd"
        made = cids.from_bytes(binary)
        assert (made.codec.code, made.hashfun.code, made.version) == (codec, code, 1)
        assert made.digest == varint(code) + b"\x04abcd"
        assert bytes(made) == binary == cids.to_bytes(str(made))
        assert made == cids.from_bytes(binary)
        assert hash(made) == hash(cids.from_bytes(binary))
        assert made != cids.from_bytes(V1)
        assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - made right here
        assert "0x" in repr(made) or "raw" in repr(made)


# -- strictness ------------------------------------------------------------------------------------


BAD = {
    "nothing": (b"", TruncatedError),
    "version 0": (b"\x00" + V1[1:], MalformedError),
    "version 2": (b"\x02" + V1[1:], MalformedError),
    "version 18, not of version 0": (b"\x12\x21" + bytes(33), MalformedError),
    "version 0 cut short": (V0[:-1], TruncatedError),
    "version 0 with more": (V0 + b"\x00", MalformedError),
    "cut short": (V1[:-1], TruncatedError),
    "with more": (V1 + b"\x00", MalformedError),
    "only a version": (b"\x01", TruncatedError),
    "only a codec": (b"\x01\x55", TruncatedError),
    "codec cut short": (b"\x01\xd5", TruncatedError),
    "no digest size": (b"\x01\x55\x12", TruncatedError),
    "version not minimal": (b"\x81\x00" + V1[1:], MalformedError),
    "codec not minimal": (b"\x01\xd5\x00" + V1[2:], MalformedError),
    "digest size not minimal": (V1[:3] + b"\xa0\x00" + V1[4:], MalformedError),
    "codec of ten bytes": (b"\x01" + b"\x80" * 9 + b"\x01" + V1[2:], MalformedError),
    "huge digest": (b"\x01\x55\x12" + varint((1 << 63) - 1), LimitError),
    "longer than any should be": (b"\x01\x55\x00" + varint(2044) + bytes(2044), LimitError),
}


@pytest.mark.parametrize("name", BAD)
def test_bytes_that_are_no_cid_are_refused(name: str) -> None:
    binary, error = BAD[name]
    for function in (cids.check, cids.from_bytes, cids.to_bytes):
        with pytest.raises(error):
            function(binary)
    with pytest.raises(CarError):
        cids.to_text(binary)
    for text in ("b" + b32encode(binary).decode().rstrip("=").lower(), "f" + binary.hex()):
        with pytest.raises(MalformedError, match="expected the text of a CID"):
            cids.to_bytes(text)


def test_the_longest_cid() -> None:
    binary = b"\x01\x55\x00" + varint(2043) + bytes(2043)
    assert len(binary) == cids.MAX_CID_BYTES
    assert cids.to_bytes(str(cids.from_bytes(binary))) == binary


def test_objects_of_multiformats_are_checked_too() -> None:
    long = CID("base32", 1, "raw", multihash.digest(bytes(3000), "identity"))
    with pytest.raises(LimitError):
        cids.to_bytes(long)


@given(st.text(max_size=60) | st.text("Qmbz0123456789abcdefghijk", min_size=44, max_size=48))
def test_any_text_is_a_cid_or_an_error(text: str) -> None:
    try:
        binary = cids.to_bytes(text)
    except MalformedError as error:
        assert text[:20] in str(error) or repr(text[:20])[1:-1] in str(error)  # noqa: PT017 - one of two good ends
    else:
        assert cids.check(binary).cid_size == len(binary)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "Q",
        "Qm",
        "hello",
        "bafkqaa",
        "bafkqaaaa",
        "BAFKQAAA ",
        " bafkqaaa",
        "/ipfs/bafkqaaa/a",
        "ipfs://",
        "ipfs:///",
        "ipfs://bafkqaaa//",
        "bafkqaaa/",
        "bafkqaa=",
        "é",
    ],
)
def test_text_that_is_no_cid(text: str) -> None:
    with pytest.raises(MalformedError, match="expected the text of a CID"):
        cids.to_bytes(text)


@pytest.mark.parametrize("text", ["bafkqaaa", cids.to_text(V0), "mAVUAAA"])
def test_ipfs_urls_and_paths_are_accepted(text: str) -> None:
    """Gateways, nodes and browsers show CIDs in these forms."""
    for form in ("ipfs://{}", "/ipfs/{}", "IPFS://{}", "ipfs://{}/", "/ipfs/{}/"):
        assert cids.to_bytes(form.format(text)) == cids.to_bytes(text)


@pytest.mark.parametrize("text", ["ipfs://bafkqaaa/a", "/ipfs/bafkqaaa/a/b/"])
def test_a_path_below_a_cid_is_named_as_that(text: str) -> None:
    with pytest.raises(MalformedError, match="a path follows the CID"):
        cids.to_bytes(text)


def test_text_of_version_0_has_no_multibase_prefix() -> None:
    text = cids.to_text(V0)
    assert text == "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"
    assert cids.to_bytes(text) == V0
    with pytest.raises(MalformedError, match="version 0 has no multibase prefix"):
        cids.to_bytes("z" + text)


def test_upper_case_base32_is_accepted() -> None:
    assert cids.to_bytes(cids.to_text(V1).upper()) == V1


@pytest.mark.parametrize("given_", [None, 17, 1.5, ["bafkqaaa"], object()])
def test_other_types_are_refused(given_: object) -> None:
    with pytest.raises(TypeError, match="expected a CID as"):
        cids.to_bytes(given_)  # type: ignore[arg-type]  # the wrong type is what is tested


@given(st.binary(max_size=50), st.integers(0, 8), st.integers(0, 50))
def test_any_bytes_are_parsed_within_their_bounds(data: bytes, start: int, size: int) -> None:
    """The result depends neither on bytes outside start and stop nor on the prefixes in the cache."""
    stop = min(start + size, len(data))
    start = min(start, stop)
    try:
        inside = cids.prefix_of(data[start:stop])
    except CarError as error:
        with pytest.raises(type(error)):
            cids.prefix_of(data, start, stop)
    else:
        assert cids.prefix_of(data, start, stop) == inside
        assert inside.cid_size <= stop - start


def test_a_cached_prefix_does_not_reach_beyond_the_end() -> None:
    cids.check(V1)
    for stop in range(len(V1)):
        with pytest.raises(TruncatedError):
            cids.prefix_of(V1, 0, stop)
        with pytest.raises(TruncatedError):
            cids.prefix_of(V1[:stop])
    with pytest.raises(TruncatedError):
        cids.prefix_of(V1 + V1[:-1], len(V1))
    assert cids.prefix_of(b"x" + V1 + V1, 1).cid_size == 36


def test_the_cache_of_prefixes_is_bounded() -> None:
    """A hostile archive may hold thousands of codecs and hash functions."""
    for codec in range(128):
        for code in range(128):
            cids.check(bytes((1, codec, code, 1)) + b"x")
    assert len(cids._PREFIX_CACHE) <= cids._PREFIX_CACHE_SIZE
    cids.check(V1)


# -- parts -----------------------------------------------------------------------------------------


@given(known())
def test_parts(binary: bytes) -> None:
    theirs = CID.decode(binary)
    prefix = cids.check(binary)
    assert prefix == cids.prefix_of(binary)
    assert (prefix.version, prefix.codec, prefix.hash_code) == (theirs.version, theirs.codec.code, theirs.hashfun.code)
    assert prefix.digest_size == len(theirs.raw_digest)
    assert binary[prefix.size :] == theirs.raw_digest
    assert prefix.cid_size == len(binary)
    assert cids.codec_of(binary) == theirs.codec.code
    assert cids.multihash_of(binary) == theirs.digest
    if prefix.version:
        assert cids.make(prefix.codec, theirs.raw_digest, prefix.hash_code) == binary
    assert cids.is_cidv1_sha256(binary) is (
        theirs.version == 1
        and theirs.codec.name in ("raw", "dag-pb", "dag-cbor")
        and theirs.hashfun.name == "sha2-256"
        and len(theirs.raw_digest) == 32
    )


@pytest.mark.parametrize("binary", [binary for binary, _ in BAD.values()][:10])
def test_bytes_that_are_no_cid_are_no_cidv1_sha256(binary: bytes) -> None:
    assert not cids.is_cidv1_sha256(binary)
    assert not cids.is_cidv1_sha256(binary[:35])
