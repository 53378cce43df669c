"""DAG-CBOR: libipld gives what dag-cbor gives, and no bytes raise anything but CarError."""

import json
import math
import random
from pathlib import Path
from typing import Any

import dag_cbor
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ipld_car import CarError, LimitError, MalformedError, TruncatedError, cids, dagcbor
from multiformats import CID, multicodec, multihash

from ..support.car_samples import cid, varint

RAW_LINK = cids.from_bytes(cid(b"hello"))
CODECS = (0x55, 0x70, 0x71, 0x0129, 0x0202)

# -- values ----------------------------------------------------------------------------------------


@st.composite
def links(draw: st.DrawFn) -> CID:
    kind = draw(st.integers(0, 4))
    data = draw(st.binary(max_size=8))
    if kind == 0:
        return cids.from_bytes(cid(data, "dag-pb", version=0))
    if kind == 1:
        return cids.from_bytes(cid(draw(st.binary(max_size=100)), "raw", "identity"))
    if kind == 2:
        return cids.from_bytes(cid(data, "dag-cbor", "sha2-512"))
    return cids.from_bytes(cids.make(draw(st.sampled_from(CODECS)), draw(st.binary(min_size=32, max_size=32))))


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.sampled_from([0, 23, 24, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, -1, -24, -25, -256, -257])
    | FLOATS
    | st.just(-0.0)
    | st.text(max_size=10)
    | links()
)


def values(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=5),
        max_leaves=20,
    )


NODES = values(SCALARS)
VALUES = values(SCALARS | st.binary(max_size=40) | links().map(bytes))


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, with the same types and signs of zero."""
    if type(one) is not type(other):
        return isinstance(one, CID) and isinstance(other, CID) and one == other
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


def binary(value: Any) -> Any:
    """Convert a value to one of a node: links become binary CIDs."""
    if isinstance(value, CID):
        return bytes(value)
    if isinstance(value, dict):
        return {key: binary(item) for key, item in value.items()}
    return [binary(item) for item in value] if isinstance(value, list) else value


def leaves(value: Any) -> list[Any]:
    """Iterate over all items of a value, in the order of their encoding."""
    if isinstance(value, dict):
        ordered = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return [leaf for key in ordered for leaf in leaves(value[key])]
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


def links_in(value: Any) -> list[bytes]:
    return [bytes(leaf) for leaf in leaves(value) if isinstance(leaf, CID)]


@given(VALUES)
def test_round_trip_of_values(value: Any) -> None:
    data = dagcbor.encode(value)
    assert data == dag_cbor.encode(value)
    assert same(dagcbor.decode(data), value)
    assert dagcbor.links(data) == dagcbor.scan(data) == links_in(value)


@given(NODES)
def test_nodes_equal_those_of_dag_cbor(value: Any) -> None:
    data = dag_cbor.encode(value)
    node = dagcbor.decode_node(data)
    assert same(node, binary(value))
    assert dagcbor.links(data) == links_in(value)
    long_digest = any(cids.prefix_of(link).digest_size > 64 for link in links_in(value))
    if long_digest:
        with pytest.raises(ValueError, match="expected a link"):
            dagcbor.encode_node(node)
    else:
        assert dagcbor.encode_node(node) == data


@given(VALUES)
def test_byte_strings_are_no_links(value: Any) -> None:
    """Not even byte strings that hold a CID."""
    data = dag_cbor.encode(value)
    if any(isinstance(leaf, bytes) for leaf in leaves(value)):
        with pytest.raises(MalformedError, match="expected a link, found a byte string"):
            dagcbor.decode_node(data)
    else:
        assert same(dagcbor.decode_node(data), binary(value))


@given(st.dictionaries(st.text(max_size=8), st.integers(0, 3), max_size=12), st.randoms(use_true_random=False))
def test_map_keys_are_sorted(value: dict[str, int], rnd: random.Random) -> None:
    keys = list(value)
    rnd.shuffle(keys)
    assert dagcbor.encode_node({key: value[key] for key in keys}) == dag_cbor.encode({**value})


# -- bytes that are not strict ---------------------------------------------------------------------


def unknown(data: bytes) -> bool:
    """Return whether a link has a code that multiformats does not know, which dag-cbor refuses without a rule."""
    try:
        found = dagcbor.scan(data)
    except CarError:
        return False
    for link in found:
        form = cids.prefix_of(link)
        if not multicodec.exists(code=form.codec) or not multihash.exists(code=form.hash_code):
            return True
        size = multihash.get(code=form.hash_code).max_digest_size
        if size is not None and form.digest_size > size:
            return True
    return False


def judge(data: bytes) -> None:
    """Check that decode and decode_node give what dag-cbor gives."""
    try:
        value = dag_cbor.decode(data)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - whatever it says
        with pytest.raises(CarError):
            dagcbor.decode(data)
        if not unknown(data):
            with pytest.raises(CarError):
                dagcbor.decode_node(data)
        return
    assert same(dagcbor.decode(data), value)
    if any(isinstance(leaf, bytes) for leaf in leaves(value)):
        with pytest.raises(MalformedError):
            dagcbor.decode_node(data)
    else:
        assert same(dagcbor.decode_node(data), binary(value))
    assert dagcbor.links(data) == dagcbor.scan(data) == links_in(value)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An encoding with a few bytes changed, removed or inserted, some of them with a meaning in CBOR."""
    data = bytearray(dag_cbor.encode(draw(VALUES)))
    heads = st.sampled_from([0x00, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x38, 0x40, 0x58, 0x60, 0x78, 0x80, 0x9F, 0xA0, 0xBF])
    others = st.sampled_from([0xD8, 0x2A, 0xE0, 0xF4, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA, 0xFB, 0xFF, 0x01])
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                del data[position : position + 1]
            case 1:
                data[position:position] = bytes([draw(heads | others)])
            case 2:
                data[position : position + 1] = bytes([draw(st.integers(0, 255))])
            case 3:
                data[position : position + 1] = bytes([draw(heads | others)])
    return bytes(data)


@given(mutated() | st.binary(max_size=40))
@example(b"")
def test_mutations_give_what_dag_cbor_gives(data: bytes) -> None:
    judge(data)


LINK = b"\xd8\x2a\x58\x25\x00" + cid(b"hello")
NOT_STRICT = {
    "16-bit float": b"\xf9\x3c\x00",
    "32-bit float": b"\xfa\x3f\x80\x00\x00",
    "NaN": b"\xfb\x7f\xf8" + bytes(6),
    "infinity": b"\xfb\x7f\xf0" + bytes(6),
    "minus infinity": b"\xfb\xff\xf0" + bytes(6),
    "integer in two bytes": b"\x18\x17",
    "integer in nine bytes": b"\x1b" + bytes(7) + b"\x01",
    "negative in two bytes": b"\x38\x00",
    "length of text in two bytes": b"\x78\x01a",
    "length of a list in two bytes": b"\x98\x01\x00",
    "length of a map in two bytes": b"\xb8\x01\x61a\x00",
    "length of a link in three bytes": b"\xd8\x2a\x59\x00\x25\x00" + cid(b"hello"),
    "tag in three bytes": b"\xd9\x00\x2a\x58\x25\x00" + cid(b"hello"),
    "another tag": b"\xc1\x00",
    "a link in text": b"\xd8\x2a\x61a",
    "a link without its zero": b"\xd8\x2a\x58\x24" + cid(b"hello"),
    "a link with one instead": b"\xd8\x2a\x58\x25\x01" + cid(b"hello"),
    "a link of nothing": b"\xd8\x2a\x40",
    "a link of zero": b"\xd8\x2a\x41\x00",
    "a link with more behind it": b"\xd8\x2a\x58\x26\x00" + cid(b"hello") + b"\x00",
    "a link cut short": b"\xd8\x2a\x58\x24\x00" + cid(b"hello")[:-1],
    "a link of version 2": b"\xd8\x2a\x58\x25\x00\x02" + cid(b"hello")[1:],
    "a link with a long varint": b"\xd8\x2a\x58\x26\x00\x01\xd5\x00" + cid(b"hello")[2:],
    "undefined": b"\xf7",
    "simple value": b"\xe0",
    "simple value in two bytes": b"\xf8\xff",
    "break": b"\xff",
    "list without end": b"\x9f\xff",
    "text without end": b"\x7f\x61a\xff",
    "keys out of order": b"\xa2\x61b\x00\x61a\x00",
    "keys ordered by bytes, not by length": b"\xa2\x62aa\x00\x61b\x00",
    "a key twice": b"\xa2\x61a\x00\x61a\x00",
    "a number as key": b"\xa1\x00\x00",
    "bytes as key": b"\xa1\x41a\x00",
    "text that is no UTF-8": b"\x61\xff",
    "text with a surrogate": b"\x63\xed\xa0\x80",
    "a key that is no UTF-8": b"\xa1\x61\xff\x00",
    "two items": b"\x00\x00",
    "nothing": b"",
    "a list cut short": b"\x82\x00",
    "text cut short": b"\x62a",
    "a head cut short": b"\x19\x01",
    "reserved head": b"\x1c",
}


@pytest.mark.parametrize("name", NOT_STRICT)
@pytest.mark.parametrize("wrapped", [False, True])
def test_blocks_that_are_not_strict_are_refused(name: str, wrapped: bool) -> None:
    data = NOT_STRICT[name]
    if wrapped:  # in a node that has links too
        data = b"\x82" + LINK + data
    with pytest.raises(CarError):
        dagcbor.decode(data)
    with pytest.raises(CarError):
        dagcbor.decode_node(data)
    judge(data)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\x82" + LINK + b"\x61\xff", [cid(b"hello")]),  # no UTF-8, as in Filecoin
        (b"\xa2\x61b" + LINK + b"\x61a\x00", [cid(b"hello")]),  # keys out of order
        (b"\x82\x18\x00" + LINK, [cid(b"hello")]),  # not minimal
        (b"\x82\xfa\x3f\x80\x00\x00" + LINK, [cid(b"hello")]),  # 32-bit float
        (b"\x82\x58\x24" + cid(b"hello") + LINK, [cid(b"hello")]),  # bytes like a CID
        (b"\x82\x58\x25\x00" + cid(b"hello") + LINK, [cid(b"hello")]),  # bytes like a tagged CID
        (b"\x81\xfb\x80" + bytes(7), []),
    ],
)
def test_links_are_found_where_the_rest_is_not_strict(data: bytes, found: list[bytes]) -> None:
    assert dagcbor.links(data) == dagcbor.scan(data) == found


LOOSE = {
    name
    for name in NOT_STRICT
    if name.split()[0] in ("16-bit", "32-bit", "NaN", "infinity", "minus", "integer", "negative", "length", "keys")
    or name in ("a key twice", "text that is no UTF-8", "text with a surrogate", "a key that is no UTF-8")
    or name in ("a number as key", "bytes as key", "tag in three bytes")
}


@pytest.mark.parametrize("name", sorted(set(NOT_STRICT) - LOOSE))
def test_links_of_cbor_that_is_no_dag_cbor_are_refused(name: str) -> None:
    with pytest.raises(CarError) as scanned:
        dagcbor.scan(NOT_STRICT[name])
    assert scanned.value.offset is not None
    with pytest.raises(CarError):
        dagcbor.links(NOT_STRICT[name])


@given(mutated())
def test_links_and_scan_agree_on_any_bytes(data: bytes) -> None:
    def ask(function: Any) -> Any:
        try:
            return function(data, max_depth=1024)
        except CarError:
            return None

    assert ask(dagcbor.links) == ask(dagcbor.scan)


def test_offsets_of_errors_are_in_the_block() -> None:
    for data, error, offset in (
        (b"\x82\x00\x62a", TruncatedError, 2),
        (b"\x83\x00\x00", TruncatedError, 0),
        (b"\x82\x00\xc1\x00", MalformedError, 2),
        (b"\x82\x00\xd8\x2a\x41\x00", TruncatedError, 2),
        (b"\x00\x00", MalformedError, 1),
        (b"\x81" * 300 + b"\x00", LimitError, 256),
    ):
        with pytest.raises(error) as caught:
            dagcbor.scan(data)
        assert caught.value.offset == offset


# -- vectors ---------------------------------------------------------------------------------------


def vectors(fixtures: Path, *tags: str) -> list[dict[str, Any]]:
    listed = [
        vector
        for path in sorted(fixtures.glob("dasl-testing/*.json"))
        for vector in json.loads(path.read_text())
        if set(tags) & set(vector["tags"])
    ]
    assert listed
    return listed


# Nothing in the specification of DAG-CBOR, and dag-cbor, takes it. It never comes out of the block format.
NEGATIVE_ZERO = bytes.fromhex("fb8000000000000000")


def test_dasl_vectors(fixtures: Path) -> None:
    taken = refused = 0
    for vector in vectors(fixtures, "basic", "dag-cbor"):
        data = bytes.fromhex(vector["data"])
        judge(data)
        if vector["type"] == "roundtrip":
            assert dagcbor.encode(dagcbor.decode(data)) == data, vector
            taken += 1
        elif data != NEGATIVE_ZERO:
            # What must not be written ("invalid_out") cannot be read either, so that none comes to be.
            for function in (dagcbor.decode, dagcbor.decode_node):
                with pytest.raises(CarError):
                    function(data)
            refused += 1
    assert (taken, refused) == (22, 61)


def test_negative_zero_keeps_its_sign() -> None:
    for data in (NEGATIVE_ZERO, b"\x82" + NEGATIVE_ZERO + LINK):
        for function in (dagcbor.decode, dagcbor.decode_node):
            value = function(data)
            zero = value if isinstance(value, float) else value[0]
            assert str(zero) == "-0.0"
        assert dagcbor.encode(dagcbor.decode(data)) == data


def test_unusual_links_of_the_dasl_vectors(fixtures: Path) -> None:
    for vector in vectors(fixtures, "dasl-cid"):
        data = bytes.fromhex(vector["data"])
        if vector["type"] == "roundtrip":
            assert len(dagcbor.links(data)) == 1


def test_links_with_codes_in_no_table() -> None:
    """dag-cbor cannot make their CID objects; binary CIDs need none."""
    link = b"\x01" + varint(0x300001) + b"\x12\x20" + bytes(32)
    data = b"\x81\xd8\x2a\x58\x28\x00" + link
    assert len(link) == 39
    assert dagcbor.links(data) == dagcbor.decode_node(data) == [link]
    assert dagcbor.encode_node([link]) == data
    with pytest.raises(MalformedError, match="0x300001"):
        dagcbor.decode(data)


def test_nodes_keep_negative_zero_beside_links() -> None:
    """libipld drops the sign; a document of another writer may have one, and must not change."""
    link = cids.make(cids.RAW, bytes(32))
    node = {"a": link, "z": [0.0, {"y": -0.0}]}
    block = dagcbor.encode_node(node)
    assert block == dag_cbor.encode({"a": cids.from_bytes(link), "z": [0.0, {"y": -0.0}]})
    again = dagcbor.decode_node(block)
    assert again["a"] == link
    assert [math.copysign(1, again["z"][0]), math.copysign(1, again["z"][1]["y"])] == [1, -1]
    assert node["a"] is link, "the caller's value is left alone"


def test_decoded_links_print_in_base32() -> None:
    link = cids.make(cids.DAG_CBOR, bytes(32))
    assert str(dagcbor.decode(dagcbor.encode_node([link]))[0]) == cids.to_text(link)
