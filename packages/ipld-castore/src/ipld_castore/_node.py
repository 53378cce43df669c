"""Where the RPC API of an IPFS node is: https://docs.ipfs.tech/reference/kubo/rpc/."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

DEFAULT_URL: Final = "http://127.0.0.1:5001"


class Node(NamedTuple):
    """The address of a node."""

    url: str
    """Scheme, host, port and path, without credentials and without a slash at the end."""
    credentials: tuple[str, str] | None
    """User and password of HTTP basic authentication."""
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


def find_node(host: str | None) -> Node:
    """The node that the caller names, else the one that runs here as far as files tell, else the usual address.

    :param host: an URL, ``host:port`` or a multiaddr
    :raises ValueError: if that is none of the three
    """
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
    credentials = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return Node(f"{parts.scheme}://{host}{port}{path}", credentials)


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
