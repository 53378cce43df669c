"""zarr metadata as IPLD data, and back as JSON text (format, section 2)."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from ipld_car import dagcbor

from . import keys

MAX_EMBEDDED: Final = 32_768
"""Largest size in bytes of a document that its directory embeds."""
MAX_LINKED: Final = 1 << 20
"""Largest size in bytes of a document that is a block of its own; a larger one is kept as its exact bytes."""
MAX_DEPTH: Final = 64
"""Levels of nested maps and lists in a document, the outermost included."""

_INTEGERS: Final = range(-(2**64), 2**64)
_INTEGER_DIGITS: Final = 21
"""Characters of the longest such integer; a longer text is not parsed, as that takes quadratic time."""
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS: Final = re.compile(r"[\[\]{}]")

Document = dict[str, Any]
"""A document as IPLD data."""


class _LossyError(ValueError):
    """JSON text cannot be kept as data without loss."""


def _pairs(pairs: list[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _LossyError("a name appears twice in an object")
    return found


def _constant(text: str) -> Any:
    raise _LossyError(f"{text} is not in JSON")


def _integer(text: str) -> int:
    if text == "-0" or len(text) > _INTEGER_DIGITS or int(text) not in _INTEGERS:
        raise _LossyError("DAG-CBOR cannot hold the integer")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number) or (number == 0 and text.startswith("-")):
        raise _LossyError("a number is infinite or a negative zero")
    return number


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer, parse_float=_float
)


def _too_deep(text: str) -> bool:
    """Return whether brackets are nested deeper than :data:`MAX_DEPTH`; decided before the parser, which recurses."""
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
        raise _LossyError("the outermost value is not an object")
    return value


def _drop_default_separator(array: Any) -> Any:
    """Return a ``.zarray`` without the default separator, which zarr-python 2 did not write."""
    if isinstance(array, dict) and array.get("dimension_separator") == ".":
        return {name: item for name, item in array.items() if name != "dimension_separator"}
    return array


def _without_default_separators(name: str, document: Document) -> Document:
    if name == keys.ZARRAY:
        return _drop_default_separator(document)  # type: ignore[no-any-return]  # a document is a map
    metadata = document.get("metadata") if name == keys.ZMETADATA else None
    if not isinstance(metadata, dict):
        return document
    slim_metadata = {
        key: _drop_default_separator(item) if key.rpartition("/")[2] == keys.ZARRAY else item
        for key, item in metadata.items()
    }
    return {**document, "metadata": slim_metadata}


def encode(name: str, data: bytes) -> bytes | None:
    """Return the DAG-CBOR block of a document; None if the document is to be kept as its exact bytes.

    :param name: the last part of the key, one of :data:`~ipldstore._format.keys.DOCUMENTS`
    :param data: the JSON text

    >>> encode("zarr.json", b'{"zarr_format": 3}').hex()
    'a16b7a6172725f666f726d617403'
    >>> encode("zarr.json", b'{"fill_value": NaN}')
    """
    try:
        block = dagcbor.encode_node(_without_default_separators(name, _parse(data)))
    except ValueError:  # not JSON, not UTF-8, or lossy: the document is kept as a value, which is no error
        return None
    return block if len(block) <= MAX_LINKED else None


def as_document(name: str, data: bytes) -> Document | None:
    """Return JSON text as a document; None if it is to be kept as its exact bytes. See :func:`encode`."""
    block = encode(name, data)
    if block is None:
        return None
    document: Document = dagcbor.decode_node(block)
    return document


def to_json(document: Document) -> bytes:
    """Return the JSON text of a document: no spaces, names in the order in which DAG-CBOR was decoded."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def find_problem(value: Any) -> str | None:
    """Return what a decoded value has that no document may have; None if it is JSON as data."""
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


def parse_leniently(data: bytes) -> Document | None:
    """Return JSON text as Python values, with NaN and Infinity; None if it is no object or nested too deep.

    It is for metadata that are kept as exact bytes; what it returns may be no document.
    """
    try:
        text = data.decode("utf-8")
        if _too_deep(text):
            return None
        value = json.loads(text)
    except ValueError:  # no JSON, or not UTF-8: exact bytes may be anything, which is no error
        return None
    return value if isinstance(value, dict) else None


def to_lenient_json(value: Document) -> bytes:
    """Return the JSON text of metadata as :func:`to_json` does, with NaN and Infinity allowed, names sorted here."""
    # A lone surrogate becomes \\udxxx, which is how JSON escapes it.
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _sorted(value: Any) -> Any:
    """Return a value with all names in the order of DAG-CBOR.

    It recurses as deep as the value: documents, or text that :func:`parse_leniently` took, in a few more levels.
    """
    if isinstance(value, dict):
        encoded = sorted(
            value, key=lambda name: (len(name.encode("utf-8", "surrogatepass")), name.encode("utf-8", "surrogatepass"))
        )
        return {name: _sorted(value[name]) for name in encoded}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
