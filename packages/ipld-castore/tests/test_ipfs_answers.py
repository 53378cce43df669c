"""IPFSStore against servers that are no node, or a bad one: what a real Kubo does not do on demand."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ipld_car import cids
from ipld_castore import BackendUnavailableError, BlockCorruptError, IPFSStore, _ipfs

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers every POST as the test says, and remembers what it was asked."""

    answer: Answer
    asked: list[tuple[str, dict[str, str], bytes]]
    done: threading.Event

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
def store(server: Server) -> Iterator[IPFSStore]:
    with IPFSStore(server.url, timeout=5) as store:
        yield store


def reply(status: int, body: bytes, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def stream(*pieces: bytes, after: Callable[[Server], object] = id) -> Answer:
    """A chunked answer that ends, if ``after`` does, without the end that it should have."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        assert isinstance(handler, Handler)
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            for piece in pieces:
                handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            after(handler.server)
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


def test_a_block_is_sent_with_its_length(server: Server, store: IPFSStore) -> None:
    """As multipart, never chunked, whatever the bytes are; codec and hash function are named."""
    data = b"\r\n--boundary--\r\n\x00\xff"
    server.answer = reply(200, b'{"Key": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "Size": 0}')
    store.put_block(store.put_raw(b""), b"")
    with pytest.raises(BlockCorruptError):
        store.put_raw(data, "dag-cbor")
    path, headers, body = server.asked[-1]
    assert {"mhtype=sha2-256", "mhlen=32", "cid-codec=dag-cbor", "pin=false", "timeout=5000ms"} == set(
        path.partition("?")[2].split("&")
    )
    assert "transfer-encoding" not in headers
    assert int(headers["content-length"]) == len(body)
    boundary = headers["content-type"].removeprefix("multipart/form-data; boundary=").encode()
    head, _, rest = body.partition(b"\r\n\r\n")
    assert head.startswith(b"--" + boundary + b"\r\nContent-Disposition: form-data;")
    assert rest == data + b"\r\n--" + boundary + b"--\r\n"


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


VERBS: dict[str, Callable[[IPFSStore], object]] = {
    "get": lambda store: store.get(EMPTY),
    "put": lambda store: store.put(b""),
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
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("verbs", "body", "message"),
    [
        ("put size has delete list", b"<html>hello</html>", "b'<html>hello</html>' instead of JSON"),
        ("put size has delete list", b'"text"', "instead of a JSON object"),
        ("put size has", b"[" * 60_000, "instead of JSON"),
        ("put size has", b" " * 70_000, "at most 65536 bytes"),
        ("delete list", b" " * 70_000, "does not end"),
        ("put size has list", b'{"Key": null, "Size": "1"}', "was expected"),
        ("put list", b'{"Key": "xyz", "Ref": "xyz"}', "'xyz'"),
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
    """Neither a shorter block nor a shorter list."""
    server.answer = answer
    with IPFSStore(server.url, timeout=5) as store:
        for verb in VERBS.values():
            with pytest.raises(BackendUnavailableError, match="broke off"):
                verb(store)


def test_other_bytes(server: Server, store: IPFSStore) -> None:
    """An error page with status 200 does not become data."""
    server.answer = reply(200, b"<html>rate limited</html>")
    with pytest.raises(BlockCorruptError, match=EMPTY):
        store.get(EMPTY)


def test_an_endless_block_is_not_read_to_its_end(server: Server, store: IPFSStore) -> None:
    """It is refused once it is larger than any block."""

    read_all: list[Server] = []
    server.answer = stream(*[bytes(1 << 20)] * 64, after=read_all.append)
    with pytest.raises(BackendUnavailableError, match="at most 2097152 bytes"):
        store.get(EMPTY)
    assert not read_all


@pytest.mark.parametrize("verb", VERBS)
def test_silence_has_an_end(server: Server, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """A node that never answers is an error after the timeout and the time it has to say so itself."""
    monkeypatch.setattr(_ipfs, "GRACE", 0.1)
    server.answer = lambda _: server.done.wait(30)  # type: ignore[assignment]
    with (
        IPFSStore(server.url, timeout=0.1) as store,
        pytest.raises(BackendUnavailableError, match=r"silent for 0\.2 s"),
    ):
        VERBS[verb](store)


def test_silence_within_an_answer_has_an_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same once it has begun."""
    monkeypatch.setattr(_ipfs, "GRACE", 0.1)
    server.answer = stream(b"123", after=lambda server: server.done.wait(30))
    with IPFSStore(server.url, timeout=0.1) as store, pytest.raises(BackendUnavailableError, match="broke off"):
        store.get(EMPTY)


def test_a_connection_that_is_reset(server: Server, store: IPFSStore) -> None:
    """Before any answer: no node that is absent, and the next call works."""

    def reset(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    server.answer = reset
    with pytest.raises(BackendUnavailableError, match=f"did not reach the IPFS node at {server.url}"):
        store.put(bytes(1 << 20))
    server.answer = reply(200, b"")
    assert store.get(EMPTY) == b""


def test_nobody_listens() -> None:
    """One sentence on what to do."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with IPFSStore(f"127.0.0.1:{port}") as store:
            for verb in VERBS.values():
                with pytest.raises(BackendUnavailableError, match="start one with `ipfs daemon`") as caught:
                    verb(store)
                assert isinstance(caught.value, OSError)
                assert f"http://127.0.0.1:{port}" in str(caught.value)
