"""An archive on an HTTP server: few requests, right bytes, and clear errors of servers that do not serve it well."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from ipld_car import cids
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockNotFoundError,
    CarCAStore,
    MappingCAStore,
    ReadOnlyStoreError,
)
from ipld_castore._remote import http_source
from multiformats import CID

from ..support.range_server import File, Handler, RangeServer, archive, raw_blocks

COUNT = 20_000
ABSENT = "bafkreihc4ibtvz7btvualgou5mfbgwncwshmlovmoudgyml7x6crlhcu54"


@pytest.fixture(scope="module")
def blocks() -> list[tuple[bytes, bytes]]:
    return raw_blocks(COUNT, 300)


@pytest.fixture(scope="module")
def served(blocks: list[tuple[bytes, bytes]]) -> bytes:
    """An archive whose index is too large to be read whole."""
    return archive(blocks, blocks[0][0])


@pytest.fixture
def server(served: bytes) -> Iterator[RangeServer]:
    with RangeServer() as running:
        running.files["/some/x.car"] = File(served)
        yield running


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(http_source, "sleep", pauses.append)
    return pauses


def test_a_cold_block_is_two_requests_and_its_neighbours_none(
    server: RangeServer, blocks: list[tuple[bytes, bytes]]
) -> None:
    with CarCAStore(f"{server.url}/some/x.car") as store:
        assert len(server.asked) == 1
        assert store.roots == [store.head] == [cids.from_bytes(blocks[0][0])]
        assert store.get_raw(blocks[0][0]) == blocks[0][1]
        assert len(server.asked) == 1
        store.get_raw(blocks[11_000][0])
        assert len(server.asked) <= 4
        for at in (3000, 7000, 15_000):
            server.forget()
            assert store.get_raw(blocks[at][0]) == blocks[at][1]
            assert len(server.asked) <= 2
            for cid, data in blocks[at : at + 300]:
                assert store.get_raw(cid) == data
            assert len(server.asked) <= 2
        assert not store.writable
        assert not store.local


def test_many_blocks_together(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    with CarCAStore(f"{server.url}/some/x.car") as store:
        wanted = blocks[4000:6000] + blocks[9000::71]
        found = store.get_many_raw([cids.from_bytes(cid) for cid, _ in wanted])
        assert [(bytes(cid), data) for cid, data in found] == wanted
        assert len(server.asked) < 2 * len(wanted[2000:])
        with pytest.raises(BlockNotFoundError, match=ABSENT):
            list(store.get_blocks([CID.decode(ABSENT), CID.decode(ABSENT)]))
        with pytest.raises(BlockNotFoundError):
            store.get_raw(ABSENT)
        assert ABSENT not in store


def test_a_graph_comes_with_few_requests(server: RangeServer) -> None:
    memory = MappingCAStore()
    leaves = [memory.put_raw(number.to_bytes(2) * 200) for number in range(3000)]
    root = memory.put([memory.put(leaves[at : at + 300]) for at in range(0, 3000, 300)])
    pairs = [(bytes(cid), data) for cid, data in memory.get_dag(root)]
    filler = raw_blocks(20_000, 100)
    server.files["/graph.car"] = File(archive([*filler[:9000], *pairs, *filler[9000:]], bytes(root)))
    with CarCAStore(f"{server.url}/graph.car") as store:
        assert [(bytes(cid), data) for cid, data in store.get_dag(root)] == pairs
        assert len(server.asked) < 40
        assert sorted(map(bytes, store)) == sorted(cid for cid, _ in [*filler, *pairs])


def test_nothing_is_written(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    url = f"{server.url}/some/x.car"
    with CarCAStore(url, "r") as store:
        for write in (
            lambda: store.put(b"x"),
            lambda: store.swap_head(None, store.roots[0]),
            lambda: store.check_head(store.roots[0]),
            lambda: store.persist(cids.from_bytes(blocks[1][0])),
        ):
            with pytest.raises(ReadOnlyStoreError, match="at a URL"):
                write()
        store.persist(store.roots[0])
        with pytest.raises(AttributeError, match="no path"):
            _ = store.path
    for mode in ("a", "x"):
        with pytest.raises(ValueError, match='mode "r"'):
            CarCAStore(url, mode)
    with pytest.raises(ValueError, match="expected the options"):
        CarCAStore(url, storage_options={"region": "x"})
    with pytest.raises(ValueError, match="storage_options with a URL"):
        CarCAStore("x.car", storage_options={"timeout": 1})


# -- servers that do not serve it well -----------------------------------------------------------------------


def _whole(handler: Handler) -> bool:
    del handler.headers["Range"]
    handler.serve()
    return True


def _changed(**changes: Any) -> Callable[[Handler], bool]:
    def act(handler: Handler) -> bool:
        handler.serve(**changes)
        return True

    return act


def _answer(status: int, **headers: str | None) -> Callable[[Handler], bool]:
    def act(handler: Handler) -> bool:
        handler.answer(status, b"?", {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return act


BAD = {
    "ignores Range": (_whole, "ignores Range"),
    "no Content-Range": (_changed(headers={"Content-Range": None}), "Content-Range with the size"),
    "unknown size": (_changed(headers={"Content-Range": "bytes 0-131071/*"}), "Content-Range with the size"),
    "several ranges": (
        _changed(headers={"Content-Range": None, "Content-Type": "multipart/byteranges"}),
        "Content-Range",
    ),
    "another range": (_changed(headers={"Content-Range": "bytes 1-131072/9000000"}), "expected the bytes 0 to"),
    "less than asked": (_changed(headers={"Content-Range": "bytes 0-99/9000000"}), "expected the bytes 0 to"),
    "encoded": (_changed(headers={"Content-Encoding": "gzip"}), "encoded as 'gzip'"),
    "too short": (_changed(data=b"short"), "expected 131072 bytes at 0, found 5"),
    "too long": (_changed(data=bytes(200_000)), "more"),
    "absent": (_answer(404), "HTTP 404: there is no such file"),
    "forbidden": (_answer(403), "HTTP 403: it asks for credentials"),
    "teapot": (_answer(418), "expected HTTP 206, found 418"),
    "busy": (_answer(503, Retry_After="7"), "HTTP 503 .asked 4 times"),
    "circle": (_answer(302, Location="/some/x.car"), "more than 5 times"),
    "nowhere": (_answer(302), "redirect"),
    "to a file": (_answer(302, Location="file:///etc/passwd"), "a redirect that is not followed"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_server(name: str, server: RangeServer) -> None:
    server.misbehaviour, message = BAD[name]
    with pytest.raises(BackendUnavailableError, match=message) as caught:
        CarCAStore(f"{server.url}/some/x.car?signature=secret")
    assert isinstance(caught.value, OSError)
    assert "secret" not in str(caught.value)
    assert server.sent < 10 << 20


def test_a_busy_server_is_asked_again(server: RangeServer, no_pauses: list[float]) -> None:
    left = [1, 2]

    def act(handler: Handler) -> bool:
        if left:
            handler.answer(503, b"", {"Retry-After": str(left.pop(0))})
            return True
        return False

    server.misbehaviour = act
    CarCAStore(f"{server.url}/some/x.car")
    assert no_pauses == [1, 2]


def test_a_broken_connection_is_tried_again(server: RangeServer) -> None:
    left = [1, 2]

    def act(handler: Handler) -> bool:
        if left:
            left.pop()
            handler.serve(headers={"Content-Length": "131072"}, data=b"the beginning")
            handler.close_connection = True
            return True
        return False

    server.misbehaviour = act
    CarCAStore(f"{server.url}/some/x.car")
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file._replace(etag='"two"'), "its ETag was 'one', and is 'two'"),
        (lambda file: file._replace(etag=None, modified="Sun, 29 Nov 2026 10:00:00 GMT"), "its time was"),
        (lambda file: file._replace(data=file.data + b"more"), "bytes, and has"),
    ],
    ids=["ETag", "time", "size"],
)
def test_a_file_that_changes(
    change: Callable[[File], File], message: str, server: RangeServer, blocks: list[tuple[bytes, bytes]]
) -> None:
    with CarCAStore(f"{server.url}/some/x.car") as store:
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # made right here
        server.files["/some/x.car"] = change(server.files["/some/x.car"])
        for each in (store, copy):
            with pytest.raises(BackendUnavailableError, match=rf"has changed since it was opened.*{message}"):
                each.get_raw(blocks[9000][0])
        assert store.get_raw(blocks[5][0]), "what is in memory is still there"
    CarCAStore(f"{server.url}/some/x.car").close()


def test_a_file_that_is_cut_off(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    with CarCAStore(f"{server.url}/some/x.car") as store:
        server.files["/some/x.car"] = File(server.files["/some/x.car"].data[:1000], None, None)
        with pytest.raises(BackendUnavailableError, match=r"shorter than it was|has changed"):
            store.get_raw(blocks[9000][0])


def test_proxies_change_the_marks_of_an_etag(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    with CarCAStore(f"{server.url}/some/x.car") as store:
        server.files["/some/x.car"] = server.files["/some/x.car"]._replace(etag='W/"one"')
        assert store.get_raw(blocks[9000][0]) == blocks[9000][1]


def test_wrong_bytes(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    data = bytearray(server.files["/some/x.car"].data)
    at = data.index(blocks[9000][1])
    data[at] ^= 1
    server.files["/some/x.car"] = File(bytes(data))
    with CarCAStore(f"{server.url}/some/x.car") as store, pytest.raises(BlockCorruptError):
        store.get_raw(blocks[9000][0])


def test_what_is_no_archive(server: RangeServer) -> None:
    server.files["/x.car"] = File(b"<html>hello</html>" * 100)
    with pytest.raises(ValueError, match="CAR"):
        CarCAStore(f"{server.url}/x.car")
    server.files["/x.car"] = File(b"")
    with pytest.raises(ValueError, match="no bytes at all"):
        CarCAStore(f"{server.url}/x.car")


# -- redirects and secrets -----------------------------------------------------------------------------------


def test_redirects(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    """They are followed once, and again when the place has expired; credentials stay with the first server."""
    with RangeServer() as elsewhere:
        elsewhere.files["/real.car"] = server.files["/some/x.car"]

        def act(handler: Handler) -> bool:
            handler.answer(302, b"", {"Location": f"{elsewhere.url}/real.car?signed={len(server.asked)}"})
            return True

        server.misbehaviour = act
        url = server.url.replace("://", "://me:password@")
        with CarCAStore(f"{url}/some/x.car?query=secret") as store:
            store.get_raw(blocks[9000][0])
            assert [each.path for each in server.asked] == ["/some/x.car?query=secret"]
            assert server.asked[0].authorization == "Basic bWU6cGFzc3dvcmQ="
            assert {each.authorization for each in elsewhere.asked} == {None}

            def expired(handler: Handler) -> bool:
                if handler.path.endswith("=1"):
                    handler.answer(403, b"expired", {})
                    return True
                return False

            elsewhere.misbehaviour = expired
            assert store.get_raw(blocks[15_000][0]) == blocks[15_000][1]
            assert len(server.asked) == 2
            for text in (repr(store), store.address, str(store._source)):  # type: ignore[attr-defined]  # of the remote one
                assert "password" not in text
                assert "secret" not in text


def test_credentials_go_on_at_the_same_server(server: RangeServer) -> None:
    server.files["/real.car"] = server.files["/some/x.car"]

    def act(handler: Handler) -> bool:
        if handler.path == "/real.car":
            return False
        handler.answer(307, b"", {"Location": "../real.car"})
        return True

    server.misbehaviour = act
    CarCAStore(f"{server.url}/some/x.car", storage_options={"token": "tok"})
    assert [each.authorization for each in server.asked] == ["Bearer tok"] * 2


def test_no_redirect_from_https_to_http() -> None:
    from ipld_castore._remote.file_url import parse_file_url

    url = parse_file_url("https://me:pw@host/a.car")
    assert url.redirected("https://host/b.car").address.secret is not None
    for other in ("https://host:444/b.car", "https://other/b.car", "//other/b.car", "https://me:pw@other/b.car"):
        assert url.redirected(other).address.secret is None
    with pytest.raises(ValueError, match="https"):
        url.redirected("http://host/b.car")


@pytest.mark.parametrize("url", ["http://", "http:///x.car", "http://host:port/x.car", "http://host/x.car#part"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        CarCAStore(url)


# -- processes and threads -----------------------------------------------------------------------------------


def test_pickles(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    """A copy asks for nothing until it reads, and the copies in one process share what they know."""
    with CarCAStore(f"{server.url}/some/x.car", storage_options={"timeout": 5, "retries": 1}) as store:
        store.get_raw(blocks[9000][0])
        pickled = pickle.dumps(store)
        server.forget()
        copies = [pickle.loads(pickled) for _ in range(5)]  # noqa: S301  # made right here
        assert copies[0] == store
        assert hash(copies[0]) == hash(store)
        assert repr(copies[0]) == repr(store)
        assert server.asked == []
        for copy in copies:
            assert copy.get_raw(blocks[9000][0]) == blocks[9000][1]
        assert len(server.asked) <= 4


def _read(store: CarCAStore, cid: bytes) -> bytes:
    return store.get_raw(cid)


def test_another_process(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    context = multiprocessing.get_context("spawn")
    with CarCAStore(f"{server.url}/some/x.car") as store, ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(_read, store, blocks[9000][0]).result() == blocks[9000][1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_fork(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    """The child has connections and locks of its own, even if a thread of the parent was reading."""
    entered, leave = threading.Event(), threading.Event()
    with CarCAStore(f"{server.url}/some/x.car") as store:

        def act(_: Handler) -> bool:
            if not entered.is_set():
                entered.set()
                leave.wait(60)
            return False

        server.misbehaviour = act
        thread = threading.Thread(target=store.get_raw, args=(blocks[9000][0],))
        thread.start()
        assert entered.wait(60)
        child = os.fork()
        if not child:
            os._exit(store.get_raw(blocks[15_000][0]) != blocks[15_000][1])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        leave.set()
        thread.join()


def test_threads(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    with CarCAStore(f"{server.url}/some/x.car") as store, ThreadPoolExecutor(8) as pool:
        for (_, data), found in zip(
            blocks[::501], pool.map(store.get_raw, [cid for cid, _ in blocks[::501]]), strict=True
        ):
            assert found == data


def test_a_closed_store_reads_again(server: RangeServer, blocks: list[tuple[bytes, bytes]]) -> None:
    store = CarCAStore(f"{server.url}/some/x.car")
    store.close()
    assert store.get_raw(blocks[9000][0]) == blocks[9000][1]
    store.abandon()
