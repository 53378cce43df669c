"""What a :class:`~.fault_proxy.FaultProxy` can do to one request instead of the right answer."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from .fault_proxy import Exchange, Fault, right


def status(code: int, reason: str, body: str = "", headers: str = "") -> Fault:
    """Answer with a status; the request is not passed on."""

    async def act(exchange: Exchange) -> None:
        data = body.encode()
        head = (
            f"HTTP/1.1 {code} {reason}\r\nContent-Type: application/xml\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
        )
        await exchange.send(head.encode() + (b"" if exchange.request.method == "HEAD" else data))

    return act


slow_down = status(
    503, "Slow Down", "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
"""What S3 answers when requests come too fast."""


def reset_body(after: int = 10) -> Fault:
    """Break the connection after so many bytes of the answer's body."""

    async def act(exchange: Exchange) -> None:
        answer = await exchange.forward()
        await exchange.send(answer.head + answer.body[:after])
        await asyncio.sleep(0.01)  # an RST overtakes what the client has not read yet
        await exchange.reset()

    return act


def truncated(after: int = 10) -> Fault:
    """Close the connection in good order after so many bytes of the answer's body."""

    async def act(exchange: Exchange) -> None:
        answer = await exchange.forward()
        await exchange.send(answer.head + answer.body[:after])
        await exchange.hang_up()

    return act


async def lost_answer(exchange: Exchange) -> None:
    """Pass the request on, and break the connection instead of answering."""
    await exchange.forward()
    await exchange.reset()


async def lost_request(exchange: Exchange) -> None:
    """Break the connection; the server never sees the request."""
    await exchange.reset()


async def answered_503(exchange: Exchange) -> None:
    """Pass the request on, and answer 503: the server did it, and says that it did not."""
    await exchange.forward()
    await slow_down(exchange)


def stall(after: int = 0) -> Fault:
    """Send so many bytes of the answer's body, and then nothing until the proxy closes."""

    async def act(exchange: Exchange) -> None:
        answer = await exchange.forward()
        if after:
            await exchange.send(answer.head + answer.body[:after])
        await exchange.proxy.closing.wait()
        await exchange.reset()

    return act


async def wrong_bytes(exchange: Exchange) -> None:
    """Answer with as many bytes as there are, each of them another."""
    answer = await exchange.forward()
    await exchange.send(answer.head + bytes(byte ^ 0xFF for byte in answer.body))


async def changed_upload(exchange: Exchange) -> None:
    """Pass other bytes on than the client has sent."""
    request = exchange.request
    exchange.request = request._replace(body=bytes(byte ^ 0xFF for byte in request.body))
    await right(exchange)


def held(requests: int, seconds: float = 20.0) -> Fault:
    """Answer once so many requests wait for their answers: does a client have so many under way?

    After so many seconds they are answered anyway; :attr:`FaultProxy.most_in_flight` tells. To be injected for as many
    requests.
    """
    arrived = 0
    everyone: asyncio.Event | None = None

    async def act(exchange: Exchange) -> None:
        nonlocal arrived, everyone
        everyone = everyone or asyncio.Event()
        arrived += 1
        if arrived >= requests:
            everyone.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(everyone.wait(), seconds)
        await right(exchange)

    return act


def paused(at: threading.Event, go: threading.Event) -> Fault:
    """Set ``at`` when the request is there, and pass it on when ``go`` is set."""

    async def act(exchange: Exchange) -> None:
        at.set()
        await asyncio.to_thread(go.wait, 20)
        await right(exchange)

    return act


def unquoted_etags(*, strict: bool) -> Fault:
    """Strip the quotes of ETags, as some servers do.

    versitygw itself takes both forms.

    :param strict: refuse what comes back without quotes, else refuse what comes back with them
    """

    async def act(exchange: Exchange) -> None:
        told = exchange.request.headers.get("if-match")
        if told is not None and told.startswith('"') != strict:
            await status(412, "Precondition Failed", "<Error><Code>PreconditionFailed</Code></Error>")(exchange)
            return
        answer = await exchange.forward()
        lines = [
            line.replace(b'"', b"") if line.lower().startswith(b"etag:") else line
            for line in answer.head.split(b"\r\n")
        ]
        await exchange.send(b"\r\n".join(lines) + answer.body)

    return act
