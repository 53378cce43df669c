"""Responses of untrusted servers: read in pieces or whole, within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from urllib3 import BaseHTTPResponse, Retry
from urllib3.exceptions import HTTPError, InvalidHeader

from .deadline import watch_of
from .errors import BodyTooLongError, TransportError, transport_error

_STEP: Final = 256 << 10
"""The most bytes of one :meth:`Response.read`."""
_FIRST_PIECE: Final = 16 << 10
_PIECE: Final = 1 << 20
_MAX_DRAINED: Final = 64 << 10
_PARSER: Final = Retry()


class Response:
    """The response of a server, its body not yet read. Close it, or use it in a ``with`` statement.

    Reads raise :class:`~.errors.TransportError` if the connection breaks, the body ends before its length, or the
    bytes come too slowly.

    :param timeout: the timeout of each read in seconds, for messages
    """

    def __init__(self, response: BaseHTTPResponse, timeout: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._timeout = timeout
        self._watch = watch_of(response)

    @property
    def is_redirect(self) -> bool:
        """Whether the status is one of the redirects."""
        return 300 <= self.status < 400

    @property
    def retry_after(self) -> float | None:
        """The seconds that ``Retry-After`` asks for; None without one, or with one that is no time.

        Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after.
        """
        text = self.headers.get("Retry-After")
        if text is None:
            return None
        try:
            return _PARSER.parse_retry_after(text)
        except (InvalidHeader, ValueError, OverflowError):  # urllib3 lets numbers pass that no clock has
            return None

    def read(self, size: int = -1, /) -> bytes:
        """Return some bytes of the body, at most ``size``; empty at the end of the body."""
        wanted = _STEP if size < 0 else min(size, _STEP)
        self._allow(wanted)
        try:
            return self._response.read1(wanted, decode_content=False)
        except HTTPError as error:
            raise transport_error(error, self._timeout) from error

    def read_all(self, limit: int, expected: int = _FIRST_PIECE) -> bytes:
        """Return the whole body.

        :param limit: the most bytes that are accepted
        :param expected: the likely length where the response has no ``Content-Length``: so many bytes are read at once
        :raises BodyTooLongError: if the body is longer than ``limit``
        """
        pieces, size = [], 0
        step = limit + 1 if "Content-Length" in self.headers else expected + 1
        try:
            # Only the read that finds the end of the body gives the connection back to the pool.
            while True:
                wanted = min(limit + 1 - size, step)
                self._allow(wanted)
                piece = self._response.read(wanted, decode_content=False)
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    raise BodyTooLongError(f"expected at most {limit} bytes, found more")
                step = _PIECE if len(piece) == step else 1
        except HTTPError as error:
            raise transport_error(error, self._timeout) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _allow(self, size: int) -> None:
        if self._watch is not None:
            self._watch.allow(size)

    def restart_deadline(self) -> None:
        """Count the bytes so far as enough, however few they are, and restart the timeout."""
        if self._watch is not None:
            self._watch.restart()

    def drain(self) -> None:
        """Read the rest of the body if it is short, so that the connection can be used again; then close.

        If the rest is long, or cannot be read, the connection is closed. The caller has what it wanted already.
        """
        left = _MAX_DRAINED
        try:
            while left > 0 and (piece := self.read(left)):
                left -= len(piece)
        except TransportError:
            pass  # see above
        self.close()

    def close(self) -> None:
        """Give the connection back to the pool if the body was read to its end, else close it."""
        if self._response.closed:
            self._response.release_conn()
        else:
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
