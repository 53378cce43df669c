"""What no visitor may do: reach the server by a name that is not its own, write, or ask for too much at once."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .connections import Connections
from .headers import CORS, SAFE
from .limits import Limits

_METHODS = ("GET", "HEAD", "OPTIONS")


def host_of(header: str) -> str:
    """Return the host of a header ``Host``, without the port and the brackets of an IPv6 address.

    >>> host_of("localhost:8080"), host_of("[::1]:8080"), host_of("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    if header.startswith("["):
        return header[1:].partition("]")[0]
    host, colon, port = header.rpartition(":")
    return host.lower() if colon and port.isdigit() else header.lower()


class Guard:
    """Answers what is refused, and passes all else on.

    A website can make the browser of a visitor send requests to this machine. By DNS rebinding it does so under a name
    of its own, and could read the answers. So the header ``Host`` must be an IP address, ``localhost``, or a name that
    the user allowed.

    :param app: what answers
    :param hosts: names under which the server may be reached
    :param limits: how many requests are answered at a time; further ones are told to come again
    :param connections: where requests are noted
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Iterable[str] = (),
        limits: Limits | None = None,
        connections: Connections | None = None,
    ) -> None:
        self._app = app
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self._limits = limits or Limits()
        self._connections = connections or Connections(self._limits)
        self._answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visitor = scope.get("client")
        answer = self._busy if self._answered >= self._limits.requests else self._refusal(scope) or self._app
        self._answered += 1
        self._connections.begin(visitor)
        try:
            await answer(scope, receive, send)
        finally:
            self._answered -= 1
            self._connections.end(visitor)

    @property
    def _busy(self) -> PlainTextResponse:
        message = f"expected at most {self._limits.requests} requests at a time, found more: try again\n"
        return PlainTextResponse(message, 503, headers={**SAFE, "Retry-After": "1"})

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._is_ours(host_of(hosts[0])):
            message = f"expected a request to this machine by its address, found the host {','.join(hosts)[:100]!r}\n"
            return PlainTextResponse(message, 403, headers=SAFE)
        if scope["method"] not in _METHODS:
            headers = {**SAFE, "Allow": ", ".join(_METHODS)}
            return PlainTextResponse("expected GET, HEAD or OPTIONS: nothing is written here\n", 405, headers=headers)
        if scope["method"] == "OPTIONS":
            is_content = scope["path"].startswith(("/ipfs/", "/ipns/"))
            return PlainTextResponse("", 204, headers={**SAFE, **(CORS if is_content else {})})
        return None

    def _is_ours(self, host: str) -> bool:
        if host in self._hosts:
            return True
        try:
            ip_address(host)
        except ValueError:
            return False
        return True
