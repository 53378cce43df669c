"""The gateways to ask: given or found, how each has behaved, and when it may be asked again."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ipld_car import cids
from ipld_car.lru import LRU

from ipld_castore._http.address import Address, bearer_secret, parse_url

HALF_LIFE: Final = 60.0
"""Seconds in which half of the penalty of a gateway is forgotten."""

_MAX_CORRUPT: Final = 4096
"""Pairs of gateway and block that are remembered because the bytes were wrong."""


class Gateway:
    """One gateway: its address, and how it has behaved."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.ready_at = 0.0
        """When it may be asked again, by ``time.monotonic()``."""
        self.sends_cars = True
        """Whether it may send CARs; some gateways only send blocks."""
        self.host_header: str | None = None
        """The ``Host`` to send in place of the one in the URL; see :meth:`use_ip_as_host`."""
        self._penalty = 0.0
        self._penalised_at = 0.0

    @property
    def url(self) -> str:
        """The URL, without credentials."""
        return self.address.url

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every request to the gateway carries, beside its credentials."""
        return {} if self.host_header is None else {"Host": self.host_header}

    def use_ip_as_host(self) -> None:
        """Send an IP address as ``Host`` from now on, in place of the name ``localhost``.

        Kubo redirects requests for ``localhost`` to a subdomain for each root, and answers those for ``127.0.0.1``.
        """
        self.host_header = self.address.netloc.replace("localhost", "127.0.0.1", 1)

    @property
    def penalty(self) -> float:
        """The failures of the gateway, the recent ones counting most; 0 for none."""
        return self._penalty * math.exp2((self._penalised_at - time.monotonic()) / HALF_LIFE)

    def failed(self) -> None:
        """Count a failure."""
        self._penalty, self._penalised_at = self.penalty + 1, time.monotonic()

    def succeeded(self) -> None:
        """Count a success, which halves the penalty."""
        if self._penalty:
            self._penalty, self._penalised_at = self.penalty / 2, time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        # time.monotonic() counts from another moment on another machine.
        return self.__dict__ | {"_penalty": 0.0, "_penalised_at": 0.0, "ready_at": 0.0}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.url}>"


def find_gateways(urls: str | Iterable[str] | None, token: str | None = None) -> list[Gateway]:
    """Return the gateways that the caller gives, else those that the environment or a file names; none is public.

    Source of the places: https://specs.ipfs.tech/ipips/ipip-0280/.

    :raises ValueError: if there is no gateway, one is no URL, or a token would go to several gateways
    """
    source = None
    if urls is None:
        named = named_gateways()
        if named is None:
            raise ValueError(
                "expected a gateway, found none in $IPFS_GATEWAY, $IPFS_PATH/gateway, ~/.ipfs/gateway, "
                "~/.config/ipfs/gateway and /etc/ipfs/gateway: give its URL (a node on this machine has one at "
                "http://127.0.0.1:8080). No public gateway is asked unless you name it"
            )
        urls, source = named
    given = [urls] if isinstance(urls, str) else list(dict.fromkeys(urls))
    if not given:
        raise ValueError("expected at least one gateway, found an empty list")
    if token is not None and len(given) > 1:
        raise ValueError(
            f"expected one gateway to send the token to, found {len(given)}: put each one's own credentials into "
            f"its URL, as https://user:password@gateway.example"
        )
    addresses = [_parse(url, source) for url in given]
    if token is not None:
        addresses = [replace(address, secret=bearer_secret(token)) for address in addresses]
    return [Gateway(address) for address in addresses]


def _parse(url: str, source: str | None) -> Address:
    place = "" if source is None else f" in {source}"
    try:
        address = replace(parse_url(url, "/ipfs"), source=source)
    except ValueError:
        raise ValueError(
            "expected the URL of a gateway as http://127.0.0.1:8080 or https://gateway.example, found something else"
            + place
        ) from None
    base, ipfs, rest = address.url.partition("/ipfs/")
    if ipfs and cids.is_cid(rest.partition("/")[0]):
        raise ValueError(
            f"expected the URL of a gateway, {base}, found that of something behind it: {address.url}{place}"
        )
    return address


def named_gateways() -> tuple[list[str], str] | None:
    """Return the URLs of the first place of this machine that names any, and the place; None if none does."""
    url = os.environ.get("IPFS_GATEWAY", "").strip()
    if url:
        return [url], "$IPFS_GATEWAY"
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    folders = [os.environ.get("IPFS_PATH"), "~/.ipfs", f"{config}/ipfs", "/etc/ipfs"]
    for folder in filter(None, folders):
        file = Path(folder).expanduser() / "gateway"
        if file.is_file():
            lines = file.read_text("utf-8", errors="replace").splitlines()
            urls = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            if urls:
                return urls, str(file)
    return None


class CorruptAnswers:
    """The gateways that sent wrong bytes, by block. Bounded; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: LRU[tuple[str, bytes], bool] = LRU(_MAX_CORRUPT)

    def add(self, gateway: Gateway, cid: bytes) -> None:
        """Remember that a gateway sent wrong bytes for a block."""
        with self._lock:
            self._known.put((gateway.url, cids.multihash_of(cid)), value=True)

    def __contains__(self, pair: tuple[Gateway, bytes]) -> bool:
        gateway, cid = pair
        return len(self._known) > 0 and (gateway.url, cids.multihash_of(cid)) in self._known

    def __reduce__(self) -> tuple[type[CorruptAnswers], tuple[()]]:
        return CorruptAnswers, ()  # a copy in another process starts without
