"""The address of an IPFS node's RPC API, and the credentials for it: https://docs.ipfs.tech/reference/kubo/rpc/."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from ipld_castore._http.address import Address, Secret, basic_secret, bearer_secret, parse_url

DEFAULT_URL: Final = "http://127.0.0.1:5001"


def find_node(host: str | None, auth: str | None = None) -> Address:
    """Return the address that the caller gives, else that of a running node, else the usual one.

    :param host: a URL, ``host:port`` or a multiaddr. By default the file ``api`` in ``$IPFS_PATH`` and ``~/.ipfs``
        is read, which a running node writes, and :data:`DEFAULT_URL` is used if there is none
    :param auth: the credentials, as ``ipfs --api-auth`` takes them: ``bearer:token`` or ``basic:user:password``
    :raises ValueError: if the address is none of the three, or the credentials none of the two
    """
    node = parse_address(host) if host is not None else _running_node()
    return node if auth is None else replace(node, secret=_parse_auth(auth))


def _parse_auth(auth: str) -> Secret:
    kind, _, rest = auth.partition(":")
    try:
        if kind == "bearer":
            return bearer_secret(rest)
        if kind == "basic" and ":" in rest:
            return basic_secret(*rest.split(":", 1))
    except ValueError:
        pass  # as for another kind; the text is not repeated
    raise ValueError("expected credentials as bearer:token or basic:user:password, found something else")


def _running_node() -> Address:
    """Return the address in the file that a running node writes. A node that was killed leaves the file behind."""
    for folder in (os.environ.get("IPFS_PATH"), "~/.ipfs"):
        if not folder:
            continue
        file = Path(folder).expanduser() / "api"
        if file.is_file():
            try:
                node = parse_address(file.read_text("utf-8", errors="replace").strip())
            except ValueError as error:
                raise ValueError(f"{error} in {file}") from None
            return replace(node, source=str(file))
    return Address(DEFAULT_URL)


def parse_address(text: str) -> Address:
    """Return the address that a URL, ``host:port`` or a multiaddr names.

    :raises ValueError: if the text is none of the three; the error does not repeat the text, which may hold a password

    >>> parse_address("/ip4/127.0.0.1/tcp/5001").url
    'http://127.0.0.1:5001'
    """
    try:
        if text.startswith("/"):
            text = _url_of_multiaddr(text)
        return parse_url(text if "://" in text else f"http://{text}", "/api/v0")
    except ValueError:
        raise ValueError(
            "expected the RPC address of an IPFS node as http://127.0.0.1:5001, 127.0.0.1:5001 or "
            "/ip4/127.0.0.1/tcp/5001, found something else"
        ) from None


def _url_of_multiaddr(text: str) -> str:
    """Return the URL for a multiaddr like ``/ip4/127.0.0.1/tcp/5001`` or ``/dns/node.example/tcp/443/https``.

    :raises ValueError: if the text is no multiaddr of an HTTP server
    """
    kind, host, tcp, port, *rest = text.strip("/").split("/")
    if kind not in {"ip4", "ip6", "dns", "dns4", "dns6"} or tcp != "tcp" or not port.isdecimal():
        raise ValueError
    if rest not in ([], ["http"], ["https"], ["tls", "http"]):
        raise ValueError
    if kind in {"ip4", "ip6"} and ipaddress.ip_address(host).is_unspecified:
        host = {"ip4": "127.0.0.1", "ip6": "::1"}[kind]  # the node listens on every interface, this one included
    scheme = "http" if rest in ([], ["http"]) else "https"
    return f"{scheme}://[{host}]:{port}" if kind == "ip6" else f"{scheme}://{host}:{port}"
