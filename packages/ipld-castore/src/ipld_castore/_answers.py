"""Answers of an IPFS node: read within bounds, and never taken for more than they say."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from ipld_car import CarError, cids
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from ._errors import BackendUnavailableError

T = TypeVar("T")

MAX_BYTES: Final = 1 << 16
"""Longest answer, or line of one, that is no block."""

SLOWEST: Final = 16 << 10
"""Bytes, or one line, that must come while the node may be silent: who sends less never comes to an end."""

_PIECE: Final = 1 << 18


def odd(host: str, what: str) -> BackendUnavailableError:
    """The error of an answer that no node would give."""
    return BackendUnavailableError(
        f"{host} answered {what}: is that the RPC API of an IPFS node (usually port 5001, not the gateway)?"
    )


class Answer:
    """The answer to one command, its body not yet read. What is wrong with it is a BackendUnavailableError.

    :param patience: seconds in which something worth while must come
    """

    def __init__(self, response: BaseHTTPResponse, host: str, patience: float) -> None:
        self._response = response
        self._host = host
        self._patience = patience
        self._waited = 0.0
        self._came = 0
        self.status = response.status

    def header(self, name: str) -> str | None:
        """A header of the answer."""
        return self._response.headers.get(name)

    def read(self, limit: int = MAX_BYTES, what: str = "an answer") -> bytes:
        """The body, refused as soon as it is longer than ``limit`` bytes."""
        pieces, size = [], 0
        # Only the read that finds the end tells whether it is the end.
        while piece := self._some(limit + 1 - size):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise BackendUnavailableError(f"expected {what} of at most {limit} bytes from {self._host}, found more")
        return b"".join(pieces)

    def read_some(self, size: int, /) -> bytes:
        """``size`` bytes of the body, fewer only at its end: what :class:`ipld_car.CarReader` asks for.

        :raises urllib3.exceptions.HTTPError: if the answer is broken off, or comes too slowly ever to end
        """
        pieces, left = [], size
        # The end is read too where it comes with the last bytes: the connection can be used again then.
        while left > 0 and (piece := self._some(left)):
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _some(self, size: int) -> bytes:
        """Some bytes of the body, at most ``size``; none at its end."""
        start = time.monotonic()
        piece = self._response.read1(min(size, _PIECE), decode_content=False)
        self._waited += time.monotonic() - start
        self._came += len(piece)
        if self._waited > self._patience:
            if piece and self._came < SLOWEST:
                raise HTTPError(f"it sent only {self._came} bytes in {self._waited:.3g} s")
            self._waited = self._came = 0
        return piece

    def lines(self) -> Iterator[dict[str, Any]]:
        """The JSON objects of an answer that has one on each line, as they come in."""
        rest = b""
        while piece := self._some(_PIECE):
            *lines, rest = (rest + piece).split(b"\n")
            if lines:
                self._waited = self._came = 0
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
