"""Answers of an IPFS node: read within bounds, and never taken for more than they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from ipld_car import CarError, cids
from urllib3 import BaseHTTPResponse

from ipld_castore._http.wire import read_within, watch_of
from ipld_castore.errors import BackendUnavailableError

T = TypeVar("T")

MAX_BYTES: Final = 1 << 16
"""Longest answer, or line of one, that is no block."""

_PIECE: Final = 1 << 18


def odd(host: str, what: str) -> BackendUnavailableError:
    """The error of an answer that no node would give."""
    return BackendUnavailableError(
        f"{host} answered {what}: is that the RPC API of an IPFS node (usually port 5001, not the gateway)?"
    )


class Answer:
    """The answer to one command, its body not yet read. What is wrong with it is a BackendUnavailableError."""

    def __init__(self, response: BaseHTTPResponse, host: str) -> None:
        self._response = response
        self._host = host
        self._watch = watch_of(response)
        self.status = response.status

    def header(self, name: str) -> str | None:
        """A header of the answer."""
        return self._response.headers.get(name)

    def read(self, limit: int = MAX_BYTES, what: str = "an answer", expected: int = MAX_BYTES) -> bytes:
        """The body, refused as soon as it is longer than ``limit`` bytes.

        :param expected: about how many there are
        """
        data = read_within(self._response, limit, expected)
        if data is None:
            raise BackendUnavailableError(f"expected {what} of at most {limit} bytes from {self._host}, found more")
        return data

    def read_some(self, size: int, /) -> bytes:
        """``size`` bytes of the body, fewer only at its end: what :class:`ipld_car.CarReader` asks for.

        :raises urllib3.exceptions.HTTPError: if the answer is broken off, or comes too slowly ever to end
        """
        pieces, left = [], size
        # The end is read too where it comes with the last bytes: the connection can be used again then.
        while left > 0 and (piece := self._response.read1(min(left, _PIECE), decode_content=False)):
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def lines(self) -> Iterator[dict[str, Any]]:
        """The JSON objects of an answer that has one on each line, as they come in."""
        rest = b""
        while piece := self._response.read1(_PIECE, decode_content=False):
            *lines, rest = (rest + piece).split(b"\n")
            if lines and self._watch is not None:
                self._watch.begin_anew()  # a line is worth while, however short it is
            yield from map(self._object, filter(None, lines))
            if len(rest) > MAX_BYTES:
                raise odd(self._host, "with a line that does not end")
        if rest.strip():
            yield self._object(rest)

    def json(self, limit: int = MAX_BYTES) -> dict[str, Any]:
        """The one JSON object of an answer."""
        return self._object(self.read(limit))

    def field(self, values: dict[str, Any], name: str, kind: type[T]) -> T:
        """A field of an object in the answer, of the type that it must have."""
        value = values.get(name)
        if type(value) is not kind:
            raise odd(self._host, f"with {str(values)[:100]!r}, where {name!r} was expected")
        return value

    def cid(self, values: dict[str, Any], name: str) -> bytes:
        """The binary CID in a field of an object in the answer."""
        text = self.field(values, name, str)
        try:
            return cids.to_bytes(text)
        except CarError as error:
            raise odd(self._host, f"with {text[:100]!r} instead of a CID") from error

    def _object(self, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise odd(self._host, f"with {text[:100]!r} instead of JSON") from error
        if not isinstance(value, dict):
            raise odd(self._host, f"with {text[:100]!r} instead of a JSON object")
        return value
