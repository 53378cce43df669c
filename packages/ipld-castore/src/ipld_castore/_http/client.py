"""GET over HTTP as untrusted servers need it: a watch over every read, no redirects, connections that are kept.

The pools are those of ``requests``, which knows about proxies and certificates; calls go to the urllib3 pools below
it, for a call through requests costs a millisecond of Python. Nothing here knows what is fetched.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final, Self

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout

from ipld_castore._gateway.retry import Failure, Why

from .wire import TooSlowError, read_within, watch_all

MAX_IN_FLIGHT: Final = 64
"""Connections to one server that are kept; more are opened when they are needed, and closed after use."""

_STEP: Final = 1 << 16
_CONNECT_SECONDS: Final = 10.0


class Answer:
    """An answer whose body is still to be read. Close it, or use it as a context."""

    def __init__(self, response: BaseHTTPResponse, timeout: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._timeout = timeout

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes of the body, at most ``size``; none at its end.

        :raises Failure: if the connection breaks, the body ends before its length, or it comes too slowly
        """
        try:
            return self._response.read1(_STEP if size < 0 else min(size, _STEP), decode_content=False)
        except HTTPError as error:
            raise _failure(error, self._timeout) from error

    def read_all(self, limit: int) -> bytes:
        """The whole body.

        :param limit: the most bytes that are read
        :raises Failure: if there are more, and as :meth:`read`
        """
        try:
            data = read_within(self._response, limit)
        except HTTPError as error:
            raise _failure(error, self._timeout) from error
        if data is None:
            raise Failure(Why.FAILED, f"expected at most {limit} bytes, found more")
        return data

    def drain(self) -> None:
        """Read what is left and does not matter, if it is little, so that the connection can be used again.

        Otherwise, and if that fails, the connection is closed: what the body was for has come already.
        """
        left = _STEP
        try:
            while left > 0 and (piece := self.read(left)):
                left -= len(piece)
        except Failure:
            pass  # see above
        self.close()

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        if self._response.closed:
            self._response.release_conn()
        else:
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Connections:
    """Connections to several servers, kept open between calls. Safe with threads; a fork opens its own.

    :param timeout: seconds that a server may be silent
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._session: requests.Session | None = None
        self._routes: dict[str, tuple[HTTPConnectionPool, str, dict[str, str]]] = {}

    def get(self, url: str, path: str, headers: Mapping[str, str], *, direct: bool, method: str = "GET") -> Answer:
        """The answer of a server, its body still to be read.

        :param url: scheme, host, port and maybe a path, without a slash at the end
        :param path: what follows, from its slash on, with its query
        :param direct: past any proxy that the environment names
        :raises Failure: if there is no answer
        """
        pool, prefix, more = self._route(url, direct=direct)
        try:
            response = pool.urlopen(
                method,
                prefix + path,
                headers={"Accept-Encoding": "identity", "User-Agent": _USER_AGENT, **more, **headers},
                redirect=False,
                retries=False,
                assert_same_host=False,  # by a proxy the whole URL is asked for
                preload_content=False,
                decode_content=False,
                timeout=Timeout(connect=min(self.timeout, _CONNECT_SECONDS), read=self.timeout),
            )
        except HTTPError as error:
            raise _failure(error, self.timeout) from error
        return Answer(response, self.timeout)

    def _route(self, url: str, *, direct: bool) -> tuple[HTTPConnectionPool, str, dict[str, str]]:
        """The pool for a server, what stands before a path there, and headers for a proxy on the way."""
        if self._process != os.getpid():  # the locks and sockets are those of the parent
            self._lock, self._session, self._routes, self._process = threading.Lock(), None, {}, os.getpid()
        route = self._routes.get(url)
        if route is None:
            with self._lock:
                route = self._routes.get(url) or self._new_route(url, direct=direct)
                self._routes[url] = route
        return route

    def _new_route(self, url: str, *, direct: bool) -> tuple[HTTPConnectionPool, str, dict[str, str]]:
        if self._session is None:
            self._session = requests.Session()
            for scheme in ("http://", "https://"):
                self._session.mount(scheme, HTTPAdapter(pool_connections=16, pool_maxsize=MAX_IN_FLIGHT))
        session = self._session
        session.trust_env = not direct
        settings = session.merge_environment_settings(url, {}, None, None, None)
        request = requests.Request("GET", url).prepare()
        adapter = session.get_adapter(url)
        assert isinstance(adapter, HTTPAdapter)  # noqa: S101  # mounted above
        proxies = settings["proxies"]
        pool = adapter.get_connection_with_tls_context(request, settings["verify"], proxies, settings["cert"])
        assert isinstance(pool, HTTPConnectionPool)  # noqa: S101  # as urllib3 makes them for both schemes
        watch_all(pool)
        proxy = select_proxy(url, proxies)
        if proxy and url.startswith("http://") and not proxy.startswith("socks"):
            return pool, url, adapter.proxy_headers(proxy)
        scheme_and_host = "/".join(url.split("/", 3)[:3])
        return pool, url.removeprefix(scheme_and_host), {}

    def close(self) -> None:
        """Close what is open; the next call opens new connections."""
        with self._lock:
            session, self._session, self._routes = self._session, None, {}
        if session is not None and self._process == os.getpid():
            session.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return Connections, (self.timeout,)


_USER_AGENT: Final = f"ipld-castore/{version('ipld-castore')}"


def _failure(error: HTTPError, timeout: float) -> Failure:
    """What it means that urllib3 gave up."""
    if isinstance(error, (ConnectTimeoutError, NewConnectionError)):
        return Failure(Why.SILENT, "nobody answers there")
    if isinstance(error, TooSlowError):
        return Failure(Why.SILENT, f"it sent {error.came} bytes in {timeout:g} s")
    if isinstance(error, ReadTimeoutError):
        return Failure(Why.SILENT, f"it was silent for {timeout:g} s")
    if isinstance(error, SSLError):
        return Failure(Why.FAILED, f"its certificate or encryption is no good: {error}")
    return Failure(Why.BUSY, f"the connection broke: {type(error).__name__}: {error}")
