"""Calls of an IPFS node's RPC API: https://docs.ipfs.tech/reference/kubo/rpc/."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode

from ipld_car import cids
from ipld_car.messages import Message, Term

from ipld_castore._core.pauses import pause_before_retry
from ipld_castore._http.address import Address
from ipld_castore._http.client import HTTPClient
from ipld_castore._http.errors import ConnectError, ConnectionBrokenError, SilenceError, TransportError
from ipld_castore._http.response import Response
from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError

from .response import RPCResponse, unexpected

GRACE: Final = 10.0
"""Seconds beyond the timeout, in which the node itself says that the time is over."""

_DAY: Final = "24h"
"""The node's own timeout for long commands, as it needs one with a unit. Silence ends a call much earlier."""

_RETRIES: Final = 2
"""How often a call is repeated that the node, or a proxy before it, broke off."""

_BUSY: Final = frozenset({429, 502, 503, 504})
"""Statuses with which a proxy says that another try may succeed."""

_NOT_FOUND: Final = ("ipld: could not find", "block not found")
_GAVE_UP: Final = ("context deadline exceeded", "request timed out", "deadline has elapsed")

sleep = time.sleep

Options = Mapping[str, str | list[str]]


class Body(NamedTuple):
    """The body of a call: pieces that can be iterated again if the call is repeated."""

    pieces: Iterable[bytes]
    size: int
    """The bytes of all pieces. It is sent first, as nodes cut off bodies of unknown length."""
    content: str
    """The media type."""


class RefusedError(BackendUnavailableError):
    """The node understood the call, and cannot or will not do it."""


class RPC:
    """The RPC API of one node. Threads may share it; a fork and a pickle have connections of their own.

    :param timeout: the seconds that the node may look for a block, and that it may be silent
    """

    def __init__(self, node: Address, timeout: float) -> None:
        self.node = node
        self.timeout = timeout
        self._client = HTTPClient(timeout)

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._client.close()

    def call(
        self,
        command: str,
        options: Options | None = None,
        *,
        cid: bytes | None = None,
        body: Body | None = None,
        long: bool = False,
        silence: float | None = None,
        repeat: bool = True,
        until_close: bool = False,
    ) -> RPCResponse:
        """Call a command and return its response, which the caller closes.

        :param options: arguments and options of the command
        :param cid: the binary CID that the command is about, for errors
        :param body: the body to send
        :param long: whether the command may take more than the timeout, as long as the node is not silent
        :param silence: the seconds that the node may be silent, by default a little more than the timeout
        :param repeat: whether the call may be repeated
        :param until_close: see :meth:`HTTPClient.request`
        :raises BlockNotFoundError: if the node says that it has no such block
        :raises BackendUnavailableError: if there is no response, or it is broken off, or the node cannot do it
        """
        limit = _DAY if long else f"{max(round(self.timeout * 1000), 1)}ms"
        path = f"/api/v0/{command}?{urlencode({**(options or {}), 'timeout': limit}, doseq=True)}"
        # The node's own timeout comes first, as the node says what it waited for.
        wait = self.timeout + GRACE if silence is None else silence
        response = self._send(command, path, body, wait, repeat=repeat, until_close=until_close)
        answer = RPCResponse(response, self.node.url, command)
        if answer.status != 200:
            with answer:
                raise self._refusal(command, cid, answer)
        return answer

    def _send(
        self, command: str, path: str, body: Body | None, wait: float, *, repeat: bool, until_close: bool
    ) -> Response:
        """Send a call, up to three times if it is broken off or a proxy is busy."""
        size, content = (0, {}) if body is None else (body.size, {"Content-Type": body.content})
        headers = {"Content-Length": str(size), **content}
        for left in range(_RETRIES if repeat else 0, -1, -1):
            asked = None
            pieces = None if body is None else iter(body.pieces)
            try:
                response = self._client.request(
                    "POST", self.node, path, headers, body=pieces, timeout=wait, until_close=until_close
                )
            except TransportError as error:
                if not left or not isinstance(error, ConnectionBrokenError):
                    raise self._no_response(command, error) from error
            else:
                if not left or response.status not in _BUSY:
                    return response
                response.close()
                asked = response.retry_after
            sleep(pause_before_retry(_RETRIES - left, asked))
        raise AssertionError("the last try returns or raises")

    def _no_response(self, command: str, error: TransportError) -> BackendUnavailableError:
        """Return the error for a call that failed before there was a response."""
        url = self.node.url
        if isinstance(error, SilenceError):
            return BackendUnavailableError(f"no response from the IPFS node at {url} to {command}: {error}")
        if not isinstance(error, ConnectError):
            return BackendUnavailableError(f"{command} did not reach the IPFS node at {url}: {error}")
        source = f" (the address is from {self.node.source}, which may be stale)" if self.node.source else ""
        return BackendUnavailableError(
            Message(
                f"no IPFS node answers at {url}{source}: start one with `ipfs daemon`, or give the address of its RPC "
                f"API ",
                Term("IPFSStore(host)", "as IPFSStore(host)"),
            )
        )

    def _refusal(self, command: str, cid: bytes | None, answer: RPCResponse) -> Exception:
        """Return the error for a response with a status other than 200."""
        url, status = self.node.url, answer.status
        if status in {301, 302, 303, 307, 308}:
            return unexpected(url, f"{command} with a redirect, which is not followed")
        if status == 403:
            return BackendUnavailableError(
                Message(
                    f"the IPFS node at {url} forbids {command}: its API.Authorizations ask for credentials, which can "
                    f"be given as http://user:password@host:port",
                    Term("IPFSStore(host, auth=...)", ", or IPFSStore(host, auth='bearer:token')"),
                )
            )
        if status != 500:
            return unexpected(url, f"{command} with HTTP {status} {answer.read_all()[:200]!r}")
        message = answer.field(answer.json(), "Message", str)
        block = "" if cid is None else f" {cids.to_text(cid)}"
        if any(sign in message for sign in _NOT_FOUND) and command.startswith(("block/", "dag/export")):
            return BlockNotFoundError(f"no block{block} on the IPFS node at {url}")
        if command == "block/get" and any(sign in message for sign in _GAVE_UP):
            return BlockNotFoundError(
                f"no block{block} on the IPFS node at {url}, nor in the network within {self.timeout:g} s"
            )
        return RefusedError(f"the IPFS node at {url} cannot do {command}{block and ' of'}{block}: {message[:500]}")
