"""Errors between a client and a server, whatever the request."""

from __future__ import annotations

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import ReadTimeoutError as Urllib3ReadTimeoutError

from ipld_castore.concurrency import clear_frames


class TransportError(Exception):
    """A request has no response, or the body of the response cannot be read to its end."""


class ConnectError(TransportError):
    """No server accepts connections at the address."""


class SilenceError(TransportError):
    """The server was silent for the whole timeout, or sent too little to ever come to an end."""


class ConnectionBrokenError(TransportError):
    """The connection ended before the response did, or what came over it is not HTTP."""


class SecurityError(TransportError):
    """The certificate or the encryption of the server is refused."""


class BodyTooLongError(TransportError):
    """The body of a response is longer than the caller accepts."""


class TooSlowError(HTTPError):
    """So few bytes came within the timeout that the response would never end. Raised below urllib3."""

    def __init__(self, received: int, seconds: float) -> None:
        super().__init__(f"it sent only {received} bytes in {seconds:.3g} s")
        self.received = received


class TooMuchOverheadError(HTTPError):
    """So many bytes came that are no body, such as trailers, that they may never end. Raised below urllib3."""

    def __init__(self) -> None:
        super().__init__("it sends headers, trailers or chunk extensions without end")


def transport_error(error: HTTPError, timeout: float) -> TransportError:
    """Return the :class:`TransportError` for an error of urllib3.

    The frames of the error are cleared. Frames of urllib3 keep the error that they raised in a local variable, and
    that cycle would keep request bodies in memory until the garbage collector runs.

    :param timeout: the timeout of the read in seconds, for the message
    """
    clear_frames(error)
    if isinstance(error, (ConnectTimeoutError, NewConnectionError)):
        return ConnectError("no server accepts connections there")
    if isinstance(error, TooSlowError):
        return SilenceError(f"it sent only {error.received} bytes in {timeout:g} s")
    if isinstance(error, Urllib3ReadTimeoutError):
        return SilenceError(f"it was silent for {timeout:g} s")
    if isinstance(error, SSLError):
        return SecurityError(f"its certificate or encryption is refused: {error}")
    if isinstance(error, TooMuchOverheadError):
        return BodyTooLongError(str(error))
    return ConnectionBrokenError(f"the connection broke: {type(error).__name__}: {error}")
