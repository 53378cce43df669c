"""A commit, or the state of a repository, is told from the root of a dataset by one field, and named in the error."""

from __future__ import annotations

from typing import Any

import pytest
from ipld_car import cids, dagcbor, hashes
from ipld_castore import MappingCAStore
from ipldstore._format import nodes
from ipldstore._format.nodes import (
    COMMIT_FIELD,
    STATE_FIELD,
    HistoryNodeError,
    NodeStore,
    decode_directory,
    decode_root,
)
from ipldstore._read.reader import DirectReader
from ipldstore.errors import NodeError

LINK = cids.make(cids.RAW, hashes.sha2_256(b"v"))
COMMIT = {COMMIT_FIELD: 1, "data": LINK}
NEITHER: list[Any] = [
    {"a": LINK},
    {"a": {COMMIT_FIELD: LINK}},
    {"a": COMMIT_FIELD},
    {f"{COMMIT_FIELD}x": LINK},
    [COMMIT_FIELD],
]


def cid_of(block: bytes) -> bytes:
    return cids.make(cids.DAG_CBOR, hashes.sha2_256(block))


def state(more: bytes = b"") -> bytes:
    """Return a block that ends as states do: its last field is the longest, with one byte as value."""
    return dagcbor.encode({"a": LINK})[:-1] + more + dagcbor.encode(STATE_FIELD) + b"\x01"


def test_fields() -> None:
    assert nodes.history_field(dagcbor.encode_node(COMMIT)) == COMMIT_FIELD
    assert nodes.history_field(state()) == STATE_FIELD
    for node in NEITHER:
        assert nodes.history_field(dagcbor.encode_node(node)) is None
    for block in (b"", b"\x01", dagcbor.encode(STATE_FIELD), state() + b"\x01", state()[:-1]):
        assert nodes.history_field(block) is None
    assert nodes.history_field(b"\xff" + dagcbor.encode(COMMIT_FIELD)) is None, "this is not DAG-CBOR"


@pytest.mark.parametrize("more", [0, 1])
def test_a_commit_is_no_larger_than_a_node(more: int) -> None:
    """What is larger is not decoded to find out."""
    size = len(dagcbor.encode_node({**COMMIT, "m": "y" * 70_000})) - 70_000
    block = dagcbor.encode_node({**COMMIT, "m": "y" * (nodes.MAX_NODE_BYTES - size + more)})
    assert len(block) == nodes.MAX_NODE_BYTES + more
    assert nodes.history_field(block) == (None if more else COMMIT_FIELD)


@pytest.mark.parametrize(
    ("block", "kind"), [(dagcbor.encode_node(COMMIT), "a commit"), (state(), "the state of a repository")]
)
def test_they_are_named_where_a_root_is_expected(block: bytes, kind: str) -> None:
    castore = MappingCAStore()
    store = NodeStore(castore, DirectReader(castore))
    cid = cid_of(block)
    castore.put_block(cids.from_validated(cid), block)
    with pytest.raises(
        HistoryNodeError, match=f"{cids.to_text(cid)}: expected the root of a dataset, found {kind}$"
    ) as found:
        store.load(cid, decode_root)
    assert (found.value.cid, found.value.block, found.value.is_state) == (cid, block, kind != "a commit")
    with pytest.raises(NodeError) as other:
        store.load(cid, decode_directory)
    assert not isinstance(other.value, HistoryNodeError)
