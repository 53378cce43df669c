"""DAG-JSON blocks: JSON with links and bytes.

Keys may come in any order and with any white space. A map of a reserved form is a link or bytes, or it is refused.
Source: https://ipld.io/specs/codecs/dag-json/spec/.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from multiformats import CID

from ipld_car import cids
from ipld_car.errors import CarError, LimitError, MalformedError

MAX_DEPTH: Final = 512
"""How deep maps and lists may be nested. The parser recurses; it can go this deep in any Python and thread."""

# A bracket, or a string, also one that is not closed: so no string is scanned twice.
_STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def decode(data: bytes) -> Any:
    """Return the value of a DAG-JSON block; a link is a :class:`multiformats.CID`, a byte string is ``bytes``.

    :raises CarError: if the block is not DAG-JSON, or nested deeper than :data:`MAX_DEPTH`

    >>> decode(b'{"b": [1.5, {"/": "bafkqaaa"}], "a": {"/": {"bytes": "aGk"}}}')
    {'b': [1.5, CID('base32', 1, 'raw', '0000')], 'a': b'hi'}
    """
    _check_depth(data)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"expected DAG-JSON in UTF-8: {error.reason}", offset=error.start) from None
    try:
        return json.loads(text, object_pairs_hook=_decode_map, parse_constant=_refuse_constant)
    except CarError:
        raise
    except json.JSONDecodeError as error:
        raise MalformedError(f"expected DAG-JSON: {error.msg}", offset=len(text[: error.pos].encode())) from None
    except ValueError as error:  # an integer with more digits than Python parses
        raise MalformedError(f"expected DAG-JSON: {error}") from None
    except RecursionError as error:
        raise LimitError("the block is nested too deep for the stack of this thread") from error


def links(data: bytes) -> list[bytes]:
    """Return the binary CIDs that a DAG-JSON block links to, in the order of their encoding.

    :raises CarError: as :func:`decode`
    """
    return [cids.to_bytes(link) for link in _links_in(decode(data))]


def _check_depth(data: bytes) -> None:
    """Refuse a block that is nested too deep before it is parsed: a small stack would crash the process."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(data):
        first = data[found.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise LimitError(
                    f"expected maps and lists nested at most {MAX_DEPTH} deep, found more", offset=found.start()
                )
        elif first in b"]}":
            depth -= 1


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"expected DAG-JSON, found {name}, which JSON does not have")


def _decode_map(pairs: list[tuple[str, Any]]) -> Any:
    """Return what a map stands for: a link, bytes, or itself."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("expected a map with each key once, found one twice")
    # The first key decides. With a value of another type it is an ordinary map.
    if pairs and pairs[0][0] == "/":
        value = pairs[0][1]
        if isinstance(value, str):
            return cids.from_validated(cids.to_bytes(_only_value(found, value)))
        if isinstance(value, dict):
            key, inner = next(iter(value.items()), ("", None))
            if key == "bytes" and isinstance(inner, str):
                return _decode_base64(_only_value(found, _only_value(value, inner)))
    return found


def _only_value(reserved: dict[str, Any], value: str) -> str:
    """Return the value of a reserved map, which must have no other entry."""
    if len(reserved) > 1:
        raise MalformedError(f"expected a link or bytes, found a map of their form with {len(reserved)} keys")
    return value


def _decode_base64(text: str) -> bytes:
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise MalformedError(f"expected bytes in base64, found {text[:100]!r}: {error}") from None


def _links_in(value: Any) -> Iterator[CID]:
    """Iterate over all links in a value, in order, without recursion."""
    stack: list[Iterator[Any]] = [iter((value,))]
    while stack:
        for item in stack[-1]:
            if isinstance(item, CID):
                yield item
            elif isinstance(item, (dict, list)):
                stack.append(iter(item.values() if isinstance(item, dict) else item))
                break
        else:
            stack.pop()
