"""The object of a session is read as what anybody may have written: anything but a state is an error of its own."""

from __future__ import annotations

from typing import Any

import pytest
from ipld_car import dagcbor
from ipldstore import NodeError
from ipldstore._tree.tree import EMPTY_ROOT
from ipldstore._writers.session_state import SessionState, decode_state, encode_state

STATE = SessionState(EMPTY_ROOT, {"w": 3}, "owner", False, None, True, False)


def test_a_state_comes_back() -> None:
    assert decode_state(encode_state(STATE)) == STATE


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 99},
        {"root": "text"},
        {"root": b"\x01\x55\x12\x20" + bytes(32)},
        {"positions": []},
        {"positions": {"w": -1}},
        {"positions": {"w": True}},
        {"owner": 1},
        {"ended": 0},
        {"head": "text"},
        {"moves_head": None},
        {"done": 1},
        {"head_name": 1},
    ],
)
def test_a_field_of_another_kind_is_refused(wrong: dict[str, Any]) -> None:
    fields = {**dagcbor.decode_node(encode_state(STATE)), **wrong}
    with pytest.raises(NodeError, match="expected the state of a session"):
        decode_state(dagcbor.encode_node(fields))


@pytest.mark.parametrize("data", [b"", b"\xff", dagcbor.encode([1]), bytes(100 << 20)], ids=["", "ff", "list", "long"])
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    with pytest.raises(NodeError, match="expected the state of a session"):
        decode_state(data)
