"""The gateways to ask: given or found, how each has behaved, and when it may be asked again."""

from __future__ import annotations

import ipaddress
import math
import os
import threading
import time
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ipld_car import cids

FORGIVENESS: Final = 60.0
"""Seconds in which half of what a gateway did wrong is forgotten."""

_MAX_LIES: Final = 4096
"""Pairs of gateway and block that are remembered because the bytes were wrong."""


class Gateway:
    """One gateway. Its credentials go into requests, and into no text."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url, self._authorization = _parse(url)
        if token is not None:
            if not token.isascii() or not token.isprintable() or not token or " " in token:
                raise ValueError("expected a token of printable ASCII without spaces, found something else")
            self._authorization = f"Bearer {token}"
        self._blame = 0.0
        self._blamed_at = 0.0
        self.ready_at = 0.0
        """By ``time.monotonic()``, when it may be asked again."""
        self.gives_cars = True
        """Whether it may send CARs; some only send blocks."""

    @property
    def headers(self) -> dict[str, str]:
        """What every request to it carries."""
        return {} if self._authorization is None else {"Authorization": self._authorization}

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where no proxy leads to."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def blame(self) -> float:
        """How much it did wrong lately; 0 is nothing."""
        return self._blame * math.exp2((self._blamed_at - time.monotonic()) / FORGIVENESS)

    def failed(self) -> None:
        """Note that it did something wrong."""
        self._blame, self._blamed_at = self.blame + 1, time.monotonic()

    def succeeded(self) -> None:
        """Note that it did what it should; that makes up for half of what was before."""
        if self._blame:
            self._blame, self._blamed_at = self.blame / 2, time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        # The clock is that of this machine since it was started.
        return self.__dict__ | {"_blame": 0.0, "_blamed_at": 0.0, "ready_at": 0.0}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.url}>"


def _parse(text: str) -> tuple[str, str | None]:
    """The URL of a gateway without credentials, and the header that they make."""
    try:
        parts = urlsplit(text)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        # Nothing of the text: there may be a password in it.
        raise ValueError(
            "expected the URL of a gateway as http://127.0.0.1:8080 or https://gateway.example, found something else"
        ) from None
    url = f"{parts.scheme}://{host}{port}{parts.path.rstrip('/').removesuffix('/ipfs')}"
    if parts.username is None:
        return url, None
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return url, f"Basic {b64encode(credentials.encode()).decode()}"


def find_gateways(urls: str | Iterable[str] | None, token: str | None = None) -> list[Gateway]:
    """The gateways that the caller names, else those that the environment or a file names; none that is public.

    Source of the places: https://specs.ipfs.tech/ipips/ipip-0280/.

    :raises ValueError: if there are none, one is no URL, or a token would go to several
    """
    source = None
    if urls is None:
        urls, source = _found()
    given = [urls] if isinstance(urls, str) else list(dict.fromkeys(urls))
    if not given:
        raise ValueError("expected at least one gateway, found an empty list")
    if token is not None and len(given) > 1:
        raise ValueError(
            f"expected one gateway to send the token to, found {len(given)}: put each one's own credentials into "
            f"its URL, as https://user:password@gateway.example"
        )
    try:
        return [Gateway(url, token) for url in given]
    except ValueError as error:
        raise ValueError(f"{error} in {source}") from None if source else error


def _found() -> tuple[list[str], str]:
    """The URLs of the first place that names any, and the place."""
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
    raise ValueError(
        "expected a gateway, found none in $IPFS_GATEWAY, $IPFS_PATH/gateway, ~/.ipfs/gateway, "
        "~/.config/ipfs/gateway and /etc/ipfs/gateway: give its URL (a node on this machine has one at "
        "http://127.0.0.1:8080). No public gateway is asked unless you name it"
    )


class Lies:
    """Which gateway gave wrong bytes for which block. Bounded; safe with threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def note(self, gateway: Gateway, cid: bytes) -> None:
        """Remember that a gateway gave wrong bytes."""
        with self._lock:
            self._known[gateway.url, cids.multihash_of(cid)] = None
            if len(self._known) > _MAX_LIES:
                self._known.popitem(last=False)

    def __contains__(self, pair: tuple[Gateway, bytes]) -> bool:
        gateway, cid = pair
        return bool(self._known) and (gateway.url, cids.multihash_of(cid)) in self._known

    def __reduce__(self) -> tuple[type[Lies], tuple[()]]:
        return Lies, ()  # a copy finds out for itself
