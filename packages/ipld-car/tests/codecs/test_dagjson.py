"""DAG-JSON: the forms of the specification, links in order, and no bytes raise anything but CarError."""

import json
import threading
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarError, LimitError, MalformedError, binary_links, cids, links
from ipld_car.codecs.dagjson import MAX_DEPTH, decode
from multiformats import CID

from ..support.car_samples import cid

RAW = cid(b"hello")
V0 = cid(b"", "dag-pb", version=0)
NAMES = [RAW, V0, cid(bytes(100), "raw", "identity"), cid(b"x", "dag-json", "sha2-512")]


def binary_links_of(block: bytes) -> list[bytes]:
    return list(binary_links(cid(block, "dag-json"), block))


# -- blocks that are good ------------------------------------------------------------------------------


def values() -> st.SearchStrategy[Any]:
    """Values of the data model whose maps have no key that begins a reserved map."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 70), 1 << 70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.binary(),
        st.sampled_from(NAMES).map(cids.from_bytes),
    )
    keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(lambda key: key != "/")
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20)


def written(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, CID):
        return {"/": cids.to_text(bytes(value))}
    if isinstance(value, bytes):
        return {"/": {"bytes": b64encode(value).decode().rstrip("=")}}
    if isinstance(value, list):
        return [written(item) for item in value]
    return {key: written(item) for key, item in value.items()} if isinstance(value, dict) else value


def links_in(value: Any) -> list[bytes]:
    """List the links by the definition, recursively."""
    if isinstance(value, CID):
        return [bytes(value)]
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [link for item in below for link in links_in(item)]


@given(values(), st.sampled_from([None, 1]), st.booleans())
def test_round_trip_of_values(value: Any, indent: int | None, ascii_only: bool) -> None:
    """With and without white space and escapes, and with keys in any order."""
    block = json.dumps(written(value), indent=indent, ensure_ascii=ascii_only).encode()
    assert decode(block) == value
    assert binary_links_of(block) == links_in(value)
    assert links(cid(block, "dag-json"), block) == [cids.from_bytes(link) for link in links_in(value)]


TEXT = cids.to_text(RAW)
LINK = '{"/":"' + TEXT + '"}'


@pytest.mark.parametrize(
    ("block", "value"),
    [
        ('{"a":' + LINK + ',"0":1}', {"a": cids.from_bytes(RAW), "0": 1}),
        ('{"/":{"bytes":"aGk"}}', b"hi"),
        ('{"/":{"bytes":"aGk="}}', b"hi"),
        ('{"/":{"bytes":""}}', b""),
        # The specification says that these are valid, since their form is not reserved.
        ('{"0bar":"baz","/":"foo"}', {"0bar": "baz", "/": "foo"}),
        ('{"/":true,"bar":"baz"}', {"/": True, "bar": "baz"}),
        ('{"/":null}', {"/": None}),
        ('{"/":{}}', {"/": {}}),
        ('{"/":{"abar":"baz","bytes":"foo"}}', {"/": {"abar": "baz", "bytes": "foo"}}),
        ('{"/":{"bytes":true},"bar":"baz"}', {"/": {"bytes": True}, "bar": "baz"}),
        ('{"0bar":"baz","/":{"bytes":"foo"}}', {"0bar": "baz", "/": {"bytes": "foo"}}),
        ('{"/":' + LINK + "}", {"/": cids.from_bytes(RAW)}),
    ],
)
def test_forms_of_the_specification(block: str, value: object) -> None:
    assert decode(block.encode()) == value
    assert binary_links_of(block.encode()) == links_in(value)


def test_links_in_other_bases() -> None:
    """The specification asks for base32; go-ipld-prime reads links in other bases too."""
    in_base58 = "zdpuAyvkgEDQm9TenwGkd5eNaosSxjgEYd8QatfPetgB1CdEZ"
    block = json.dumps([{"/": in_base58}, {"/": TEXT.upper()}]).encode()
    assert binary_links_of(block) == [bytes(CID.decode(in_base58)), RAW]


# -- and blocks that are not ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "words"),
    [
        # The specification says that these are not valid.
        (b'{"/":"foo","bar":"baz"}', "with 2 keys"),
        (b'{"/":{"bytes":"foo","bar":"baz"}}', "with 2 keys"),
        (b'{"/":{"bytes":"foo"},"bar":"baz"}', "with 2 keys"),
        (b'{"/":"foo"}', "the text of a CID"),
        (b'{"/":""}', "the text of a CID"),
        (b'{"/":"\\ud800"}', "the text of a CID"),
        (b'{"/":"%s "}' % TEXT.encode(), "the text of a CID"),
        (b'{"/":{"bytes":"a"}}', "base64"),
        (b'{"/":{"bytes":"aGk aGk"}}', "base64"),
        (b'{"/":{"bytes":"aG-_"}}', "base64"),
        (b'{"/":{"bytes":"\xc3\xa9"}}', "base64"),
        # Not JSON, or ambiguous.
        (b"", r"Expecting value \(offset 0\)"),
        (b"[1,]", "DAG-JSON"),
        (b'{"a":1}{', r"Extra data \(offset 7\)"),
        (b'["\xc3\xa9",x]', r"Expecting value \(offset 6\)"),
        (b'"\xff"', r"UTF-8.*\(offset 1\)"),
        (b'\xef\xbb\xbf"bom"', "DAG-JSON"),
        ("[]".encode("utf-16"), "UTF-8"),
        (b'"\x01"', "control character"),
        (b"[NaN]", "found NaN"),
        (b"[-Infinity]", "found -Infinity"),
        (b"1" * 5000, "digits"),
        (b'{"a":1,"\\u0061":2}', "found one twice"),
        (b'{"/":"%s","/":"%s"}' % (TEXT.encode(), TEXT.encode()), "found one twice"),
    ],
)
def test_malformed_blocks_are_refused(block: bytes, words: str) -> None:
    for read in (decode, binary_links_of):
        with pytest.raises(MalformedError, match=words):
            read(block)


def test_depth_has_the_same_bound_everywhere() -> None:
    """Every Python parses up to that depth; brackets in strings do not count."""
    text = '"' + "[{" * 1000 + '\\"' + "[" * 1000 + '"'
    assert decode(f"[{text},{text}]".encode()) == [json.loads(text)] * 2
    shallow = b"[" + b",".join([b'{"a":[]}'] * 1000) + b"]"
    assert binary_links_of(shallow) == []
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        block = opened * (MAX_DEPTH - 1) + LINK.encode() + closed * (MAX_DEPTH - 1)  # a link is a map too
        assert binary_links_of(block) == [RAW]
        for depth in (MAX_DEPTH + 1, 1_000_000):
            with pytest.raises(LimitError):
                binary_links_of(opened * depth + b"1" + closed * depth)


def test_a_deep_block_does_not_crash_a_small_stack() -> None:
    """Threads have small stacks, on which Python's parser would crash the process."""
    outcome: list[object] = []

    def run() -> None:
        for depth in (MAX_DEPTH, 5000, 100_000):
            try:
                outcome.append(len(binary_links_of(b"[" * depth + b"]" * depth)))
            except CarError as error:
                outcome.append(type(error))

    before = threading.stack_size(256 << 10)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert outcome == [0, LimitError, LimitError]


PIECES = [*b'{ } [ ] : , " / \\ 1 1e999 null "a" {"/": {"bytes":'.split(), LINK.encode(), b"\xff", b" "]


@pytest.mark.parametrize("piece", [b'\\"', b'"', b"\\", b'"\\"', b'"[', b"[]"])
def test_time_is_linear_in_the_size_of_the_block(piece: bytes) -> None:
    """Quadratic time would be hours; so would strings that are scanned from each of their quotes."""
    for start in (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), b"", b'["', b"[" * MAX_DEPTH):
        with pytest.raises(CarError):
            binary_links_of(start + piece * (1 << 19))


@given(st.binary(max_size=50) | st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join))
def test_no_bytes_raise_anything_else(block: bytes) -> None:
    try:
        found = binary_links_of(block)
    except CarError:
        return
    assert all(cids.check(link) for link in found)
    assert len(found) <= block.count(b'"/"')
