"""Responses of an IPFS node's RPC: read within bounds, and checked for the form that they should have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self, TypeVar

from ipld_car import CarError, cids

from ipld_castore._http.errors import BodyTooLongError, TransportError
from ipld_castore._http.response import Response
from ipld_castore.errors import BackendUnavailableError

T = TypeVar("T")

MAX_BYTES: Final = 1 << 16
"""The longest response, or line of a response, that is no block."""


def unexpected(url: str, what: str) -> BackendUnavailableError:
    """Return the error for a response that no node gives."""
    return BackendUnavailableError(
        f"{url} answered {what}: is that the RPC API of an IPFS node (usually port 5001, not the gateway)?"
    )


class RPCResponse:
    """The response to one command, its body not yet read. Close it, or use it in a ``with`` statement.

    Whatever is wrong with the response is a :class:`~ipld_castore.BackendUnavailableError`.

    :param url: the URL of the node, for errors
    :param command: the command, for errors
    """

    def __init__(self, response: Response, url: str, command: str) -> None:
        self.status = response.status
        self._response = response
        self._url = url
        self._command = command

    @property
    def time(self) -> float:
        """When the node answered, in seconds since 1970 by the clock of the node; whole seconds.

        Source: https://www.rfc-editor.org/rfc/rfc9110#field.date.
        """
        text = self._response.headers.get("Date", "")
        try:
            return parsedate_to_datetime(text).timestamp()
        except (ValueError, OverflowError) as error:
            raise unexpected(self._url, f"with the date {text[:100]!r}") from error

    def read(self, size: int = -1, /) -> bytes:
        """Return some bytes of the body, at most ``size``; empty at the end. :class:`ipld_car.CarReader` calls it."""
        try:
            return self._response.read(size)
        except TransportError as error:
            raise self._broken_off(error) from error

    def read_all(self, limit: int = MAX_BYTES, what: str = "a response", expected: int = MAX_BYTES) -> bytes:
        """Return the whole body.

        :param limit: the most bytes that are accepted
        :param what: what the body should be, for the error
        :param expected: the likely length
        """
        try:
            return self._response.read_all(limit, expected)
        except BodyTooLongError as error:
            raise BackendUnavailableError(
                f"expected {what} of at most {limit} bytes from {self._url}, found more"
            ) from error
        except TransportError as error:
            raise self._broken_off(error) from error

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of a body that has one on each line, as they come in."""
        rest = b""
        while piece := self.read():
            *lines, rest = (rest + piece).split(b"\n")
            if lines:
                self._response.restart_deadline()  # a whole line is progress, however short it is
            yield from map(self._object, filter(None, lines))
            if len(rest) > MAX_BYTES:
                raise unexpected(self._url, "with a line that does not end")
        if rest.strip():
            yield self._object(rest)

    def json(self, limit: int = MAX_BYTES) -> dict[str, Any]:
        """Return the JSON object that the body is."""
        return self._object(self.read_all(limit))

    def field(self, values: dict[str, Any], name: str, kind: type[T]) -> T:
        """Return a field of an object in the body, which must have the given type."""
        value = values.get(name)
        if type(value) is not kind:
            raise unexpected(self._url, f"with {str(values)[:100]!r}, where {name!r} was expected")
        return value

    def cid(self, values: dict[str, Any], name: str) -> bytes:
        """Return the binary CID in a field of an object in the body."""
        text = self.field(values, name, str)
        try:
            return cids.to_bytes(text)
        except CarError as error:
            raise unexpected(self._url, f"with {text[:100]!r} instead of a CID") from error

    def _object(self, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise unexpected(self._url, f"with {text[:100]!r} instead of JSON") from error
        if not isinstance(value, dict):
            raise unexpected(self._url, f"with {text[:100]!r} instead of a JSON object")
        return value

    def _broken_off(self, error: TransportError) -> BackendUnavailableError:
        return BackendUnavailableError(f"the IPFS node at {self._url} broke off its answer to {self._command}: {error}")

    def drain(self) -> None:
        """Read the end of the body, which should be all that is left, so that the connection can be used again."""
        self._response.drain()

    def close(self) -> None:
        """Release the connection. A body that was not read to its end closes the connection."""
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
