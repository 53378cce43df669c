"""DAG-JSON blocks: JSON with links and bytes.

Source: https://ipld.io/specs/codecs/dag-json/spec/. Read as it asks of readers: neither the order of keys nor
white space has to be the canonical one, while maps of the forms that it reserves are links and bytes, or refused.
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
"""How deep maps and lists may be nested: what the parser, which recurses, can do in any Python and thread."""

# A string, be it closed or not, so that none is looked at twice; or a bracket.
_STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def decode(data: bytes) -> Any:
    """The value of a DAG-JSON block, with :class:`multiformats.CID` for links, and ``bytes``.

    :raises CarError: if the block is no DAG-JSON, or nested deeper than :data:`MAX_DEPTH`

    >>> decode(b'{"b": [1.5, {"/": "bafkqaaa"}], "a": {"/": {"bytes": "aGk"}}}')
    {'b': [1.5, CID('base32', 1, 'raw', '0000')], 'a': b'hi'}
    """
    _check_depth(data)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"expected DAG-JSON in UTF-8: {error.reason}", offset=error.start) from None
    try:
        return json.loads(text, object_pairs_hook=_map, parse_constant=_no_constant)
    except CarError:
        raise
    except json.JSONDecodeError as error:
        raise MalformedError(f"expected DAG-JSON: {error.msg}", offset=len(text[: error.pos].encode())) from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise MalformedError(f"expected DAG-JSON: {error}") from None
    except RecursionError as error:
        raise LimitError("the block is nested too deep for the stack of this thread") from error


def links(data: bytes) -> list[bytes]:
    """The binary CIDs that a DAG-JSON block links to, in the order of their encoding.

    :raises CarError: as :func:`decode` does
    """
    return [cids.to_bytes(link) for link in _links_in(decode(data))]


def _check_depth(data: bytes) -> None:
    """Refuse what is nested too deep before it is parsed: a small stack would end the process, not raise."""
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


def _no_constant(name: str) -> NoReturn:
    raise MalformedError(f"expected DAG-JSON, found {name}, which is in no JSON")


def _map(pairs: list[tuple[str, Any]]) -> Any:
    """What a map stands for: a link, bytes, or itself."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("expected a map with each key once, found one twice")
    # The first key decides, and a value of another kind leaves the map an ordinary one.
    if pairs and pairs[0][0] == "/":
        value = pairs[0][1]
        if isinstance(value, str):
            return cids.from_validated(cids.to_bytes(_alone(found, value)))
        if isinstance(value, dict):
            key, inner = next(iter(value.items()), ("", None))
            if key == "bytes" and isinstance(inner, str):
                return _bytes(_alone(found, _alone(value, inner)))
    return found


def _alone(reserved: dict[str, Any], value: str) -> str:
    """The value, if it is the only one in a map that is reserved for links and bytes."""
    if len(reserved) > 1:
        raise MalformedError(f"expected a link or bytes, found a map of their form with {len(reserved)} keys")
    return value


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise MalformedError(f"expected bytes in base64, found {text[:100]!r}: {error}") from None


def _links_in(value: Any) -> Iterator[CID]:
    """All links in a value, in order, without recursion."""
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
