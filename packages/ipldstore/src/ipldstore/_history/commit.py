"""Commits as blocks (history.md, section 1)."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from ipld_car import dagcbor

from ipldstore._format import documents
from ipldstore._format.nodes import COMMIT_FIELD
from ipldstore.errors import NodeError

from . import jumps
from .fields import FieldReader, check_text, decode_block, is_node_link, surrogate_in

VERSION_FIELD: Final = COMMIT_FIELD
VERSION: Final = 1
REWRITTEN_FROM: Final = "__ipld_was__"
"""Name in ``meta``: text of the CID of the commit that this one was rewritten from."""

MAX_BLOCK_BYTES: Final = 256 << 10
MAX_PARENTS: Final = 16
MAX_AUTHOR_BYTES: Final = 1024
MAX_MESSAGE_BYTES: Final = 65_536
MAX_META_BYTES: Final = 32_768
MAX_TIME: Final = (1 << 53) - 1
"""The latest time, in microseconds since 1970-01-01T00:00:00 UTC."""


class CommitNode(NamedTuple):
    """The fields of a commit; CIDs are binary, ``time`` is in microseconds since 1970 in UTC."""

    data: bytes
    """The root of the dataset."""
    parents: tuple[bytes, ...]
    height: int
    jump: bytes | None
    time: int
    author: str
    message: str
    meta: dict[str, Any]


def encode_commit(commit: CommitNode) -> bytes:
    """Return the block of a commit.

    :raises ValueError: if a field breaks a bound of the format
    :raises TypeError: if author or message is no str
    """
    problem = _unlike_json(commit.meta)
    if problem is not None:
        raise ValueError(f"cannot write the commit: expected 'meta' of JSON kinds, found {problem}")
    check_text("author", commit.author, MAX_AUTHOR_BYTES)
    check_text("message", commit.message, MAX_MESSAGE_BYTES)
    node: dict[str, Any] = {
        VERSION_FIELD: VERSION,
        "data": commit.data,
        "parents": list(commit.parents),
        "height": commit.height,
        "time": commit.time,
        "author": commit.author,
        "message": commit.message,
    }
    if commit.jump is not None:
        node["jump"] = commit.jump
    if commit.meta:
        node["meta"] = commit.meta
    try:
        block = dagcbor.encode_node(node)
        decode_commit(block)
    except NodeError as error:
        raise ValueError(f"cannot write the commit: {error}") from None
    return block


def _unlike_json(meta: dict[str, Any]) -> str | None:
    """Return what a value has that ``meta`` may not have, and where; None if it is all of the kinds that JSON has."""
    stack: list[tuple[Any, tuple[object, ...]]] = [(meta, ())]
    while stack:
        item, path = stack.pop()
        if isinstance(item, (dict, list)):
            if len(path) >= documents.MAX_DEPTH:  # so a value that holds itself ends too
                return f"maps and lists nested deeper than {documents.MAX_DEPTH}"
            for name, value in item.items() if isinstance(item, dict) else enumerate(item):
                if isinstance(item, dict) and not isinstance(name, str):
                    return f"the name {name!r:.100}, which is no str, at {_place(path)}"
                if isinstance(name, str) and surrogate_in(name) is not None:
                    return f"a lone surrogate in the name {name!r:.100} at {_place(path)}"
                stack.append((value, (*path, name)))
        elif item is not None and type(item) not in (bool, int, float, str):
            return f"{type(item).__name__} at {_place(path)}"
        elif isinstance(item, str) and surrogate_in(item) is not None:
            return f"a lone surrogate at {_place(path)}"
        elif isinstance(item, float) and (not math.isfinite(item) or (item == 0 and math.copysign(1, item) < 0)):
            return f"the number {item} at {_place(path)}"
        elif isinstance(item, int) and not -(1 << 64) <= item < 1 << 64:
            return f"an integer of more than 64 bits at {_place(path)}"
    return None


def _place(path: tuple[object, ...]) -> str:
    return "meta" + "".join(f"[{part!r:.100}]" for part in path)


def decode_commit(block: bytes) -> CommitNode:
    """Return the fields of a commit.

    :param block: the verified bytes of its block
    :raises NodeError: if the block breaks a bound of the format
    """
    node = decode_block("commit", block, dagcbor.decode_node, MAX_BLOCK_BYTES)
    fields = FieldReader("commit", node, VERSION_FIELD, VERSION)
    commit = CommitNode(
        data=fields.link("data"),
        parents=_parents(fields),
        height=fields.integer("height", MAX_TIME),
        jump=fields.link("jump") if "jump" in node else None,
        time=fields.integer("time", MAX_TIME),
        author=fields.text("author", MAX_AUTHOR_BYTES),
        message=fields.text("message", MAX_MESSAGE_BYTES),
        meta=_meta(fields),
    )
    fields.refuse_others()
    _check_place(commit)
    return commit


def _parents(fields: FieldReader) -> tuple[bytes, ...]:
    found = fields.value("parents", list)
    if len(found) > MAX_PARENTS:
        raise NodeError(f"expected at most {MAX_PARENTS} parents, found {len(found)}")
    if not all(is_node_link(link) for link in found):
        raise NodeError("expected 'parents' to be links with codec dag-cbor and hash sha2-256")
    if len(set(found)) != len(found):
        raise NodeError("expected each parent once, found one twice")
    return tuple(found)


def _meta(fields: FieldReader) -> dict[str, Any]:
    if not fields.has("meta"):
        return {}
    meta: dict[str, Any] = fields.value("meta", dict)
    if not meta:
        raise NodeError("expected an empty 'meta' to be absent, found an empty map")
    found = _unlike_json(meta)
    if found is not None:
        raise NodeError(f"expected 'meta' of JSON kinds, found {found}")
    size = len(dagcbor.encode_node(meta))
    if size > MAX_META_BYTES:
        raise NodeError(f"expected 'meta' of at most {MAX_META_BYTES} bytes, found {size}")
    return meta


def _check_place(commit: CommitNode) -> None:
    """Hold height, parents and jump against each other (history.md, sections 1 and 2)."""
    if (commit.height == 0) != (not commit.parents):
        raise NodeError(f"expected height 0 exactly where there are no parents, found {commit.height}")
    if (commit.jump is not None) != jumps.has_jump(commit.height):
        found = "one" if commit.jump is not None else "none"
        raise NodeError(f"expected a jump exactly where the format has one; found {found} at height {commit.height}")
