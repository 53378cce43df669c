"""Values against the library ``dag-cbor``, and against the vectors of others."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import dag_cbor
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import cids, dagcbor, hashes
from ipld_castore import BlockMalformedError, MappingCAStore
from multiformats import CID

pytestmark = pytest.mark.smoke

LINKS = st.binary(max_size=8).map(lambda data: cids.from_bytes(cids.make(cids.RAW, hashes.digest_of(0x12, data))))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.binary(),
    LINKS,
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)


def same(a: Any, b: Any) -> bool:
    """Return whether values are equal, where 1 differs from 1.0 and True, and 0.0 from -0.0."""
    if isinstance(a, dict):
        return type(b) is dict and list(map(str, a)) == list(map(str, b)) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return type(b) is list and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, CID):
        return isinstance(b, CID) and bytes(a) == bytes(b)
    if isinstance(a, float):
        return type(b) is float and a == b and math.copysign(1, a) == math.copysign(1, b)
    return type(a) is type(b) and a == b


@given(VALUES.filter(lambda value: not isinstance(value, bytes)))
def test_a_value_is_what_dag_cbor_makes_of_it(value: Any) -> None:
    """A value gives the block of the library, and comes back equal, with the sign of zero and the order of keys."""
    store = MappingCAStore()
    cid = store.put(value)
    assert store.get_raw(cid) == dag_cbor.encode(value)
    assert same(store.get(cid), dag_cbor.decode(dag_cbor.encode(value)))


@given(st.one_of(st.binary(max_size=40), VALUES.map(dag_cbor.encode)), st.data())
def test_a_block_is_refused_if_dag_cbor_refuses_it(block: bytes, data: st.DataObject) -> None:
    """Noise, and values with a changed byte, are refused where the library refuses them."""
    if block:
        at = data.draw(st.integers(0, len(block) - 1))
        block = block[:at] + bytes([data.draw(st.integers(0, 255))]) + block[at + 1 :]
    store = MappingCAStore()
    cid = store.put_raw(block, "dag-cbor")
    try:
        expected = dag_cbor.decode(block)
    except Exception:  # noqa: BLE001  # whatever it says to this
        with pytest.raises(BlockMalformedError):
            store.get(cid)
        return
    try:
        assert same(store.get(cid), expected)
    except BlockMalformedError:
        # Stricter in one point: links are parsed to their last byte.
        assert b"\xd8\x2a" in block


def test_vectors_of_others(archives: Path) -> None:
    """The vectors of DASL: valid blocks are read and written again unchanged, invalid blocks are refused."""
    counts = {"roundtrip": 0, "invalid_in": 0}
    for file in sorted((archives / "dasl-testing").glob("*.json")):
        for vector in json.loads(file.read_text()):
            if vector["type"] not in counts or not {"basic", "dag-cbor"} & set(vector["tags"]):
                continue  # of other dialects, or not about reading
            if vector["name"] == "negative zero float64":
                continue  # the specification of DAG-CBOR allows it, and so does the library
            counts[vector["type"]] += 1
            block = bytes.fromhex(vector["data"])
            store = MappingCAStore()
            cid = store.put_raw(block, "dag-cbor")
            if vector["type"] == "roundtrip":
                assert dagcbor.encode(store.get(cid)) == block, vector
            else:
                with pytest.raises(BlockMalformedError):
                    store.get(cid)
    assert min(counts.values()) > 10
