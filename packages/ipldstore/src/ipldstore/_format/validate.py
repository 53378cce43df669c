"""The bounds of a node (format, section 5), checked once when its block is read.

Nodes are hostile until they are checked here: the rest of the package relies on what this module has
seen. Every problem is a :class:`NodeError`; the caller adds the CID.
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
"""Parts that a directory may be below the root."""

_VALUE_CODECS: Final = frozenset({cids.RAW, cids.DAG_PB})
_CODECS: Final = _VALUE_CODECS | {cids.DAG_CBOR}
_VALUE_PREFIXES: Final = frozenset(prefix for prefix in cids.CIDV1_SHA256_PREFIXES if prefix[1] in _VALUE_CODECS)


def _value_link(name: str, link: Any) -> None:
    if not isinstance(link, bytes) or cids.codec_of(link) not in _VALUE_CODECS:
        raise NodeError(f"expected the link of a value at {name!r}, found {_kind(link)}")


def _kind(value: Any) -> str:
    if isinstance(value, bytes):
        return f"a link with codec 0x{cids.codec_of(value):x}"
    return {dict: "a map", list: "a list", type(None): "null"}.get(type(value), type(value).__name__)


def check_directory(top: Any, *, root: bool) -> int:
    """Check the map of a directory and all that it embeds; returns how many parts deep they go.

    Lists of parts become :class:`IndexNode`, in place.

    :raises NodeError: if a bound of the format is broken
    """
    if not isinstance(top, dict):
        raise NodeError(f"expected a directory, a map; found {_kind(top)}")
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
                raise NodeError(f"expected a link or a directory at {name!r}, found {_kind(item)}")
    return deepest


def _check_name(name: str) -> None:
    problem = "a slash in a name" if "/" in name else keys.part_problem(name)
    if problem is not None:
        raise NodeError(f"expected names that are parts of keys, found {problem}: {name[:200]!r}")


def _check_document_entry(name: str, item: Any) -> None:
    if isinstance(item, dict):
        problem = documents.find_problem(item)
        if problem is not None:
            raise NodeError(f"expected a document at {name!r}, JSON as data; found {problem} in it")
    elif not isinstance(item, bytes) or cids.codec_of(item) not in _CODECS:
        raise NodeError(f"expected a document or a link at {name!r}, found {_kind(item)}")


def _check_reserved(directory: dict[str, Any], name: str, item: Any, *, in_root: bool) -> None:
    if name == keys.VALUE:
        if in_root:
            raise NodeError(f"expected no {keys.VALUE} in the root, found one")
        _value_link(name, item)
    elif name in (keys.CHUNKS, keys.NAMES):
        if isinstance(item, list):
            kind = (chunk_code, keys.is_chunk_key) if name == keys.CHUNKS else (name_code, keys.is_index_name)
            directory[name] = IndexNode(item, *kind)
        elif not isinstance(item, bytes) or not is_directory_link(item):
            raise NodeError(f"expected a list of parts or its link at {name}, found {_kind(item)}")
    else:
        raise NodeError(f"{name!r} was written by a newer version of the format: update this package to read it")


class LeafContent(NamedTuple):
    """What a leaf of an index has."""

    links: dict[str, bytes]
    """Links by key."""
    depth: int
    """Parts that the deepest directory in it is below its top."""


def check_chunk_leaf(top: Any) -> LeafContent:
    """The chunks in a leaf of the chunk index, checked.

    :raises NodeError: if a bound of the format is broken
    """
    if not isinstance(top, dict):
        raise NodeError(f"expected a leaf of chunks, a map; found {_kind(top)}")
    return _check_leaf_at_once(top) or _check_leaf_by_key(top)


def _check_leaf_at_once(top: dict[str, Any]) -> LeafContent | None:
    """The chunks in a leaf where all is as it nearly always is, looked at all at once; None if anything is not.

    That says nothing of what it is: :func:`_check_leaf_by_key` looks at one thing after the other.
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
    # Each key has a slash for each map that it is below, so where there are no more of them no name has one.
    return LeafContent(links, depth) if keys.are_chunk_keys(links, slashes) else None


def _check_leaf_by_key(top: dict[str, Any]) -> LeafContent:
    """The chunks in a leaf, looked at one by one."""
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
                if not keys.is_index_name(name):  # an empty map has no key to be checked by
                    raise NodeError(f"expected only chunk keys in a leaf, found the directory {key[:200]!r}")
                stack.append((key + "/", iter(item.items())))
                break
            _value_link(name, item)
            if "/" in name or not keys.is_chunk_key(key):
                raise NodeError(f"expected only chunk keys in a leaf, found {key[:200]!r}")
            links[key] = item
        else:
            stack.pop()
    return LeafContent(links, deepest)


def check_name_leaf(top: Any) -> LeafContent:
    """The entries in a leaf of the name index, checked.

    :raises NodeError: if a bound of the format is broken
    """
    if not isinstance(top, dict):
        raise NodeError(f"expected a leaf of names, a map; found {_kind(top)}")
    for name, item in top.items():
        _check_name(name)
        if name in keys.DOCUMENTS:
            raise NodeError(f"expected no document in a leaf of names, found {name!r}")
        if not isinstance(item, bytes) or cids.codec_of(item) not in _CODECS:
            raise NodeError(f"expected a link at {name!r} in a leaf of names, found {_kind(item)}")
    return LeafContent(top, 0)
