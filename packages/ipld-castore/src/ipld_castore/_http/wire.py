"""Answers as they come over a connection of urllib3: watched, and read with little ado.

A socket's timeout holds for each read of it: a server that sends a byte now and then never comes to an end. Here the
watch is over all that comes, headers too, so whoever reads a body may ask for all of it at once.

Kubo's RPC sends blocks in HTTP chunks of 4 KiB, for each of which http.client takes twice as long as it
takes here.
"""

from __future__ import annotations

import re
import time
from http.client import HTTPResponse, IncompleteRead
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from typing_extensions import Buffer  # which comes with the type checker; in collections.abc from Python 3.12 on

SLOWEST: Final = 16 << 10
"""Bytes that must come within the timeout: whoever sends less is taken for silent, however often it sends."""

_HEADERS_BYTES: Final = 16 << 10
_BUFFER_BYTES: Final = 256 << 10
_FIRST_PIECE: Final = 16 << 10
_PIECE: Final = 1 << 20
_CHUNK_HEAD: Final = re.compile(rb"\r?\n([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]{0,512})?\r?\n")
"""What stands between two chunks: the end of a line, and one that begins with the size of the second."""
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_PARSED: Final = frozenset(
    ["code", "status", "reason", "version", "headers", "msg", "chunked", "chunk_left", "will_close", "length"]
)
"""What http.client's ``begin`` sets."""
_MAX_LINE: Final = 1 << 10
"""Bytes of a line between or behind chunks."""
_MAX_TRAILERS: Final = 100


class TooSlowError(HTTPError):
    """What comes would never come to an end."""

    def __init__(self, came: int, seconds: float) -> None:
        super().__init__(f"it sent only {came} bytes in {seconds:.3g} s")
        self.came = came


class Watch(RawIOBase):
    """What comes in from a socket, as long as enough of it comes.

    :param raw: reads the socket
    :param patience: seconds in which something worth while must come; None waits for ever
    :raises TooSlowError: from a read, if it does not
    """

    def __init__(self, raw: RawIOBase, patience: float | None) -> None:
        self._raw = raw
        self._patience = patience
        self._waited = 0.0
        self._came = 0

    def readable(self) -> bool:
        """Whether it can be read: it can."""
        return True

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Fill some of a buffer; returns how much, 0 at the end."""
        start = time.monotonic()
        count: int | None = self._raw.readinto(buffer)
        self._waited += time.monotonic() - start
        self._came += count or 0
        if self._patience is not None and self._waited > self._patience:
            if count and self._came < SLOWEST:
                raise TooSlowError(self._came, self._waited)
            self.begin_anew()
        return count

    def begin_anew(self) -> None:
        """What came was worth the wait."""
        self._waited = self._came = 0

    def close(self) -> None:
        """Let go of the socket."""
        super().close()
        self._raw.close()


class _Chunks(RawIOBase):
    """The body in a stream of chunks: https://www.rfc-editor.org/rfc/rfc9112#name-chunked-transfer-coding.

    :param buffer: for what comes; nobody else may use it before the end
    """

    def __init__(self, stream: BufferedReader, buffer: bytearray) -> None:
        self._stream = stream
        self._first = True
        """Whether some may have come with what was read of the stream before."""
        self._data = buffer
        """What came last, up to ``_stop``."""
        self._data[:1] = b"\n"  # as behind a chunk
        self._at, self._stop = 0, 1
        self._left = 0
        """Bytes of this chunk that are still to be taken."""
        self._head, self._size = b"", 0
        """What stood before this chunk, and how long it is."""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Take all that came, as far as there is room; wait only where that is nothing."""
        room, data = memoryview(buffer), memoryview(self._data)
        size, taken = len(room), 0
        while taken < size and not self._ended:
            at, stop = self._at, self._stop
            if self._left:
                count = min(self._left, size - taken, stop - at)
                room[taken : taken + count] = data[at : at + count]
                self._at, self._left, taken = at + count, self._left - count, taken + count
                if not self._left:
                    taken += self._take_equals(room[taken:])
                if self._at < stop:
                    continue
            elif head := _CHUNK_HEAD.match(self._data, at, stop):
                self._at, self._head, self._size = head.end(), head[0], int(head[1], 16)
                self._left = self._size
                if not self._left:
                    self._end()
                continue
            if taken:
                break
            self._more()
        return taken

    def _take_equals(self, room: memoryview) -> int:
        """Take the chunks that are here whole and begin as the last one; returns how many bytes.

        Kubo sends no others: 256 of them for a block of 1 MiB.
        """
        data, begins = memoryview(self._data), self._data.startswith
        head, size, taken = self._head, self._size, 0
        step, past = len(head) + size, len(head)
        whole = min((self._stop - self._at) // step, len(room) // size)
        for at in range(self._at, self._at + whole * step, step):
            if not begins(head, at):
                break
            room[taken : taken + size] = data[at + past : at + step]
            taken += size
            self._at = at + step
        return taken

    def _more(self) -> None:
        """Wait for more of the stream."""
        rest = self._data[self._at : self._stop]
        start = len(rest)
        if start > _MAX_LINE:
            raise IncompleteRead(b"")
        self._data[:start] = rest
        count: int | None
        if self._first:
            piece = self._stream.read1(_HEADERS_BYTES)
            self._first, count = False, len(piece)
            self._data[start : start + count] = piece
        else:  # past the stream's own buffer, which is empty now and stays so
            count = self._stream.raw.readinto(memoryview(self._data)[start:])
        if not count:
            raise IncompleteRead(b"", self._left or None)
        self._at, self._stop = 0, start + count

    def _end(self) -> None:
        """Go past the lines behind the last chunk."""
        for _ in range(_MAX_TRAILERS):
            while (end := self._data.find(b"\n", self._at, self._stop)) < 0:
                self._more()
            line, self._at = self._data[self._at : end], end + 1
            if not line.strip():
                self._ended = True
                return
        raise IncompleteRead(b"")

    def close(self) -> None:
        super().close()
        self._stream.close()


class _Head(NamedTuple):
    """The bytes before a body, the method of the request, and what http.client makes of the two."""

    text: bytes
    method: object
    parsed: dict[str, Any]


class _Response(HTTPResponse):
    """A response whose bytes come through a :class:`Watch`.

    :param connection: has one answer at a time, a buffer for it, as a new one each time would be in fresh pages, and
        the head of the last one: it is the same for all blocks of a second, and parsing it takes most of a small call
    """

    def __init__(self, connection: Any, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.watch = connection.watch = Watch(self.fp.detach(), sock.gettimeout())
        self.fp: BufferedReader = BufferedReader(self.watch, _HEADERS_BYTES)
        if connection.buffer is None:
            connection.buffer = bytearray(_BUFFER_BYTES)
        self._connection, self._asked = connection, kwargs.get("method")

    def begin(self) -> None:
        end = _HEAD_END.search(came := self.fp.peek())
        text = came[: end.end()] if end else b""
        last: _Head | None = self._connection.head
        if text and last is not None and (text, self._asked) == last[:2]:
            self.fp.read(len(text))
            self.__dict__.update(last.parsed)
        else:
            super().begin()
            if text[9:12] == b"%d" % self.status:  # or what came is one that others follow: 100 Continue
                parsed = {name: value for name, value in self.__dict__.items() if name in _PARSED}
                self._connection.head = _Head(text, self._asked, parsed)
        if self.chunked:
            self.fp = BufferedReader(_Chunks(self.fp, self._connection.buffer))
            self.chunked = False


def _respond(connection: Any, *args: Any, **kwargs: Any) -> _Response:
    """What a connection makes a response with: as a function it becomes a method of the class."""
    return _Response(connection, *args, **kwargs)


def watch_all(pool: HTTPConnectionPool, *, until_close: bool = False) -> None:
    """Have all answers on the connections of a pool watched, with the patience that is their timeout of reads.

    :param until_close: ask in HTTP/1.0: a body of unknown length is then no chunks, but all that comes until the server
        closes the connection, https://www.rfc-editor.org/rfc/rfc9112#section-6.3. Nothing tells if it was broken off.
    """
    kind = pool.ConnectionCls
    if not hasattr(kind, "watch"):
        more: dict[str, Any] = {"response_class": _respond, "watch": None, "buffer": None, "head": None}
        if until_close:
            more |= {"_http_vsn": 10, "_http_vsn_str": "HTTP/1.0"}
        pool.ConnectionCls = type(kind.__name__, (kind,), more)


def watch_of(response: BaseHTTPResponse) -> Watch | None:
    """The watch over an answer that is still to be read; None if all of it is here."""
    watch: Watch | None = getattr(response.connection, "watch", None)
    return watch


def read_within(response: BaseHTTPResponse, limit: int, expected: int = _FIRST_PIECE) -> bytes | None:
    """The body of an answer; None as soon as it is longer than ``limit`` bytes.

    :param expected: about how many bytes, where the answer does not tell: so many come in one piece
    :raises urllib3.exceptions.HTTPError: if the answer is broken off, or comes too slowly ever to end
    """
    pieces, size = [], 0
    step = limit + 1 if "Content-Length" in response.headers else expected + 1
    # Only the read that finds the end tells whether it is the end, and gives the connection back.
    while piece := response.read(min(limit + 1 - size, step), decode_content=False):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return None
        step = _PIECE if len(piece) == step else 1
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
