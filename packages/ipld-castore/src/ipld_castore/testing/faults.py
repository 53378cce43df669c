"""What servers do that they should not, for :meth:`ipld_castore.testing.BlockServer.inject`.

Each is a :class:`~ipld_castore.testing.Fault`, or a function that makes one::

    with BlockServer() as server:
        server.inject(faults.wrong_bytes, where="format=raw")
        server.inject(faults.too_many_requests(seconds=1), times=2)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from itertools import count
from threading import Barrier, BrokenBarrierError

from ipld_car import CarReader, CarWriter, cids, hashes

from .server.block_server import Exchange, Fault
from .server.replies import CAR_TYPE, Reply, kubo_error, reply, text_reply

__all__ = [
    "close_at_once",
    "endless_body",
    "error_page",
    "error_with_message",
    "held",
    "missing_child",
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
    """Send the right answer with other bytes; ``says`` is added to the length that it says."""

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
"""The last byte of the answer is another: of a block, of the last block of a CAR."""


def wrong_length(extra: int) -> Fault:
    """A ``Content-Length`` that is larger than the body, or, where negative, smaller."""
    return Fault(f"length {extra:+}", _changed(bytes, says=extra))


truncated_car = Fault("truncated CAR", _changed(lambda data: data[: len(data) * 2 // 3 or 1]))
"""Two thirds of the answer, and then its proper end."""


def _without_last_block(data: bytes) -> bytes:
    reader = CarReader(data, verify=False)
    blocks = list(reader)
    stream = BytesIO()
    with CarWriter(stream, reader.roots, verify=False) as writer:
        for block in blocks[:-1]:
            writer.write(block.cid_bytes, block.data)
    return stream.getvalue()


missing_child = Fault("missing child", _changed(_without_last_block))
"""A CAR without its last block, otherwise as it should be: gateways do that when they cannot find one."""


def unknown_block(data: bytes = b"nobody asked for this") -> Fault:
    """A CAR with a block before the last one that its graph does not have."""

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
    """An error page with status 200; without a media type it has the one that was asked for."""

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
"""The right answer, and after it more and more: bytes, or in a CAR good blocks that nobody asked for."""


def slow_drip(seconds: float = 0.05) -> Fault:
    """The right answer, one byte after another, with pauses between them."""

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
    """Nothing more after so many bytes of the right answer's body; None is not even a status.

    It lasts until the server stops; a client should leave before.
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


def held(requests: int, *, seconds: float = 20.0) -> Fault:
    """The right answer, but only once so many requests wait for theirs: does a client have so many under way?

    Unlike a latency, that says so however slow the machine is. After so many seconds the ones that wait are answered
    anyway; :attr:`BlockServer.most_in_flight <ipld_castore.testing.BlockServer.most_in_flight>` tells. To be injected
    for as many requests, or a multiple of it.
    """
    barrier = Barrier(requests)

    def act(exchange: Exchange) -> None:
        with suppress(BrokenBarrierError):  # the time is over, for all of them
            barrier.wait(seconds)
        exchange.send(exchange.reply())

    return Fault(f"held until {requests} wait", act)


def redirect(location: str, code: int = 302) -> Fault:
    """A redirect."""
    return Fault(f"redirect {code}", lambda exchange: exchange.send(text_reply(code, "Found", Location=location)))


def status(code: int, text: str = "", **headers: str) -> Fault:
    """A status with some text; underscores in the names of headers are hyphens."""
    told = "".join(f", {name} {value}" for name, value in headers.items())
    return Fault(f"status {code}{told}", lambda exchange: exchange.send(text_reply(code, text, **headers)))


def too_many_requests(seconds: float, *, as_date: bool = False, code: int = 429) -> Fault:
    """Status 429, or another that means "later", with ``Retry-After`` in seconds or as a date."""

    def act(exchange: Exchange) -> None:
        told = str(round(seconds))
        if as_date:
            told = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        exchange.send(text_reply(code, "slow down", Retry_After=told))

    return Fault(f"status {code}, wait {'until' if as_date else 'for'} {seconds:g} s", act)


def error_with_message(message: str, code: int = 500) -> Fault:
    """An error as Kubo's RPC puts it, for example ``"context deadline exceeded"``."""
    return Fault(f"{code} {message}", lambda exchange: exchange.send(kubo_error(message, code)))


def reset(after: int | None = None) -> Fault:
    """The connection breaks after so many bytes of the body; None is before any answer."""

    def act(exchange: Exchange) -> None:
        right = exchange.reply()
        if after is not None:
            exchange.send(Reply(right.status, _with_length(right), [right.data()[:after]], buffered=False))
        exchange.reset()

    return Fault("reset" if after is None else f"reset after {after}", act)


def _with_length(right: Reply) -> dict[str, str]:
    """The headers of an answer with its length, so that its end is missed when it does not come."""
    return right.headers | {"Content-Length": str(len(right.data()))}


def reset_upload(after: int = 1000) -> Fault:
    """The connection breaks after so many bytes of the request's body have come; nothing of it is kept."""

    def act(exchange: Exchange) -> None:
        exchange.read_body(after)
        exchange.reset()

    return Fault(f"reset upload after {after}", act, before_body=True)


def _close(exchange: Exchange) -> None:
    exchange.hang_up()


close_at_once = Fault("closed", _close)
"""The connection is closed without an answer, as an idle one is just when a request comes."""
