"""Calls of an IPFS node's RPC API: https://docs.ipfs.tech/reference/kubo/rpc/."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import version
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlencode, urlsplit

import requests
from ipld_car import cids
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, Timeout
from urllib3.exceptions import (
    ClosedPoolError,
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from ipld_castore._http.retry_after import seconds_of
from ipld_castore._http.wire import watch_all
from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError

from .address import Node
from .response import Answer, odd

GRACE: Final = 10.0
"""Seconds beyond the timeout, in which the node says itself that it is over."""

_DAY: Final = "24h"
"""The node's own timeout for what may take long, as it needs one with a unit; silence ends a call much earlier."""

_CONNECTIONS: Final = 64

_PAUSES: Final = (0.05, 0.5)
"""Seconds before a call is repeated that the node, or what stands before it, broke off."""

_MAX_PAUSE: Final = 60.0
"""Seconds that what stands before the node may ask for."""

_NOT_FOUND: Final = ("ipld: could not find", "block not found")
_GAVE_UP: Final = ("context deadline exceeded", "request timed out", "deadline has elapsed")

Options = Mapping[str, str | list[str]]


class Body(NamedTuple):
    """What a call sends: pieces that can be gone through again if it is repeated."""

    pieces: Iterable[bytes]
    size: int
    """Bytes of all pieces; the node is told before, as it cuts bodies of unknown length off."""
    content: str
    """The media type."""


class RefusedError(BackendUnavailableError):
    """The node understood the call, and cannot or will not do it."""


class RPC:
    """The RPC API of one node. Safe with threads and forks; a pickle has connections of its own.

    The connections are those of pools below requests, which cost a call a fourth of what a session does; proxies
    and certificates are what requests makes of the environment.

    :param timeout: seconds that the node may take for a block, and that it may be silent
    """

    def __init__(self, node: Node, timeout: float) -> None:
        self.node = node
        self.timeout = timeout
        self._host = urlsplit(node.url).netloc
        self._process = os.getpid()
        self._pools: dict[bool, tuple[HTTPConnectionPool, str]] = {}
        """By whether a connection ends with its answer."""

    def close(self) -> None:
        """Let the connections go; the next call makes new ones."""
        pools, self._pools = self._pools, {}
        if self._process == os.getpid():
            for pool, _ in pools.values():
                pool.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pools": {}}

    def _pool(self, *, until_close: bool = False) -> tuple[HTTPConnectionPool, str]:
        """Connections of this process, and what stands before a command in a request."""
        if self._process != os.getpid():  # a fork must not speak on those of its parent
            self._process, self._pools = os.getpid(), {}
        pool = self._pools.get(until_close)
        return self._pools.setdefault(until_close, self._new_pool(until_close=until_close)) if pool is None else pool

    def _new_pool(self, *, until_close: bool) -> tuple[HTTPConnectionPool, str]:
        session = requests.Session()
        session.trust_env = not self.node.is_loopback  # HTTP_PROXY would send the call elsewhere
        call = requests.Request("POST", f"{self.node.url}/api/v0/").prepare()
        settings = session.merge_environment_settings(call.url, {}, None, None, None)
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS)
        pool = adapter.get_connection_with_tls_context(
            call, settings["verify"], proxies=settings["proxies"], cert=settings["cert"]
        )
        base = adapter.request_url(call, settings["proxies"])
        http_pool = cast("HTTPConnectionPool", pool)  # so its stubs should say
        watch_all(http_pool, until_close=until_close)
        return http_pool, base

    def _headers(self, body: Body | None) -> dict[str, str]:
        headers = {"User-Agent": f"ipld-castore/{_version()}", "Accept-Encoding": "identity"}
        headers["Host"] = self._host  # in HTTP/1.0 nobody adds it, and what stands before a node may go by it
        if self.node.secret is not None:
            headers["Authorization"] = self.node.secret.reveal()
        if body is None:
            headers["Content-Length"] = "0"
        else:
            headers |= {"Content-Length": str(body.size), "Content-Type": body.content}
        return headers

    @contextmanager
    def call(
        self,
        command: str,
        options: Options | None = None,
        *,
        cid: bytes | None = None,
        body: Body | None = None,
        long: bool = False,
        silent: float | None = None,
        repeat: bool = True,
        until_close: bool = False,
    ) -> Iterator[Answer]:
        """The answer to a command.

        :param options: its arguments and options
        :param cid: the binary CID that it is about, for errors
        :param body: what to send with it
        :param long: it may take more than the timeout, as long as it is not silent
        :param silent: seconds that it may be silent, by default a little more than the timeout
        :param repeat: whether it does no harm to do it twice
        :param until_close: on a connection of its own, whose end is that of the answer, also of one that is broken off
        :raises BlockNotFoundError: if the node says so
        :raises BackendUnavailableError: if there is no answer, or it is broken off, or says that it cannot be done
        """
        limit = _DAY if long else f"{max(round(self.timeout * 1000), 1)}ms"
        wait = self.timeout + GRACE if silent is None else silent
        send = partial(self._send, command, {**(options or {}), "timeout": limit}, body, wait, until_close=until_close)
        answer, response = self._answered(command, send, wait, repeat=repeat)
        try:
            if answer.status != 200:
                raise self._refusal(command, cid, answer)
            yield answer
        except HTTPError as error:
            raise BackendUnavailableError(
                f"the IPFS node at {self.node.url} broke off its answer to {command}: {error}"
            ) from error
        finally:
            # A body that was read has given its connection back already; what is not wanted is not read.
            response.close()

    def _answered(
        self, command: str, send: Callable[[], BaseHTTPResponse], wait: float, *, repeat: bool
    ) -> tuple[Answer, BaseHTTPResponse]:
        for pause in (*_PAUSES, None) if repeat else (None,):
            try:
                response = send()
            except (ProtocolError, ClosedPoolError) as error:  # a node that was restarted, a store that was closed
                if pause is None:
                    raise self._unanswered(command, error, wait) from error
            except (HTTPError, requests.RequestException) as error:
                raise self._unanswered(command, error, wait) from error
            else:
                if pause is None or response.status not in {429, 502, 503, 504}:
                    return Answer(response, self.node.url), response
                response.close()
                asked = seconds_of(response.headers.get("Retry-After")) or 0.0
                pause = max(pause, min(asked, _MAX_PAUSE))  # noqa: PLW2901  # only of this round
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _send(
        self, command: str, options: Options, body: Body | None, wait: float, *, until_close: bool
    ) -> BaseHTTPResponse:
        pool, base = self._pool(until_close=until_close)
        return pool.urlopen(
            "POST",
            base + command + "?" + urlencode(options, doseq=True),
            body=None if body is None else iter(body.pieces),
            headers=self._headers(body),
            retries=False,
            redirect=False,
            assert_same_host=False,
            # The node's own timeout comes first, as it says what it waited for.
            timeout=Timeout(connect=min(self.timeout, 10.0), read=wait),
            preload_content=False,
            decode_content=False,
        )

    def _unanswered(self, command: str, error: Exception, wait: float) -> BackendUnavailableError:
        """The error that it means when a call fails before there is an answer."""
        url = self.node.url
        if isinstance(error, ReadTimeoutError):
            return BackendUnavailableError(f"the IPFS node at {url} was silent for {wait:g} s after {command}")
        if not isinstance(error, (NewConnectionError, ConnectTimeoutError)):
            return BackendUnavailableError(f"{command} did not reach the IPFS node at {url}: {error}")
        told = f" (the address is from {self.node.source}, which may be stale)" if self.node.source else ""
        return BackendUnavailableError(
            f"no IPFS node answers at {url}{told}: start one with `ipfs daemon`, or give the address of its RPC API "
            f"as IPFSStore(host)"
        )

    def _refusal(self, command: str, cid: bytes | None, answer: Answer) -> Exception:
        """The error that an answer other than 200 means."""
        url, status = self.node.url, answer.status
        if status in {301, 302, 303, 307, 308}:
            return odd(url, f"{command} with a redirect, which is not followed")
        if status == 403:
            return BackendUnavailableError(
                f"the IPFS node at {url} forbids {command}: its API.Authorizations ask for credentials, which can "
                f"be given as http://user:password@host:port, or IPFSStore(host, auth='bearer:token')"
            )
        if status != 500:
            return odd(url, f"{command} with HTTP {status} {answer.read()[:200]!r}")
        message = answer.field(answer.json(), "Message", str)
        block = "" if cid is None else f" {cids.to_text(cid)}"
        if any(sign in message for sign in _NOT_FOUND) and command.startswith(("block/", "dag/export")):
            return BlockNotFoundError(f"no block{block} on the IPFS node at {url}")
        if command == "block/get" and any(sign in message for sign in _GAVE_UP):
            return BlockNotFoundError(
                f"no block{block} on the IPFS node at {url}, nor in the network within {self.timeout:g} s"
            )
        return RefusedError(f"the IPFS node at {url} cannot do {command}{block and ' of'}{block}: {message[:500]}")


@cache
def _version() -> str:
    return version("ipld-castore")
