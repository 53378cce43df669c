"""Requests over HTTP as untrusted servers need it: every read is watched, redirects are not followed.

The pools of connections are made by requests, which reads proxies and certificates from the environment. Calls go to
the urllib3 pools below requests: a call through a session of requests costs a millisecond of Python.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
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
        self.session: requests.Session | None = None
        self.routes: dict[str, _Route] = {}


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
    ) -> Response:
        """Send a request and return the response, its body still to be read.

        :param path: the rest of the URL after that of the address, from a slash on, with its query
        :param body: the pieces of the request's body; ``headers`` hold its ``Content-Length``
        :param timeout: the seconds that the server may be silent, by default those of the client
        :raises TransportError: if there is no response
        """
        wait = self.timeout if timeout is None else timeout
        authorization = {} if address.secret is None else {"Authorization": address.secret.reveal()}
        route = self._route(address)
        try:
            response = route.pool.urlopen(
                method,
                route.prefix + path,
                body=body,
                headers={**_HEADERS, **route.headers, **authorization, **headers},
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

    def _route(self, address: Address) -> _Route:
        mine = self._connections.value
        route = mine.routes.get(address.url)
        if route is None:
            with mine.lock:
                if mine.session is None:
                    mine.session = _new_session()
                route = mine.routes.get(address.url) or _new_route(mine.session, address)
                mine.routes[address.url] = route
        return route

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        mine = self._connections.value
        with mine.lock:
            session, mine.session = mine.session, None
            routes, mine.routes = mine.routes, {}
        for route in routes.values():  # a session of requests closes a pool only when nothing refers to it
            route.pool.close()
        if session is not None:
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
    watch_pool(pool)
    proxy = select_proxy(url, proxies)
    if proxy and url.startswith("http://") and not proxy.startswith("socks"):
        return _Route(pool, url, adapter.proxy_headers(proxy))
    scheme_and_host = "/".join(url.split("/", 3)[:3])
    return _Route(pool, url.removeprefix(scheme_and_host), {})
