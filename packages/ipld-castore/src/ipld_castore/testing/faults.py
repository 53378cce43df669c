"""Ways in which servers fail, for :meth:`ipld_castore.testing.BlockServer.inject`.

Each is a :class:`~ipld_castore.testing.Fault`, or a function that makes one::

    with BlockServer() as server:
        server.inject(faults.wrong_bytes, where="format=raw")
        server.inject(faults.too_many_requests(seconds=1), times=2)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from itertools import count
from threading import Barrier, BrokenBarrierError

from ipld_car import CarReader, CarWriter, cids, hashes

from .server.block_server import Exchange, Fault
from .server.replies import CAR_TYPE, Reply, json_reply, kubo_error, pinning_failure, reply, text_reply

__all__ = [
    "broken_json",
    "carried_out_but_reset",
    "close_at_once",
    "endless_body",
    "endless_pages",
    "error_page",
    "error_with_message",
    "held",
    "missing_child",
    "pinning_error",
    "redirect",
    "reset",
    "reset_upload",
    "slow_drip",
    "stall",
    "status",
    "too_many_requests",
    "truncated_car",
    "unknown_block",
    "wrong_bytes",
    "wrong_length",
]


def _changed(change: Callable[[bytes], bytes], *, says: int | None = None) -> Callable[[Exchange], None]:
    """Send the right response with other bytes; ``says`` is added to its ``Content-Length``."""

    def act(exchange: Exchange) -> None:
        right = exchange.reply()
        data = change(right.data())
        headers = {name: value for name, value in right.headers.items() if name != "Content-Length"}
        headers["Content-Length"] = str(len(data) + (says or 0))
        exchange.send(Reply(right.status, headers, [data]))
        if says:
            exchange.hang_up()

    return act


wrong_bytes = Fault("wrong bytes", _changed(lambda data: data[:-1] + bytes([data[-1] ^ 1]) if data else b"\0"))
"""Send the right response with its last byte changed: that of a block, or of the last block of a CAR."""


def wrong_length(extra: int) -> Fault:
    """Send a ``Content-Length`` that is larger than the body, or, where negative, smaller."""
    return Fault(f"length {extra:+}", _changed(bytes, says=extra))


truncated_car = Fault("truncated CAR", _changed(lambda data: data[: len(data) * 2 // 3 or 1]))
"""Send two thirds of the right response, and end it properly."""


def _without_last_block(data: bytes) -> bytes:
    reader = CarReader(data, verify=False)
    blocks = list(reader)
    stream = BytesIO()
    with CarWriter(stream, reader.roots, verify=False) as writer:
        for block in blocks[:-1]:
            writer.write(block.cid_bytes, block.data)
    return stream.getvalue()


missing_child = Fault("missing child", _changed(_without_last_block))
"""Send a CAR without its last block, otherwise complete, as gateways do when they cannot find a block."""


def unknown_block(data: bytes = b"nobody asked for this") -> Fault:
    """Send a CAR with a block, before the last one, that is not in the graph."""

    def insert(archive: bytes) -> bytes:
        reader = CarReader(archive, verify=False)
        *blocks, last = list(reader)
        stream = BytesIO()
        with CarWriter(stream, reader.roots, verify=False) as writer:
            for block in blocks:
                writer.write(block.cid_bytes, block.data)
            writer.write(cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, data)), data)
            writer.write(last.cid_bytes, last.data)
        return stream.getvalue()

    return Fault("unknown block", _changed(insert))


def error_page(media_type: str | None = "text/html") -> Fault:
    """Send an error page with status 200; without a media type, with the one that was requested."""

    def act(exchange: Exchange) -> None:
        right = exchange.reply()
        page = b"<html><h1>504 Gateway Time-out</h1></html>"
        exchange.send(reply(200, page, media_type or right.headers["Content-Type"]))

    return Fault(f"error page as {media_type or 'what was asked for'}", act)


def _endless(exchange: Exchange) -> None:
    right = exchange.reply()
    headers = {name: value for name, value in right.headers.items() if name != "Content-Length"}
    exchange.send(Reply(right.status, headers, _for_ever(exchange, right), buffered=False))


def _for_ever(exchange: Exchange, right: Reply) -> Iterator[bytes]:
    yield from right.body
    is_car = right.headers.get("Content-Type", "").startswith(CAR_TYPE)
    for number in count():
        data = number.to_bytes(8) * 8192
        if is_car:
            stream = BytesIO()
            with CarWriter(stream, [], verify=False) as writer:
                start = len(stream.getvalue())
                writer.write(cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, data)), data)
            data = stream.getvalue()[start:]
        if exchange.server.stopping.is_set():
            return
        yield data


endless_body = Fault("endless body", _endless)
"""Send the right response, and more bytes without end; in a CAR, valid blocks that are not in the graph."""


def slow_drip(seconds: float = 0.05) -> Fault:
    """Send the right response byte by byte, with a pause after each."""

    def act(exchange: Exchange) -> None:
        right = exchange.reply()

        def drops() -> Iterator[bytes]:
            for at in range(len(data := right.data())):
                yield data[at : at + 1]
                if not exchange.wait(seconds):
                    return

        exchange.send(Reply(right.status, right.headers, drops(), buffered=False))

    return Fault("slow drip", act)


def stall(after: int | None = None) -> Fault:
    """Send the right response up to so many bytes of its body, then nothing; with None not even a status.

    The connection stays open until the server stops.
    """

    def act(exchange: Exchange) -> None:
        right = exchange.reply()

        def start() -> Iterator[bytes]:
            yield right.data()[:after]
            exchange.wait(3600)

        if after is None:
            exchange.wait(3600)
        else:
            exchange.send(Reply(right.status, right.headers, start(), buffered=False))
        exchange.hang_up()

    return Fault("silence" if after is None else f"stall after {after}", act)


def held(requests: int, *, seconds: float = 50.0) -> Fault:
    """Send the right response once so many requests wait for theirs: a test that a client has so many in flight.

    Unlike a latency, this does not depend on the speed of the machine. After so many seconds the requests that wait are
    answered anyway, and :attr:`BlockServer.most_in_flight <ipld_castore.testing.BlockServer.most_in_flight>` is
    smaller. Inject it for as many requests, or a multiple.
    """
    barrier = Barrier(requests)

    def act(exchange: Exchange) -> None:
        with suppress(BrokenBarrierError):  # the time is over, for all of them
            barrier.wait(seconds)
        exchange.send(exchange.reply())

    return Fault(f"held until {requests} wait", act)


def redirect(location: str, code: int = 302) -> Fault:
    """Send a redirect."""
    return Fault(f"redirect {code}", lambda exchange: exchange.send(text_reply(code, "Found", Location=location)))


def status(code: int, text: str = "", **headers: str) -> Fault:
    """Send a status with a text. Underscores in the names of headers are hyphens."""
    told = "".join(f", {name} {value}" for name, value in headers.items())
    return Fault(f"status {code}{told}", lambda exchange: exchange.send(text_reply(code, text, **headers)))


def too_many_requests(seconds: float, *, as_date: bool = False, code: int = 429) -> Fault:
    """Send status 429, or another of a busy server, with ``Retry-After`` in seconds or as a date."""

    def act(exchange: Exchange) -> None:
        told = str(round(seconds))
        if as_date:
            told = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        exchange.send(text_reply(code, "slow down", Retry_After=told))

    return Fault(f"status {code}, wait {'until' if as_date else 'for'} {seconds:g} s", act)


def error_with_message(message: str, code: int = 500) -> Fault:
    """Send an error as Kubo's RPC reports it, for example ``"context deadline exceeded"``."""
    return Fault(f"{code} {message}", lambda exchange: exchange.send(kubo_error(message, code)))


def reset(after: int | None = None) -> Fault:
    """Reset the connection after so many bytes of the body; with None before the response."""

    def act(exchange: Exchange) -> None:
        right = exchange.reply()
        if after is not None:
            exchange.send(Reply(right.status, _with_length(right), [right.data()[:after]], buffered=False))
        exchange.reset()

    return Fault("reset" if after is None else f"reset after {after}", act)


def _with_length(right: Reply) -> dict[str, str]:
    """Return the headers with the length of the body, so that a client notices a missing end."""
    return right.headers | {"Content-Length": str(len(right.data()))}


def reset_upload(after: int = 1000) -> Fault:
    """Reset the connection after so many bytes of the request's body; no block of it is put."""

    def act(exchange: Exchange) -> None:
        exchange.read_body(after)
        exchange.reset()

    return Fault(f"reset upload after {after}", act, before_body=True)


def _close(exchange: Exchange) -> None:
    exchange.hang_up()


close_at_once = Fault("closed", _close)
"""Close the connection without a response, as an idle one may be when a request arrives."""


# -- of pinning services --


def pinning_error(code: int, reason: str, details: str = "", **headers: str) -> Fault:
    """Send an error as a pinning service does, such as 409 ``"INSUFFICIENT_FUNDS"``."""

    def act(exchange: Exchange) -> None:
        failure = pinning_failure(code, reason, details)
        failure.headers |= {name.replace("_", "-"): text for name, text in headers.items()}
        exchange.send(failure)

    return Fault(f"{code} {reason}", act)


broken_json = Fault("broken JSON", _changed(lambda data: data[: len(data) * 2 // 3] or b"{"))
"""Send two thirds of the right response, and end it properly."""


def _carried_out(exchange: Exchange) -> None:
    exchange.reply()
    exchange.reset()


carried_out_but_reset = Fault("carried out, then reset", _carried_out)
"""Do what the request asks for, and reset the connection before the response."""


def endless_pages(*, new: bool = False) -> Fault:
    """Send pages of pins without end: the same page again and again, or with ``new`` always others, ever older."""
    numbers = count(1)

    def act(exchange: Exchange) -> None:
        page = exchange.server.reply_to(replace(exchange.request, query={"limit": ["1"], "status": _ANY}))
        value = json.loads(page.data())
        if new:
            number = next(numbers)
            created = datetime.fromisoformat("2020-01-01T00:00:00+00:00") - timedelta(seconds=number)
            value["results"][0] |= {"requestid": f"new-{number}", "created": created.isoformat()}
        exchange.send(json_reply(value | {"count": 3}))

    return Fault("endless pages, each new" if new else "the same page again", act)


_ANY = ["queued", "pinning", "pinned", "failed"]
