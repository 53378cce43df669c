"""Zarr metadata as IPLD data, and back to JSON (format, section 2)."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from ipld_car import dagcbor

from . import keys

MAX_EMBEDDED: Final = 32_768
"""Largest size in bytes of a document that stands in its directory."""
MAX_LINKED: Final = 1 << 20
"""Largest size in bytes of a document that is a block; a larger one is kept as its exact bytes."""
MAX_DEPTH: Final = 64

_INTEGERS: Final = range(-(2**64), 2**64)
_INTEGER_DIGITS: Final = 21
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS: Final = re.compile(r"[\[\]{}]")

Document = dict[str, Any]


class _LossyError(ValueError):
    """As data, something of the text would be lost."""


def _pairs(pairs: list[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _LossyError("a name stands twice")
    return found


def _constant(text: str) -> Any:
    raise _LossyError(f"{text} is no JSON")


def _integer(text: str) -> int:
    if text == "-0" or len(text) > _INTEGER_DIGITS or int(text) not in _INTEGERS:
        raise _LossyError("DAG-CBOR has no such integer")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number) or (number == 0 and text.startswith("-")):
        raise _LossyError("DAG-CBOR has no infinity, and documents no negative zero")
    return number


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer, parse_float=_float
)


def _too_deep(text: str) -> bool:
    """Whether brackets are nested deeper than documents may be; decided before the parser recurses."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = deepest = 0
    for match in _BRACKETS.finditer(_STRING.sub("", text)):
        depth += 1 if match[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def _parse(data: bytes) -> Document:
    text = data.decode("utf-8")
    if _too_deep(text):
        raise _LossyError(f"nested deeper than {MAX_DEPTH}")
    value = _DECODER.decode(text)
    if not isinstance(value, dict):
        raise _LossyError("no object at the top")
    return value


def _drop_default_separator(array: Any) -> Any:
    """A ``.zarray`` without the separator that is the default: zarr-python 2 did not write it."""
    if isinstance(array, dict) and array.get("dimension_separator") == ".":
        return {name: item for name, item in array.items() if name != "dimension_separator"}
    return array


def _without_default_separators(name: str, document: Document) -> Document:
    if name == keys.ZARRAY:
        return _drop_default_separator(document)  # type: ignore[no-any-return]  # a document is a map
    metadata = document.get("metadata") if name == keys.ZMETADATA else None
    if not isinstance(metadata, dict):
        return document
    slim = {
        key: _drop_default_separator(item) if key.rpartition("/")[2] == keys.ZARRAY else item
        for key, item in metadata.items()
    }
    return {**document, "metadata": slim}


def encode(name: str, data: bytes) -> bytes | None:
    """The DAG-CBOR block of a document's JSON text; None if it is to be kept as its exact bytes.

    :param name: the last part of the key, one of :data:`~ipldstore._format.keys.DOCUMENTS`
    """
    try:
        block = dagcbor.encode_node(_without_default_separators(name, _parse(data)))
    except ValueError:  # not JSON, not UTF-8, or something would be lost: not an error, but a value
        return None
    return block if len(block) <= MAX_LINKED else None


def to_json(document: Document) -> bytes:
    """The JSON text of a document, names in DAG-CBOR's order, which decoding has put them in."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def find_problem(value: Any) -> str | None:
    """What keeps a decoded map from being a document; None if nothing does."""
    stack = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if isinstance(item, (dict, list)):
            if depth > MAX_DEPTH:
                return f"maps and lists nested deeper than {MAX_DEPTH}"
            stack.extend((child, depth + 1) for child in (item.values() if isinstance(item, dict) else item))
        elif isinstance(item, bytes):
            return "a link"
    return None
