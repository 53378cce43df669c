"""DAG-CBOR: depth and declared sizes are bounded; values without a DAG-CBOR form are refused."""

import math
import tracemalloc
from typing import Any

import pytest
from ipld_car import CarError, LimitError, dagcbor

from ..support.car_samples import cid

LINK = b"\xd8\x2a\x58\x25\x00" + cid(b"hello")


@pytest.mark.parametrize("head", [0x5B, 0x7B, 0x9B, 0xBB])
@pytest.mark.parametrize("count", [1 << 20, 1 << 31, 1 << 40, 1 << 60, (1 << 64) - 1])
def test_declared_sizes_allocate_nothing(head: int, count: int) -> None:
    for data in (bytes([head]) + count.to_bytes(8), b"\x82" + LINK + bytes([head]) + count.to_bytes(8) + bytes(50)):
        for function in (dagcbor.decode, dagcbor.decode_node, dagcbor.links, dagcbor.scan):
            tracemalloc.start()
            with pytest.raises(CarError):
                function(data)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 200_000


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x61a"])
def test_depth_is_bounded(opening: bytes) -> None:
    deepest = opening * 255 + b"\x80"
    for function in (dagcbor.decode, dagcbor.decode_node):
        function(deepest)
        assert function(opening * 3 + b"\x80", max_depth=4)
        for depth in (256, 257, 900, 2000, 100_000, 1_000_000):
            with pytest.raises(LimitError, match="nested at most 256 deep"):
                function(opening * depth + b"\x80")
        with pytest.raises(LimitError, match="nested at most 3 deep"):
            function(opening * 3 + b"\x80", max_depth=3)


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x61a"])
def test_links_are_found_deeper(opening: bytes) -> None:
    """Links are listed to a greater depth than values are decoded to, without recursion."""
    for depth in (255, 900, 1024):
        assert dagcbor.links(opening * depth + LINK) == [cid(b"hello")]
    for depth in (1025, 5000, 1_000_000):
        with pytest.raises(LimitError, match="nested at most 1024 deep"):
            dagcbor.links(opening * depth + LINK)
    assert dagcbor.links(opening * 5000 + LINK, max_depth=5000) == [cid(b"hello")]


def test_values_nested_too_deep_to_encode() -> None:
    value: Any = 0
    for _ in range(100_000):
        value = [value]
    for function in (dagcbor.encode, dagcbor.encode_node):
        with pytest.raises(LimitError):
            function(value)


def test_listing_the_links_of_a_large_block_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions of empty lists would take fifty times their encoding. The block of this test is smaller, for time."""
    monkeypatch.setattr(dagcbor, "_MAX_DECODED", 1 << 16)
    count = 1 << 17
    block = b"\x9a" + count.to_bytes(4) + b"\x80" * count
    tracemalloc.start()
    assert dagcbor.links(block) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(block)


# -- what has no form ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, 1 << 64, -(1 << 64) - 1, 1 << 200, {1: 2}, {None: 1}, {"a"}, range(1), 1j, (1,)],
    ids=str,
)
def test_values_without_a_form(value: Any) -> None:
    for wrapped in (value, [value], {"a": value}):
        with pytest.raises(ValueError, match="expected a value that DAG-CBOR can hold"):
            dagcbor.encode(wrapped)
        with pytest.raises(ValueError, match="expected a value that DAG-CBOR can hold"):
            dagcbor.encode_node(wrapped)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_lone_surrogates_have_no_form(text: str) -> None:
    for value in (text, [text], {text: 1}):
        for function in (dagcbor.encode, dagcbor.encode_node):
            with pytest.raises(ValueError, match="DAG-CBOR"):
                function(value)


@pytest.mark.parametrize(
    "leaf",
    [b"", b"text", cid(b"hello")[:-1], cid(b"hello") + b"\x00", b"\x12\x20", cid(bytes(65), "raw", "identity")],
    ids=["nothing", "text", "short", "long", "start", "long digest"],
)
def test_nodes_hold_no_bytes_but_links(leaf: bytes) -> None:
    """libipld writes them as byte strings without an error: a link would be lost."""
    for node in (leaf, [leaf], {"a": {"b": [cid(b"hello"), leaf]}}):
        with pytest.raises(ValueError, match="expected a link"):
            dagcbor.encode_node(node)
