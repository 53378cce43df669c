"""The address of a server: its URL, and the credentials for it, which no text shows."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

_LOOPBACK_NAME: Final = "localhost"


class Secret:
    """The value of an ``Authorization`` header. ``repr`` and ``str`` do not show it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the header and nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"


@dataclass(frozen=True)
class Address:
    """Where a server is, and how a client authenticates there."""

    url: str
    """Scheme, host, port and path, without credentials and without a slash at the end."""
    secret: Secret | None = None
    """The credentials; None where the server asks for none."""
    source: str | None = None
    """The file or variable that named the address; None if the caller gave it."""

    @property
    def host(self) -> str:
        """The host name or IP address, in lower case, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def netloc(self) -> str:
        """Host and port as they stand in the URL."""
        return urlsplit(self.url).netloc

    @property
    def is_localhost(self) -> bool:
        """Whether the host is the name ``localhost`` rather than an IP address."""
        return self.host == _LOOPBACK_NAME

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, where no proxy leads to."""
        if self.is_localhost or self.host.endswith(f".{_LOOPBACK_NAME}"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_url(text: str, suffix: str = "") -> Address:
    """Return the address of an ``http`` or ``https`` URL, which may hold ``user:password@``.

    :param suffix: a path that is removed from the end of the URL, as clients add it themselves
    :raises ValueError: if the text is no such URL; the error does not repeat the text, which may hold a password

    >>> parse_url("https://me:pass@Node.example:1234/ipfs/", "/ipfs")
    Address(url='https://node.example:1234', secret=<secret>, source=None)
    """
    try:
        parts = urlsplit(text)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        raise ValueError("expected an http or https URL, found something else") from None
    secret = None
    if parts.username is not None:
        secret = basic_secret(unquote(parts.username), unquote(parts.password or ""))
    return Address(f"{parts.scheme}://{host}{port}{parts.path.rstrip('/').removesuffix(suffix)}", secret)


def basic_secret(user: str, password: str) -> Secret:
    """Return the credentials of a user: https://www.rfc-editor.org/rfc/rfc7617."""
    return Secret("Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())


def bearer_secret(token: str) -> Secret:
    """Return the credentials that a token is: https://www.rfc-editor.org/rfc/rfc6750.

    :raises ValueError: if a header cannot hold the token
    """
    if not token or not all("!" <= character <= "~" for character in token):
        raise ValueError("expected a token of printable ASCII without spaces, found something else")
    return Secret(f"Bearer {token}")
