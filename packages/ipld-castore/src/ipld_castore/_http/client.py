"""Requests over HTTP as untrusted servers need it: every read is watched, redirects are not followed.

The pools of connections are made by requests, which reads proxies and certificates from the environment. Calls go to
the urllib3 pools below requests: a call through a session of requests costs a millisecond of Python.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from ipld_castore.concurrency import ForkLocal

from .address import Address
from .deadline import watch_pool
from .errors import TransportError, transport_error
from .logs import query_hidden
from .response import Response

_POOL_SIZE: Final = 64
"""Connections to one server that stay open. More are opened when they are needed, and closed after use."""

_CONNECT_SECONDS: Final = 10.0

_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": f"ipld-castore/{version('ipld-castore')}"}


class _Route(NamedTuple):
    """The way to a server."""

    pool: HTTPConnectionPool
    prefix: str
    """What precedes the path in a request: the path of the address, and the whole URL where a proxy is asked."""
    headers: dict[str, str]
    """Headers for the proxy."""


class _Connections:
    """The connections of one process, which are made when they are needed, under the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sessions: dict[bool, requests.Session] = {}
        """By whether connections end with their response."""
        self.routes: dict[tuple[str, bool], _Route] = {}
        """By the URL of the server, and the same."""


class HTTPClient:
    """Connections to several servers, kept open between requests.

    Threads may share a client. A fork and a pickle open connections of their own.

    :param timeout: the seconds that a server may be silent, unless a request says otherwise
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._connections = ForkLocal(_Connections)

    def request(
        self,
        method: str,
        address: Address,
        path: str,
        headers: Mapping[str, str],
        *,
        body: Iterable[bytes] | None = None,
        timeout: float | None = None,
        until_close: bool = False,
        has_secret_query: bool = False,
    ) -> Response:
        """Send a request and return the response, its body still to be read.

        :param path: the rest of the URL after that of the address, from a slash on, with its query
        :param body: the pieces of the request's body; ``headers`` hold its ``Content-Length``
        :param timeout: the seconds that the server may be silent, by default those of the client
        :param until_close: whether a body of unknown length comes in one piece that ends with the connection, as in
            HTTP/1.0. Nothing tells whether it was broken off: the caller verifies it
        :param has_secret_query: whether no log is to have the query of ``path``
        :raises TransportError: if there is no response
        """
        wait = self.timeout if timeout is None else timeout
        authorization = {} if address.secret is None else {"Authorization": address.secret.reveal()}
        route = self._route(address, until_close=until_close)
        host = {"Host": address.netloc} if until_close else {}  # which HTTP/1.0 has not of itself
        try:
            with query_hidden() if has_secret_query else nullcontext():
                response = route.pool.urlopen(
                    method,
                    route.prefix + path,
                    body=body,
                    headers={**_HEADERS, **route.headers, **authorization, **host, **headers},
                    redirect=False,
                    retries=False,
                    assert_same_host=False,  # a proxy is asked for the whole URL
                    preload_content=False,
                    decode_content=False,
                    timeout=Timeout(connect=min(self.timeout, _CONNECT_SECONDS), read=wait),
                )
        except HTTPError as error:
            raise transport_error(error, wait) from error
        return Response(response, wait)

    def _route(self, address: Address, *, until_close: bool) -> _Route:
        mine = self._connections.value
        key = address.url, until_close
        route = mine.routes.get(key)
        if route is None:
            with mine.lock:
                if until_close not in mine.sessions:
                    mine.sessions[until_close] = _new_session()
                route = mine.routes.get(key)
                if route is None:
                    route = mine.routes[key] = _new_route(mine.sessions[until_close], address)
                    watch_pool(route.pool, until_close=until_close)
        return route

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        mine = self._connections.value
        with mine.lock:
            sessions, mine.sessions = mine.sessions, {}
            routes, mine.routes = mine.routes, {}
        for route in routes.values():  # a session of requests closes a pool only when nothing refers to it
            route.pool.close()
        for session in sessions.values():
            session.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return HTTPClient, (self.timeout,)


def _new_session() -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=16, pool_maxsize=_POOL_SIZE))
    return session


def _new_route(session: requests.Session, address: Address) -> _Route:
    url = address.url
    session.trust_env = not address.is_loopback  # HTTP_PROXY would send the request to another machine
    try:
        settings = session.merge_environment_settings(url, {}, None, None, None)
        request = requests.Request("GET", url).prepare()
        adapter = session.get_adapter(url)
        assert isinstance(adapter, HTTPAdapter)  # noqa: S101  # mounted above
        proxies = settings["proxies"]
        pool = adapter.get_connection_with_tls_context(request, settings["verify"], proxies, settings["cert"])
    except (requests.RequestException, OSError) as error:
        raise TransportError(f"cannot connect as the environment says: {error}") from error
    assert isinstance(pool, HTTPConnectionPool)  # noqa: S101  # as urllib3 makes them for both schemes
    proxy = select_proxy(url, proxies)
    if proxy and url.startswith("http://") and not proxy.startswith("socks"):
        return _Route(pool, url, adapter.proxy_headers(proxy))
    scheme_and_host = "/".join(url.split("/", 3)[:3])
    return _Route(pool, url.removeprefix(scheme_and_host), {})
