"""Which metadata is kept as data, at each border, and that all other metadata is kept as its exact bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ipldstore._format import documents
from ipldstore._format.documents import MAX_DEPTH, as_document, encode, find_problem, parse_leniently, to_lenient_json


def nested(levels: int, innermost: str = "1") -> bytes:
    """Return an object with so many levels of maps and lists in turn, the outermost included."""
    opening = ['{"x":' if level % 2 == 0 else "[" for level in range(levels)]
    closing = ["}" if level % 2 == 0 else "]" for level in range(levels)]
    return "".join([*opening, innermost, *reversed(closing)]).encode()


def kept(value: str) -> Any:
    """Return what becomes of a JSON value in a document; None if the document is kept as its exact bytes."""
    found = as_document("zarr.json", b'{"x":%s}' % value.encode())
    return None if found is None else found["x"]


@pytest.mark.parametrize(
    "text", ["0", "1", "-1", "18446744073709551615", "9223372036854775808", "-18446744073709551616"]
)
def test_integers_that_dag_cbor_has(text: str) -> None:
    assert kept(text) == int(text)
    assert type(kept(text)) is int


@pytest.mark.parametrize("text", ["-0", "18446744073709551616", "-18446744073709551617", "1" * 22, "9" * 5000])
def test_integers_that_dag_cbor_has_not(text: str) -> None:
    assert kept(text) is None


@pytest.mark.parametrize("text", ["0.0", "1.5", "-1.5", "1e308", "-5e-324", "0.0e5"])
def test_floats_that_dag_cbor_has(text: str) -> None:
    assert kept(text) == float(text)
    assert type(kept(text)) is float


@pytest.mark.parametrize("text", ["-0.0", "-0e3", "-1e-400", "1e309", "-1e309", "NaN", "Infinity", "-Infinity"])
def test_floats_that_dag_cbor_has_not(text: str) -> None:
    assert kept(text) is None


def test_depth() -> None:
    """Brackets in texts do not count, nor do those that are closed, at whatever depth."""
    many = ",".join(["[]"] * 100)
    for innermost in ("1", '"' + "[{" * 100 + '"', '"' + r"\"[" * 100 + '"'):
        assert as_document("zarr.json", nested(MAX_DEPTH, innermost)) == json.loads(nested(MAX_DEPTH, innermost))
        assert encode("zarr.json", nested(MAX_DEPTH + 1, innermost)) is None
    assert encode("zarr.json", nested(MAX_DEPTH - 2, f"[{many}]")) is not None
    assert encode("zarr.json", nested(MAX_DEPTH - 1, f"[{many}]")) is None
    assert encode("zarr.json", b'{"before":[%s],"x":%s}' % (many.encode(), nested(MAX_DEPTH))) is None
    assert encode("zarr.json", nested(100_000)) is None  # which the parser could not take


def test_depth_of_metadata_that_is_read_leniently() -> None:
    assert parse_leniently(nested(MAX_DEPTH, "NaN")) is not None
    assert parse_leniently(nested(MAX_DEPTH + 1)) is None
    assert parse_leniently(nested(100_000)) is None


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b"{", b'{"x":"\xff"}', b'"x"', b""])
def test_what_is_no_document(data: bytes) -> None:
    assert encode("zarr.json", data) is None
    assert parse_leniently(data) is None


def test_text_is_as_short_as_it_can_be() -> None:
    data = '{"x":[1,1.5,null,true,"é🎈"],"yy":{}}'.encode()
    document = as_document("zarr.json", data)
    assert document is not None
    assert documents.to_json(document) == data


def test_names_that_appear_twice() -> None:
    assert encode("zarr.json", b'{"x":1,"x":1}') is None
    assert encode("zarr.json", b'{"y":{"x":1,"x":2}}') is None


@pytest.mark.parametrize("more", [0, 1])
def test_size(more: int) -> None:
    head = len(encode("zarr.json", b'{"x":"%s"}' % (b"y" * 70_000)) or b"") - 70_000
    data = b'{"x":"%s"}' % (b"y" * (documents.MAX_LINKED - head + more))
    assert len(encode("zarr.json", data) or b"") == (0 if more else documents.MAX_LINKED)


@pytest.mark.parametrize("odd", [3, None, "x", ["dimension_separator"], {"dimension_separator": "/"}, {"a": "."}])
def test_default_separators_are_dropped_from_arrays_alone(odd: Any) -> None:
    dotted = {"dimension_separator": ".", "shape": [1]}
    assert as_document(".zarray", json.dumps(dotted).encode()) == {"shape": [1]}
    assert as_document(".zattrs", json.dumps(dotted).encode()) == dotted
    given = {"metadata": {".zarray": dotted, "a/.zarray": dotted, "b/.zarray": odd, "c/.zattrs": dotted}, "x": odd}
    found = as_document(".zmetadata", json.dumps(given).encode())
    slim = {".zarray": {"shape": [1]}, "a/.zarray": {"shape": [1]}, "b/.zarray": odd, "c/.zattrs": dotted}
    assert found == {"metadata": slim, "x": odd}
    assert as_document("zarr.json", json.dumps(given).encode()) == given
    assert as_document(".zmetadata", json.dumps({"metadata": odd}).encode()) == {"metadata": odd}


def test_problems_of_decoded_values() -> None:
    good = json.loads(nested(MAX_DEPTH))
    assert find_problem(good) is None
    assert find_problem({"x": [good]}) == "maps and lists nested deeper than 64"
    for place in ({"x": b"link"}, {"x": [1, [b"link"]]}, {"x": {"y": {"z": b"link"}}}):
        assert find_problem(place) == "a link"


def test_lenient_text_has_names_in_the_order_of_dag_cbor() -> None:
    value = {"bb": 1, "a": [{"d": 1, "c": float("nan")}], "": "é", "\ud800": "\udfff"}
    text = to_lenient_json(value)
    assert text == '{"":"é","a":[{"c":NaN,"d":1}],"bb":1,"\\ud800":"\\udfff"}'.encode()
