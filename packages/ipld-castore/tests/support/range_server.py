"""A server of files that knows ranges, and misbehaves on demand."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, NamedTuple, Self

from ipld_car import CarWriter, IndexWriter, V2Header, cids, encode_v2_header

Misbehaviour = Callable[["Handler"], bool]
"""Answers in place of the server; False leaves it to the server."""


class Asked(NamedTuple):
    """A request that came."""

    path: str
    """With its query."""
    range: str | None
    authorization: str | None


class File(NamedTuple):
    data: bytes
    etag: str | None = '"one"'
    modified: str | None = "Sat, 28 Nov 2026 10:00:00 GMT"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RangeHTTPServer

    def do_GET(self) -> None:
        owner = self.server.owner
        owner.asked.append(Asked(self.path, self.headers["Range"], self.headers["Authorization"]))
        if owner.misbehaviour is not None and owner.misbehaviour(self):
            return
        self.serve()

    def serve(self, **changes: Any) -> None:
        """Answer as a good server does, but for what is changed: status, data, headers by name."""
        file = self.server.owner.files.get(self.path.partition("?")[0])
        if file is None:
            self.answer(404, b"no such file", {})
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        headers: dict[str, str | None] = {"ETag": file.etag, "Last-Modified": file.modified}
        status, data = 200, file.data
        if asked is not None:
            start, last = int(asked[1]), min(int(asked[2]), len(file.data) - 1)
            if start > last:
                self.answer(416, b"", {"Content-Range": f"bytes */{len(file.data)}"})
                return
            status, data = 206, file.data[start : last + 1]
            headers["Content-Range"] = f"bytes {start}-{last}/{len(file.data)}"
        headers.update(changes.pop("headers", {}))
        self.answer(changes.pop("status", status), changes.pop("data", data), headers)

    def answer(self, status: int, data: bytes, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.server.owner.sent += len(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
        pass


class RangeHTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    owner: RangeServer

    def handle_error(self, request: Any, client_address: Any) -> None:  # a client may hang up
        pass


class RangeServer:
    """Serves :attr:`files` on this machine, while it is used in a ``with`` statement."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        """By path, from a slash on."""
        self.asked: list[Asked] = []
        self.sent = 0
        """Bytes of bodies that were sent."""
        self.misbehaviour: Misbehaviour | None = None
        self._server = RangeHTTPServer(("127.0.0.1", 0), Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def forget(self) -> None:
        self.asked.clear()
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def archive(pairs: Iterable[tuple[bytes, bytes]], root: bytes) -> bytes:
    """A CARv2 with an index; blocks are given as CID and bytes."""
    stream, index, writer = BytesIO(), BytesIO(), IndexWriter()
    with CarWriter(stream, [root], verify=False) as car:
        for cid, data in pairs:
            writer.add(cid, car.write(cid, data).offset)
    payload = stream.getvalue()
    writer.write(index)
    fixed = encode_v2_header(V2Header(True, 51, len(payload), 51 + len(payload)))
    return fixed + payload + index.getvalue()


def raw_blocks(count: int, size: int) -> list[tuple[bytes, bytes]]:
    """Raw blocks that differ, as CID and bytes."""
    from ipld_car import hashes

    blocks = [number.to_bytes(8) + bytes(size - 8) for number in range(count)]
    return [(cids.make(cids.RAW, hashes.sha2_256(data)), data) for data in blocks]
