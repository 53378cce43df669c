"""Where the RPC API of an IPFS node is, and what opens it: https://docs.ipfs.tech/reference/kubo/rpc/."""

from __future__ import annotations

import base64
import ipaddress
import os
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

DEFAULT_URL: Final = "http://127.0.0.1:5001"


class Secret:
    """A value of the Authorization header; nothing that shows objects shows it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """What goes into the header, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"


class Node(NamedTuple):
    """The address of a node."""

    url: str
    """Scheme, host, port and path, without credentials and without a slash at the end."""
    secret: Secret | None
    """What opens it, if it is closed."""
    source: str | None = None
    """Where the address was found, if nobody gave it."""

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where no proxy leads to."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def find_node(host: str | None, auth: str | None = None) -> Node:
    """The node that the caller names, else the one that runs here as far as files tell, else the usual address.

    :param host: an URL, ``host:port`` or a multiaddr
    :param auth: what opens it, as ``ipfs --api-auth`` takes it: ``bearer:token`` or ``basic:user:password``
    :raises ValueError: if the address is none of the three, or the credentials none of the two
    """
    node = _find(host)
    return node if auth is None else node._replace(secret=_parse_auth(auth))


def _parse_auth(auth: str) -> Secret:
    kind, _, rest = auth.partition(":")
    # A header takes no other characters, and what is not sent as it is opens nothing.
    if kind == "bearer" and rest and all("!" <= character <= "~" for character in rest):
        return Secret(f"Bearer {rest}")
    if kind == "basic" and ":" in rest:
        return _basic(*rest.split(":", 1))
    raise ValueError("expected credentials as bearer:token or basic:user:password, found something else")


def _basic(user: str, password: str) -> Secret:
    return Secret("Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())


def _find(host: str | None) -> Node:
    if host is not None:
        return parse_address(host)
    folders = [os.environ.get("IPFS_PATH"), "~/.ipfs"]
    for folder in folders:
        if folder:
            # A running node writes its address there; one that was killed leaves it.
            file = Path(folder).expanduser() / "api"
            if file.is_file():
                try:
                    node = parse_address(file.read_text("utf-8", errors="replace").strip())
                except ValueError as error:
                    raise ValueError(f"{error} in {file}") from None
                return node._replace(source=str(file))
    return Node(DEFAULT_URL, None)


def parse_address(text: str) -> Node:
    """The node at an URL, ``host:port`` or a multiaddr.

    :raises ValueError: if the text is none of the three

    >>> parse_address("/ip4/127.0.0.1/tcp/5001").url
    'http://127.0.0.1:5001'
    """
    try:
        parts = urlsplit(
            _url_of_multiaddr(text) if text.startswith("/") else text if "://" in text else f"http://{text}"
        )
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        # Nothing of the text: there may be a password in it.
        raise ValueError(
            "expected the RPC address of an IPFS node as http://127.0.0.1:5001, 127.0.0.1:5001 or "
            "/ip4/127.0.0.1/tcp/5001, found something else"
        ) from None
    path = parts.path.rstrip("/").removesuffix("/api/v0")
    secret = None if parts.username is None else _basic(unquote(parts.username), unquote(parts.password or ""))
    return Node(f"{parts.scheme}://{host}{port}{path}", secret)


def _url_of_multiaddr(text: str) -> str:
    """The URL of a multiaddr like ``/ip4/127.0.0.1/tcp/5001`` or ``/dns/node.example/tcp/443/https``."""
    kind, host, tcp, port, *rest = text.strip("/").split("/")
    if kind not in {"ip4", "ip6", "dns", "dns4", "dns6"} or tcp != "tcp" or not port.isdecimal():
        raise ValueError
    if rest not in ([], ["http"], ["https"], ["tls", "http"]):
        raise ValueError
    if kind in {"ip4", "ip6"} and ipaddress.ip_address(host).is_unspecified:
        host = {"ip4": "127.0.0.1", "ip6": "::1"}[kind]  # it listens everywhere, so also there
    scheme = "http" if rest in ([], ["http"]) else "https"
    return f"{scheme}://[{host}]:{port}" if kind == "ip6" else f"{scheme}://{host}:{port}"
