"""The bounds of a node (format, section 5), checked once when its block is decoded.

A node is hostile until it is checked here, and the rest of the package relies on the bounds. What breaks one is a
:class:`NodeError`, to which the caller adds the CID.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ipld_car import cids

from ipldstore.errors import NodeError

from . import documents, keys
from .index_node import IndexNode
from .links import is_directory_link
from .zorder import chunk_code, name_code

MAX_BELOW_ROOT: Final = 63
"""Most parts of a key from the root to a directory."""

_VALUE_CODECS: Final = frozenset({cids.RAW, cids.DAG_PB})
_CODECS: Final = _VALUE_CODECS | {cids.DAG_CBOR}
_VALUE_PREFIXES: Final = frozenset(prefix for prefix in cids.CIDV1_SHA256_PREFIXES if prefix[1] in _VALUE_CODECS)


def _check_value_link(name: str, link: Any) -> None:
    if not isinstance(link, bytes) or cids.codec_of(link) not in _VALUE_CODECS:
        raise NodeError(f"expected the link of a value at {name!r}, found {_describe(link)}")


def _describe(value: Any) -> str:
    if isinstance(value, bytes):
        return f"a link with codec 0x{cids.codec_of(value):x}"
    return {dict: "a map", list: "a list", type(None): "null"}.get(type(value), type(value).__name__)


def check_directory(top: Any, *, root: bool) -> int:
    """Check the map of a directory and all that it embeds; return the depth of the deepest directory in it, in parts.

    Embedded index nodes are replaced by :class:`IndexNode`, in place.

    :raises NodeError: if a bound of the format is broken
    """
    if not isinstance(top, dict):
        raise NodeError(f"expected a directory, a map; found {_describe(top)}")
    deepest = 0
    todo = [(top, 0)]
    while todo:
        directory, depth = todo.pop()
        deepest = max(deepest, depth)
        for name, item in directory.items():
            if name in keys.DOCUMENTS:
                _check_document_entry(name, item)
            elif name.startswith(keys.RESERVED):
                _check_reserved(directory, name, item, in_root=root and depth == 0)
            elif isinstance(item, dict):
                _check_name(name)
                todo.append((item, depth + 1))
            elif isinstance(item, bytes) and cids.codec_of(item) in _CODECS:
                _check_name(name)
            else:
                raise NodeError(f"expected a link or a directory at {name!r}, found {_describe(item)}")
    return deepest


def _check_name(name: str) -> None:
    problem = "a slash in a name" if "/" in name else keys.part_problem(name)
    if problem is not None:
        raise NodeError(f"expected a name that is a part of a key, found {problem}: {name[:200]!r}")


def _check_document_entry(name: str, item: Any) -> None:
    if isinstance(item, dict):
        problem = documents.find_problem(item)
        if problem is not None:
            raise NodeError(f"expected a document at {name!r}, JSON as data; found {problem} in it")
    elif not isinstance(item, bytes) or cids.codec_of(item) not in _CODECS:
        raise NodeError(f"expected a document or a link at {name!r}, found {_describe(item)}")


def _check_reserved(directory: dict[str, Any], name: str, item: Any, *, in_root: bool) -> None:
    if name == keys.VALUE:
        if in_root:
            raise NodeError(f"expected no {keys.VALUE} in the root directory, found one")
        _check_value_link(name, item)
    elif name in (keys.CHUNKS, keys.NAMES):
        if isinstance(item, list):
            kind = (chunk_code, keys.is_chunk_key) if name == keys.CHUNKS else (name_code, keys.is_index_name)
            directory[name] = IndexNode(item, *kind)
        elif not isinstance(item, bytes) or not is_directory_link(item):
            raise NodeError(f"expected an index node or its link at {name}, found {_describe(item)}")
    else:
        raise NodeError(f"{name!r} was written by a newer version of the format: update this package to read it")


class LeafContent(NamedTuple):
    """The checked content of a leaf of an index."""

    links: dict[str, bytes]
    """Links by key."""
    depth: int
    """Parts of a key from the top of the leaf to its deepest directory."""


def check_chunk_leaf(top: Any) -> LeafContent:
    """Check a leaf of a chunk index; return its chunks.

    :raises NodeError: if a bound of the format is broken
    """
    if not isinstance(top, dict):
        raise NodeError(f"expected a leaf of chunks, a map; found {_describe(top)}")
    return _check_leaf_at_once(top) or _check_leaf_by_key(top)


def _check_leaf_at_once(top: dict[str, Any]) -> LeafContent | None:
    """Check all keys of a leaf at once, which is much faster than one by one.

    None means that something is not as it nearly always is; :func:`_check_leaf_by_key` tells whether it is allowed.
    """
    links: dict[str, Any] = {}
    slashes = depth = 0
    level = [("", top)]
    while True:
        below = []
        before = len(links)
        for prefix, directory in level:
            if not directory:
                return None
            for name, item in directory.items():
                if type(item) is dict:
                    below.append((f"{prefix}{name}/", item))
                else:
                    links[prefix + name] = item
        slashes += depth * (len(links) - before)
        if not below:
            break
        level, depth = below, depth + 1
    found = links.values()
    are_cidv1_sha256 = set(map(type, found)) == {bytes} and set(map(len, found)) == {cids.CIDV1_SHA256_SIZE}
    if not are_cidv1_sha256 or not {link[:4] for link in found} <= _VALUE_PREFIXES:
        return None
    # Each key has one slash for each map above it. If all keys together have no more, no name has a slash in it.
    return LeafContent(links, depth) if keys.are_chunk_keys(links, slashes) else None


def _check_leaf_by_key(top: dict[str, Any]) -> LeafContent:
    """Check the keys of a leaf one by one."""
    if keys.VALUE in top:
        raise NodeError(f"expected no {keys.VALUE} at the top of a leaf, found one")
    links: dict[str, bytes] = {}
    deepest = 0
    stack = [("", iter(top.items()))]
    while stack:
        prefix, items = stack[-1]
        deepest = max(deepest, len(stack) - 1)
        for name, item in items:
            key = prefix[:-1] if name == keys.VALUE else prefix + name
            if isinstance(item, dict) and name != keys.VALUE:
                if not keys.is_index_name(name):  # an empty map has no chunk key below it whose form would be checked
                    raise NodeError(f"expected only chunk keys in a leaf, found the directory {key[:200]!r}")
                stack.append((key + "/", iter(item.items())))
                break
            _check_value_link(name, item)
            if "/" in name or not keys.is_chunk_key(key):
                raise NodeError(f"expected only chunk keys in a leaf, found {key[:200]!r}")
            links[key] = item
        else:
            stack.pop()
    return LeafContent(links, deepest)


def check_name_leaf(top: Any) -> LeafContent:
    """Check a leaf of a name index; return its entries.

    :raises NodeError: if a bound of the format is broken
    """
    if not isinstance(top, dict):
        raise NodeError(f"expected a leaf of names, a map; found {_describe(top)}")
    for name, item in top.items():
        _check_name(name)
        if name in keys.DOCUMENTS:
            raise NodeError(f"expected no document in a leaf of names, found {name!r}")
        if not isinstance(item, bytes) or cids.codec_of(item) not in _CODECS:
            raise NodeError(f"expected a link at {name!r} in a leaf of names, found {_describe(item)}")
    return LeafContent(top, 0)
