"""IPFSStore against servers that are no node, or a bad one: what a real Kubo does not do on demand."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ipld_car import CarReader, cids
from ipld_castore import BackendUnavailableError, BlockCorruptError, IPFSStore
from ipld_castore._core import pauses
from ipld_castore.testing import expiring_timeouts
from ipld_castore.testing.server.timeouts import Timeouts

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers every POST as the test says, and remembers what it was asked."""

    answer: Answer
    asked: list[tuple[str, dict[str, str], bytes]]
    done: threading.Event

    def handle_error(self, *_: object) -> None:
        """That a client hangs up is what some tests want to see."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.server.answer(self)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    server.done = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.done.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def timeouts() -> Iterator[Timeouts]:
    with expiring_timeouts() as timeouts:
        yield timeouts


@contextmanager
def store_at(url: str, timeout: float = 5) -> Iterator[IPFSStore]:
    """A store that may end with blocks that it could not send."""
    store = IPFSStore(url, timeout=timeout)
    yield store
    with suppress(BackendUnavailableError, BlockCorruptError):
        store.close()


@pytest.fixture
def store(server: Server) -> Iterator[IPFSStore]:
    with store_at(server.url) as store:
        yield store


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are repeated without a pause."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.0)


def reply(status: int, body: bytes, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def stream(*pieces: bytes, after: Callable[[Handler], object] = id) -> Answer:
    """A chunked answer that ends, if ``after`` does, without the end that it should have."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        assert isinstance(handler, Handler)
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            for piece in pieces:
                handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            after(handler)
        except ConnectionError:
            pass  # the client has seen enough, as it should
        handler.close_connection = True

    return answer


def test_what_a_call_says_of_itself(server: Server, store: IPFSStore) -> None:
    """Rules of Kubo's RPC: POST, a unit for the timeout, no Origin, a User-Agent that is no browser's."""
    server.answer = reply(200, b"")
    assert store.get(EMPTY) == b""
    path, headers, body = server.asked[0]
    assert path == f"/api/v0/block/get?arg={EMPTY}&offline=false&timeout=5000ms"
    assert headers["user-agent"].startswith("ipld-castore/")
    assert not {"origin", "referer", "cookie", "authorization"} & set(headers)
    assert body == b""


def test_blocks_are_sent_as_one_car_with_its_length(server: Server, store: IPFSStore) -> None:
    """As multipart, never chunked, whatever the bytes are; nothing is pinned, and the node says what it took."""
    blocks = [b"", b"\r\n--boundary--\r\n\x00\xff", bytes(1 << 18), b"last"]
    size = sum(map(len, blocks))
    server.answer = reply(200, b'{"Stats":{"BlockCount":4,"BlockBytesCount":%d}}\n' % size)
    sent = [store.put_raw(data, "dag-cbor") for data in blocks]
    assert server.asked == []
    assert [store.get_raw(cid) for cid in sent] == blocks
    assert [store.block_size(cid) for cid in sent] == list(map(len, blocks))
    assert server.asked == []
    store.flush()
    store.flush()
    ((path, headers, body),) = server.asked
    command, _, options = path.partition("?")
    assert command == "/api/v0/dag/import"
    assert {"pin-roots=false", "stats=true", "fast-provide-root=false", "timeout=24h"} == set(options.split("&"))
    assert "transfer-encoding" not in headers
    assert int(headers["content-length"]) == len(body)
    boundary = headers["content-type"].removeprefix("multipart/form-data; boundary=").encode()
    head, _, rest = body.partition(b"\r\n\r\n")
    assert head.startswith(b"--" + boundary + b"\r\nContent-Disposition: form-data;")
    archive = rest.removesuffix(b"\r\n--" + boundary + b"--\r\n")
    # The node would look into blocks of other codecs, and keeps them by multihash anyway.
    assert [(block.cid.codec.name, block.data) for block in CarReader(archive)] == [("raw", data) for data in blocks]


@pytest.mark.parametrize(
    "stats", [b"", b"{}", b'{"Stats":{}}', b'{"Stats":{"BlockCount":1,"BlockBytesCount":3}}', b'{"Stats":null}']
)
def test_a_node_that_took_less_has_not_taken_it(server: Server, store: IPFSStore, stats: bytes) -> None:
    """What came of a CAR is known by its count alone: what went wrong late is said where no client hears it."""
    server.answer = reply(200, stats)
    cid = store.put_raw(b"four")
    with pytest.raises(BackendUnavailableError, match=r"to take \{'BlockCount': 1, 'BlockBytesCount': 4\}, found"):
        store.flush()
    assert store.get_raw(cid) == b"four"
    server.answer = TOOK_FOUR
    store.flush()
    assert len(server.asked) == 2


TOOK_FOUR = reply(200, b'{"Stats":{"BlockCount":1,"BlockBytesCount":4}}')


def test_the_nodes_path_is_kept(server: Server) -> None:
    """A node behind a reverse proxy."""
    server.answer = reply(200, b"")
    with IPFSStore(f"{server.url}/node/api/v0/") as store:
        store.get(EMPTY)
    assert server.asked[0][0].startswith("/node/api/v0/block/get?")


def test_cookies_are_not_kept(server: Server, store: IPFSStore) -> None:
    server.answer = reply(200, b"", Set_Cookie="spy=1")
    store.get(EMPTY)
    store.get(EMPTY)
    assert "cookie" not in server.asked[1][1]


def put_and_flush(store: IPFSStore) -> None:
    store.put(b"x")
    store.flush()


VERBS: dict[str, Callable[[IPFSStore], object]] = {
    "get": lambda store: store.get(EMPTY),
    "put": put_and_flush,
    "size": lambda store: store.size(EMPTY),
    "has": lambda store: EMPTY in store,
    "delete": lambda store: store.delete_block(cids.from_bytes(cids.to_bytes(EMPTY))),
    "list": list,
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply(302, b"", Location="http://127.0.0.1:9/"), "with a redirect, which is not followed"),
        (reply(304, b""), "is that the RPC API"),
        (reply(403, b"403 - Forbidden"), "API.Authorizations"),
        (reply(404, b"404 page not found"), "is that the RPC API"),
        (reply(405, b"405 - Method Not Allowed"), "is that the RPC API"),
        (reply(500, b"oops"), "b'oops' instead of JSON"),
        (reply(500, b'{"Message": "disk full", "Code": 0, "Type": "error"}'), "disk full"),
        (reply(500, b" " * 100_000), "at most 65536 bytes"),
        (reply(502, b"<html>bad gateway</html>"), "HTTP 502"),
        (reply(201, b""), "HTTP 201"),
    ],
    ids=["redirect", "304", "403", "404", "405", "500 text", "500", "500 long", "502", "201"],
)
def test_refusals(server: Server, store: IPFSStore, verb: str, answer: Answer, message: str) -> None:
    """Every verb raises the one error, which says who answered what; none follows or believes it."""
    server.answer = answer
    with pytest.raises(BackendUnavailableError, match=re.escape(message)) as caught:
        VERBS[verb](store)
    assert f"127.0.0.1:{server.server_port}" in str(caught.value)
    assert len(server.asked) == (3 if "502" in message else 1)  # what a proxy says may be over the next moment


@pytest.mark.parametrize(
    ("verbs", "body", "message"),
    [
        ("put size has delete list", b"<html>hello</html>", "b'<html>hello</html>' instead of JSON"),
        ("put size has delete list", b'"text"', "instead of a JSON object"),
        ("put size has", b"[" * 60_000, "instead of JSON"),
        ("size has", b" " * 70_000, "at most 65536 bytes"),
        ("put delete list", b" " * 70_000, "does not end"),
        ("size has list", b'{"Key": null, "Size": "1"}', "was expected"),
        ("list", b'{"Ref": "xyz"}', "'xyz'"),
        ("delete", b'{"Hash": "x"}\n{"Hash": "x", "Error": "pinned: direct"}', "pinned: direct"),
        ("list", b'{"Ref": "", "Err": "broken index"}\n', "broken index"),
    ],
)
def test_nonsense(server: Server, store: IPFSStore, verbs: str, body: bytes, message: str) -> None:
    """A 200 is not taken for what was asked."""
    server.answer = reply(200, body)
    for verb in verbs.split():
        with pytest.raises(BackendUnavailableError, match=re.escape(message)) as caught:
            VERBS[verb](store)
        assert f"127.0.0.1:{server.server_port}" in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [reply(200, b'{"Size"', Content_Length="100", Connection="close"), stream(b'{"Size"')],
    ids=["length", "chunked"],
)
def test_answers_that_are_cut_off(server: Server, answer: Answer) -> None:
    """A response that is cut off gives neither a shorter block nor a shorter list."""
    server.answer = answer
    with store_at(server.url) as store:
        for verb in VERBS.values():
            with pytest.raises(BackendUnavailableError, match="broke off"):
                verb(store)


def test_other_bytes(server: Server, store: IPFSStore) -> None:
    """An error page with status 200 does not become data."""
    server.answer = reply(200, b"<html>rate limited</html>")
    with pytest.raises(BlockCorruptError, match=EMPTY):
        store.get(EMPTY)


def test_an_endless_block_is_not_read_to_its_end(server: Server, store: IPFSStore) -> None:
    """The store refuses a block once it is larger than any block may be."""

    read_all: list[Handler] = []
    server.answer = stream(*[bytes(1 << 20)] * 64, after=read_all.append)
    with pytest.raises(BackendUnavailableError, match="at most 2097152 bytes"):
        store.get(EMPTY)
    assert not read_all


@pytest.mark.parametrize("verb", VERBS)
def test_silence_has_an_end(server: Server, timeouts: Timeouts, verb: str) -> None:
    """A node that never answers is an error after the timeout and the time it has to say so itself."""

    def stall(handler: BaseHTTPRequestHandler) -> None:
        timeouts.expire(handler.connection)
        server.done.wait(60)

    server.answer = stall
    with store_at(server.url, 60) as store, pytest.raises(BackendUnavailableError, match="silent for 70 s"):
        VERBS[verb](store)


def test_silence_within_an_answer_has_an_end(server: Server, timeouts: Timeouts) -> None:
    """The same once it has begun."""

    def stall(handler: Handler) -> None:
        timeouts.expire(handler.connection)
        server.done.wait(60)

    server.answer = stream(b"123", after=stall)
    with IPFSStore(server.url, timeout=60) as store, pytest.raises(BackendUnavailableError, match="broke off"):
        store.get(EMPTY)


def test_a_connection_that_is_reset(server: Server, store: IPFSStore) -> None:
    """Before any answer: no node that is absent, and the next call works."""

    def reset(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    server.answer = reset
    cid = store.put(bytes(1 << 20))
    with pytest.raises(BackendUnavailableError, match=f"did not reach the IPFS node at {server.url}"):
        store.flush()
    with pytest.raises(BackendUnavailableError, match=f"did not reach the IPFS node at {server.url}"):
        store.get(EMPTY)
    assert store.get(cid) == bytes(1 << 20)
    server.answer = reply(200, b"")
    assert store.get(EMPTY) == b""


def test_a_call_that_is_broken_off_is_repeated(server: Server, store: IPFSStore) -> None:
    """A node that was restarted meanwhile, or a proxy that is busy, is no error."""
    calls: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        calls.append(handler.path)
        if len(calls) % 3 == 1:
            handler.close_connection = True
        elif len(calls) % 3 == 2:
            reply(503, b"busy", Retry_After="0")(handler)
        else:
            (reply(200, b"") if "block/get" in handler.path else TOOK_FOUR)(handler)

    server.answer = answer
    assert store.get(EMPTY) == b""
    store.put(b"four")
    store.flush()
    assert len(calls) == 6


def test_nobody_listens() -> None:
    """One sentence on what to do."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with store_at(f"127.0.0.1:{port}") as store:
            for verb in VERBS.values():
                with pytest.raises(BackendUnavailableError, match="start one with `ipfs daemon`") as caught:
                    verb(store)
                assert isinstance(caught.value, OSError)
                assert f"http://127.0.0.1:{port}" in str(caught.value)
