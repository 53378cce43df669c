"""The meaning of gateways' responses that are not the requested block or CAR."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from ipld_castore._http.response import Response

from .retry import AttemptError, FailureKind

_ABSENT: Final = frozenset({404, 410, 451})
_BUSY: Final = frozenset({429, 502, 503})
_FORBIDDEN: Final = frozenset({401, 403})
_NOT_FOUND: Final = (b"ipld: could not find", b"block not found", b"routing: not found")
_MAX_MESSAGE_BYTES: Final = 1024
_MAX_SHOWN: Final = 200


class StatusError(AttemptError):
    """A gateway answered with a status that says only that it does not do this."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(FailureKind.REFUSED, message)
        self.status = status


class UnverifiedError(AttemptError):
    """The headers of a response are not those of a block. Only its body tells whether it is one."""

    def __init__(self, message: str) -> None:
        super().__init__(FailureKind.REFUSED, message)


def check_headers(response: Response, media_type: str) -> None:
    """Require that a body should be of a media type and not encoded.

    :raises UnverifiedError: if the headers say anything else
    """
    found = response.headers.get("Content-Type", "")
    if found.partition(";")[0].strip().lower() != media_type:
        raise UnverifiedError(f"expected {media_type}, found {found[:100]!r}")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnverifiedError(f"expected a body that is not encoded, found it encoded as {encoding[:100]!r}")


def refusal(response: Response) -> AttemptError:
    """Return the error for a response with a status other than 200.

    :raises TransportError: if its message cannot be read
    """
    status = response.status
    if response.is_redirect:
        return UnverifiedError(f"HTTP {status}, a redirect, which is not followed{_advice(response)}")
    start = response.read(_MAX_MESSAGE_BYTES)
    response.drain()
    if status in _ABSENT or (status == 500 and any(sign in start for sign in _NOT_FOUND)):
        return AttemptError(FailureKind.ABSENT, f"HTTP {status}")
    pause = response.retry_after
    message = f"HTTP {status} {start[:_MAX_SHOWN]!r}"
    if status in _BUSY or (status == 504 and pause is not None):
        return AttemptError(FailureKind.BUSY, message, pause)
    if status == 504:
        return AttemptError(FailureKind.REFUSED, f"it looked for the block in vain: {message}")
    if status in _FORBIDDEN:
        return AttemptError(FailureKind.REFUSED, f"it asks for credentials, or forbids this: {message}")
    return StatusError(status, message)


def _advice(response: Response) -> str:
    """Return which URL to use instead of the one that is redirected."""
    location = response.headers.get("Location", "")
    if "@" in location:  # there may be a password in it
        location = _without_credentials(location)
    try:
        parts = urlsplit(location)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        return f" (to {location[:_MAX_SHOWN]!r})" if location else ""
    shown = f" (to {location[:_MAX_SHOWN]!r})"
    if ".ipfs." in host:  # a subdomain for each root, for browsers
        return f"{shown}: use the URL of a gateway that answers by path, such as http://127.0.0.1:8080 for a local node"
    base = f"{parts.scheme}://{parts.netloc}{parts.path.partition('/ipfs/')[0].rstrip('/')}"
    return f"{shown}: if that is a gateway, use its URL, {base[:_MAX_SHOWN]!r}"


def _without_credentials(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    netloc, slash, path = rest.partition("/")
    return f"{scheme}{mark}{netloc.rpartition('@')[2]}{slash}{path}"
