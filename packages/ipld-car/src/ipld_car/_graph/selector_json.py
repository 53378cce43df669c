"""Parse selectors from their DAG-JSON text.

Source: https://ipld.io/specs/selectors/.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final

from ipld_car import cids
from ipld_car.errors import CarError

from .selector import All, Edge, Fields, Range, Recursive, Selector, Union

MAX_DEPTH: Final = 64
"""How deep selectors may be nested."""


def parse(text: str) -> Selector:
    """Return the selector in a DAG-JSON text. Conditions and views are not supported, as in go-ipld-prime.

    :raises ValueError: if the text is no selector
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON, found something else: {error}") from None
    return _Reader(0, None).read(value)


class _Reader:
    """Reads one selector.

    :param depth: number of enclosing selectors
    :param edges: collects the edges of the enclosing recursion; None if there is no recursion
    """

    def __init__(self, depth: int, edges: list[Edge] | None) -> None:
        if depth > MAX_DEPTH:
            raise ValueError(f"expected selectors nested at most {MAX_DEPTH} deep, found more")
        self._depth = depth
        self._edges = edges

    def _below(self, value: Any) -> Selector:
        return _Reader(self._depth + 1, self._edges).read(value)

    def read(self, value: Any) -> Selector:
        """Return the selector in a JSON value."""
        kind, body = _only_entry(value)
        read = self._KINDS.get(kind)
        if read is None:
            raise ValueError(f"expected one of the selectors {' '.join(self._KINDS)}, found {kind!r}")
        return read(self, body)

    def _match(self, body: Any) -> Selector:
        _typed(body, dict, ".")
        return Selector()

    def _all(self, body: Any) -> Selector:
        return All(self._below(_entry(body, ">")))

    def _fields(self, body: Any) -> Selector:
        fields = _typed(_entry(body, "f>"), dict, "f>")
        return Fields(tuple((name, self._below(inner)) for name, inner in fields.items()))

    def _index(self, body: Any) -> Selector:
        at = _typed(_entry(body, "i"), int, "i")
        return Range(at, at + 1, self._below(_entry(body, ">")))

    def _range(self, body: Any) -> Selector:
        start, stop = (_typed(_entry(body, name), int, name) for name in ("^", "$"))
        if start >= stop:
            raise ValueError(f"expected a range that ends behind its start, found {start} to {stop}")
        return Range(start, stop, self._below(_entry(body, ">")))

    def _recursive(self, body: Any) -> Selector:
        edges: list[Edge] = []
        sequence = _Reader(self._depth + 1, edges).read(_entry(body, ":>"))
        if not edges:
            raise ValueError("expected an edge (@) somewhere in a recursion (R), found none")
        return Recursive(sequence, sequence, _limit(_entry(body, "l")), _stop_at(body.get("!")))

    def _union(self, body: Any) -> Selector:
        return Union(tuple(self._below(member) for member in _typed(body, list, "|")))

    def _edge(self, body: Any) -> Selector:
        _typed(body, dict, "@")
        if self._edges is None:
            raise ValueError("expected an edge (@) only in a recursion (R), found one outside")
        self._edges.append(Edge())
        return self._edges[-1]

    _KINDS: ClassVar = {
        ".": _match,
        "a": _all,
        "f": _fields,
        "i": _index,
        "r": _range,
        "R": _recursive,
        "|": _union,
        "@": _edge,
    }


def _only_entry(value: Any) -> tuple[str, Any]:
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(f"expected a map with one entry, found {json.dumps(value)[:100]}")
    return next(iter(value.items()))


def _typed(value: Any, kind: type, name: str) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected a {kind.__name__} in {name!r}, found {json.dumps(value)[:100]}")
    return value


def _entry(body: Any, name: str) -> Any:
    if not isinstance(body, dict) or name not in body:
        raise ValueError(f"expected a map with the entry {name!r}, found {json.dumps(body)[:100]}")
    return body[name]


def _limit(value: Any) -> int | None:
    kind, body = _only_entry(value)
    if kind == "none":
        return None
    if kind != "depth":
        raise ValueError(f"expected the limit of a recursion as none or depth, found {kind!r}")
    depth: int = _typed(body, int, kind)
    return depth


def _stop_at(condition: Any) -> bytes | None:
    if condition is None:
        return None
    kind, link = _only_entry(condition)
    if kind != "/":
        raise ValueError(f"expected a link (/) as where a recursion stops, found {kind!r}")
    try:
        return cids.to_bytes(_typed(_entry(link, "/"), str, "/"))
    except CarError as error:
        raise ValueError(str(error)) from None
