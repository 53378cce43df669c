"""States of a repository as blocks: all names at one time (history.md, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ipld_car import CarError, cids, dagcbor

from ipldstore._format.nodes import STATE_FIELD
from ipldstore.errors import NodeError

from .commit import MAX_AUTHOR_BYTES, MAX_TIME
from .fields import CID_BYTES, FieldReader, decode_block, is_node_link
from .names import name_problem

VERSION_FIELD: Final = STATE_FIELD
VERSION: Final = 1

MAX_BLOCK_BYTES: Final = 16 << 10
MAX_EMBEDDED_NAMES: Final = 4096
"""Largest size in bytes of a map of names that stands in the state; a larger one is a block of its own."""
MAX_NAMES_BLOCK: Final = 1 << 20
MAX_OPERATION_BYTES: Final = 1024

Names = dict[str, bytes]
"""Name to binary CID of a commit."""


class StateNode(NamedTuple):
    """The fields of a state; CIDs are binary, ``time`` is in microseconds since 1970 in UTC."""

    branches: Names
    tags: Names
    default: str
    previous: bytes | None
    """The state before; None in the first. It is no link: a copy of a repository does not have it."""
    operation: str
    time: int
    author: str


def encode_state(state: StateNode, put: Callable[[bytes], bytes]) -> bytes:
    """Return the block of a state.

    :param put: stores the block of a map of names that is too large for the state, and returns its binary CID
    :raises ValueError: if a field breaks a bound of the format
    """
    try:
        _check_names(state)
        node: dict[str, Any] = {
            VERSION_FIELD: VERSION,
            "branches": _place_names("branches", state.branches, put),
            "tags": _place_names("tags", state.tags, put),
            "default": state.default,
            "operation": state.operation,
            "time": state.time,
            "author": state.author,
        }
        block = _encode_fields(node, state.previous)
        _decode_fields(block)
    except NodeError as error:
        raise ValueError(f"cannot write the state: {error}") from None
    return block


def _place_names(field: str, names: Names, put: Callable[[bytes], bytes]) -> Any:
    block = dagcbor.encode_node(names)
    if len(block) <= MAX_EMBEDDED_NAMES:
        return names
    if len(block) > MAX_NAMES_BLOCK:
        raise NodeError(
            f"expected {field!r} of at most {MAX_NAMES_BLOCK} bytes, found {len(block)} with {len(names)} names: "
            f"delete some"
        )
    return put(block)


def decode_state(block: bytes, get: Callable[[bytes], bytes]) -> StateNode:
    """Return the fields of a state.

    :param block: the verified bytes of its block
    :param get: gives the verified block of a map of names that does not stand in the state, by its binary CID
    :raises NodeError: if a block breaks a bound of the format
    """
    fields = _decode_fields(block)
    state = StateNode(
        _resolve_names("branches", fields.branches, get),
        _resolve_names("tags", fields.tags, get),
        *fields[2:],
    )
    _check_names(state)
    return state


class _Fields(NamedTuple):
    """A state whose names may be in blocks of their own."""

    branches: Names | bytes
    tags: Names | bytes
    default: str
    previous: bytes | None
    operation: str
    time: int
    author: str


def _decode_fields(block: bytes) -> _Fields:
    node, previous = decode_block("state", block, _split_previous, MAX_BLOCK_BYTES)
    fields = FieldReader("state", node, VERSION_FIELD, VERSION)
    state = _Fields(
        branches=_names_field(fields, "branches"),
        tags=_names_field(fields, "tags"),
        default=fields.value("default", str),
        previous=previous,
        operation=fields.text("operation", MAX_OPERATION_BYTES),
        time=fields.integer("time", MAX_TIME),
        author=fields.text("author", MAX_AUTHOR_BYTES),
    )
    fields.refuse_others()
    if any(character < " " or character == "\x7f" for character in state.operation):
        raise NodeError("expected 'operation' without control characters, found one")
    return state


def _names_field(fields: FieldReader, field: str) -> Names | bytes:
    found: object = fields.any_value(field)
    if isinstance(found, bytes):
        if not is_node_link(found):
            raise NodeError(f"expected {field!r} to link a block with codec dag-cbor and hash sha2-256")
        return found
    if not isinstance(found, dict):
        raise NodeError(f"expected {field!r} to be a map or a link, found {type(found).__name__}")
    _check_links(field, found)
    size = len(dagcbor.encode_node(found))
    if size > MAX_EMBEDDED_NAMES:
        raise NodeError(f"expected {field!r} of {size} bytes to be a block of its own, found it embedded")
    return found


_PREVIOUS: Final = "previous"
_PREVIOUS_HEAD: Final = dagcbor.encode(_PREVIOUS) + bytes((0x58, CID_BYTES))
"""What comes before the bytes of the CID of the state before: the name of the field, and the head of a byte string."""
_MAX_FIELDS: Final = 23
"""Entries of a map whose head is one byte."""


def _encode_fields(node: Mapping[str, Any], previous: bytes | None) -> bytes:
    """Return the block of a map without byte strings, and beside them one, ``previous``.

    The codec for nodes, whose links are bytes, has no byte strings.
    """
    entries = {name: dagcbor.encode_node(name) + dagcbor.encode_node(value) for name, value in node.items()}
    if previous is not None:
        entries[_PREVIOUS] = _PREVIOUS_HEAD + previous
    in_order = (entries[name] for name in sorted(entries, key=lambda name: (len(name.encode()), name.encode())))
    return bytes((0xA0 + len(entries),)) + b"".join(in_order)


def _split_previous(block: bytes) -> tuple[Any, bytes | None]:
    """Return the other fields of a state, and the CID of the state before; None if there is none.

    :raises CarError: if the block is not strict DAG-CBOR
    """
    at = block.find(_PREVIOUS_HEAD)
    while at >= 0:
        end = at + len(_PREVIOUS_HEAD) + CID_BYTES
        previous = block[at + len(_PREVIOUS_HEAD) : end]
        rest = bytes((block[0] - 1,)) + block[1:at] + block[end:] if 0xA0 < block[0] <= 0xA0 + _MAX_FIELDS else block
        try:
            node = dagcbor.decode_node(rest)
        except CarError:
            node = None
        if isinstance(node, dict) and is_node_link(previous) and _encode_fields(node, previous) == block:
            return node, previous
        at = block.find(_PREVIOUS_HEAD, at + 1)  # this one was in a text
    node = dagcbor.decode_node(block)
    if isinstance(node, dict) and _PREVIOUS in node:
        raise NodeError(
            f"expected {_PREVIOUS!r} to be the {CID_BYTES} bytes of the CID of a state, found something else"
        )
    return node, None


def _resolve_names(field: str, names: Names | bytes, get: Callable[[bytes], bytes]) -> Names:
    if isinstance(names, dict):
        return names
    block = get(names)
    where = f"block {cids.to_text(names)} of {field!r}"
    if not MAX_EMBEDDED_NAMES < len(block) <= MAX_NAMES_BLOCK:
        raise NodeError(f"{where}: expected {MAX_EMBEDDED_NAMES + 1} to {MAX_NAMES_BLOCK} bytes, found {len(block)}")
    try:
        found = dagcbor.decode_node(block)
    except CarError as error:
        raise NodeError(f"{where}: {error}") from error
    if not isinstance(found, dict):
        raise NodeError(f"{where}: expected a map of names")
    _check_links(field, found)
    return found


def _check_links(field: str, names: Mapping[str, object]) -> None:
    for name, link in names.items():
        if not is_node_link(link):
            raise NodeError(f"expected {name[:100]!r} in {field!r} to link a commit, a dag-cbor block with sha2-256")


def _check_names(state: StateNode) -> None:
    for name in (*state.branches, *state.tags):
        problem = name_problem(name)
        if problem is not None:
            raise NodeError(f"expected names of branches and tags, found {problem} in {name[:100]!r}")
    both = state.branches.keys() & state.tags.keys()
    if both:
        raise NodeError(f"expected a name to be a branch or a tag, found {min(both)!r} as both")
    if state.default not in state.branches:
        raise NodeError(f"expected the default {state.default[:100]!r} to be a branch, found none of that name")
