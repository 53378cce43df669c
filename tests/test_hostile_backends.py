"""Backends that lie, fail or are not there, through zarr and xarray: errors, never absent keys, never wrong values.

Third parties write backends, and not all of them will raise what they should. The errors that are tried here
are those that zarr and xarray take for "not there" or "not consolidated".
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from copy import copy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import xarray as xr
import zarr
from ipld_castore import BackendUnavailableError, ContentAddressableStore, IPFSStore, MappingCAStore
from ipld_castore._core import pauses
from ipldstore import IPLDStore, IPLDStoreError, get_ipfs_mapper
from multiformats import CID

NAMES = [f"v{number:02}" for number in range(20)]


def dataset() -> xr.Dataset:
    """Variables that are blocks of their own, each with two chunks."""
    return xr.Dataset({name: ("x", np.arange(4) + at, {"name": name * 400}) for at, name in enumerate(NAMES)})


Blocks = tuple[CID, dict[str, bytes]]


@pytest.fixture(scope="module")
def formats() -> list[Blocks]:
    """The root of the dataset, and all its blocks, in zarr formats 2 and 3."""
    found = []
    for zarr_format in (2, 3):
        backend: dict[str, bytes] = {}
        store = IPLDStore(MappingCAStore(backend))
        encoding: Any = {name: {"chunks": (2,), "compressors": None} for name in NAMES}
        dataset().to_zarr(store, zarr_format=zarr_format, consolidated=False, encoding=encoding)
        found.append((store.freeze(), backend))
    return found


@pytest.fixture
def blocks(formats: list[Blocks]) -> Blocks:
    """Those of format 3."""
    return formats[1]


class Scripted(ContentAddressableStore):
    """A backend that does with each block but the root what it is told to."""

    def __init__(self, root: CID, backend: dict[str, bytes], act: Callable[[bytes], Any]) -> None:
        super().__init__()
        self.root, self.backend, self.act = root, backend, act
        self.acts = False

    def get_block(self, cid: CID) -> bytes:
        data = self.backend[cid.encode("base32")]
        return self.act(data) if self.acts and cid != self.root else data

    def put_block(self, cid: CID, data: bytes) -> None:
        if self.acts:
            self.act(data)
        self.backend[cid.encode("base32")] = data


def raising(error: BaseException) -> Callable[[bytes], Any]:
    def act(_: bytes) -> Any:
        raise copy(error)  # one that is raised again and again has a traceback of all the times

    return act


LIES: dict[str, Callable[[bytes], Any]] = {
    "another block": lambda _: b"\xa1dlies\xf5",
    "nothing": lambda _: b"",
    "None": lambda _: None,
    "text": lambda data: data.decode("latin-1"),
    "a number": len,
    "more": lambda data: data + b"\0",
    "less": lambda data: data[:-1],
    "a list": list,
    "KeyError": raising(KeyError("zarr.json")),
    "FileNotFoundError": raising(FileNotFoundError("no such object")),
    "PermissionError": raising(PermissionError("denied")),
    "TimeoutError": raising(TimeoutError("too slow")),
    "ValueError": raising(ValueError("no such bucket")),
    "BackendUnavailableError": raising(BackendUnavailableError("down")),
}

NO_BYTES = ("None", "text", "a number", "a list")
"""Lies that are bugs of a backend: a TypeError, which neither zarr nor xarray takes for "not there"."""

Use = Callable[[IPLDStore], Any]

USES: dict[str, Use] = {
    "open_zarr": lambda store: xr.open_zarr(store, consolidated=False).load(),
    "open_zarr, either": lambda store: xr.open_zarr(store).load(),
    "open_zarr, one value": lambda store: xr.open_zarr(store, consolidated=False, chunks=None).v07[3].values,
    "open_datatree": lambda store: xr.open_datatree(store, engine="zarr", consolidated=False),  # type: ignore[arg-type]  # as xarray takes it
    "in": lambda store: "v07" in zarr.open_group(store, mode="r"),
    "get": lambda store: zarr.open_group(store, mode="r").get("v07"),
    "members": lambda store: zarr.open_group(store, mode="r").members(),
    "open_array": lambda store: zarr.open_array(store, path="v07", mode="r"),
    "create_array": lambda store: zarr.open_group(store).create_array("v07", shape=(4,), dtype="i8"),
    "append": lambda store: dataset().to_zarr(store, append_dim="x", consolidated=False),
    "add": lambda store: dataset().to_zarr(store, mode="a", consolidated=False),
    "keys": list,
}


@pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated metadata:RuntimeWarning")
@pytest.mark.parametrize("lie", LIES)
def test_a_backend_that_lies_or_fails(formats: list[Blocks], lie: str) -> None:
    """In both formats by turns: each lie and each use meets both."""
    for at, (name, use) in enumerate(USES.items(), [*LIES].index(lie)):
        root, backend = formats[at % 2]
        castore = Scripted(root, dict(backend), LIES[lie])
        store = IPLDStore(castore, root=root)
        castore.acts = True
        with pytest.raises(TypeError if lie in NO_BYTES else IPLDStoreError) as caught:
            pytest.fail(f"{name}: expected an error, found {use(store)!r:.200}")
        assert not isinstance(caught.value, (KeyError, OSError, ValueError)), name
        castore.acts = False
        assert store.freeze() == root, name


@pytest.mark.parametrize("lie", [name for name in LIES if name.endswith("Error")])
def test_a_backend_that_cannot_write(lie: str) -> None:
    castore = Scripted(CID.decode("bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"), {}, LIES[lie])
    castore.acts = True
    store = IPLDStore(castore)
    with pytest.raises(IPLDStoreError):
        zarr.create_array(store, name="a", data=np.arange(4), chunks=(1,))
    castore.acts = False
    zarr.create_array(store, name="a", data=np.arange(4), chunks=(1,), overwrite=True)
    castore.acts = True
    with pytest.raises(IPLDStoreError):
        store.freeze()
    castore.acts = False
    again = zarr.open_array(IPLDStore(castore, root=store.freeze()), path="a", mode="r")
    assert np.array_equal(again[:], np.arange(4))


def test_a_backend_that_changes_what_it_gave(blocks: Blocks) -> None:
    """Bytes that were verified are the bytes that are used."""
    root, backend = blocks
    given: list[bytearray] = []

    class Mutable(MappingCAStore):
        def get_block(self, cid: CID) -> bytes:
            data = bytearray(super().get_block(cid))
            given.append(data)
            return data  # type: ignore[return-value]  # what a backend should not give

    store = IPLDStore(Mutable(dict(backend)), root=root)
    try:
        key = next(key for key in store if key.startswith("v07/") and key.endswith("0"))
        data = store[key]
    except IPLDStoreError:
        return  # what is no bytes may be refused
    expected = bytes(data)
    for buffer in given:
        buffer[:] = bytes(len(buffer))
    assert data == expected
    assert "v07" in zarr.open_group(store, mode="r")


# -- over HTTP --


@pytest.fixture
def closed_port() -> int:
    """Return a port of this machine without a listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def test_no_node_at_all(closed_port: int, blocks: Blocks) -> None:
    """What is written is collected for a node that may come; without one no freeze gives a root, the first or later."""
    store = get_ipfs_mapper(f"http://127.0.0.1:{closed_port}")
    dataset().to_zarr(store, zarr_format=2)
    for _ in range(2):
        with pytest.raises(IPLDStoreError, match="no IPFS node answers"):
            store.freeze()
    with pytest.raises(IPLDStoreError):
        store.set_root(blocks[0])
    with pytest.raises(IPLDStoreError):
        IPLDStore(IPFSStore(f"http://127.0.0.1:{closed_port}"), root=blocks[0])


class Node(ThreadingHTTPServer):
    """What answers like a node, until it is told to do otherwise."""

    daemon_threads = True

    def __init__(self, backend: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.backend = backend
        self.act = "serve"
        self.honest: str = ""


class Handler(BaseHTTPRequestHandler):
    server: Node

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        cid = parse_qs(urlsplit(self.path).query).get("arg", [""])[0]
        data = self.server.backend.get(cid, b"")
        act = "serve" if cid == self.server.honest else self.server.act
        if act == "hang up":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status = {"serve": 200, "lie": 200, "cut": 200, "endless": 200}.get(act, 500)
        self.send_response(status if data or status != 200 else 500)
        if act == "cut":
            self.send_header("Content-Length", str(len(data) + 100))
        self.send_header("Connection", "close")
        self.end_headers()
        body = {"lie": data[::-1], "fail": b'{"Message":"out of memory","Code":0,"Type":"error"}'}.get(act, data)
        try:
            self.wfile.write(body)
            while act == "endless":
                self.wfile.write(bytes(1 << 16))
        except OSError:
            pass  # the client has had enough
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def node(formats: list[Blocks]) -> Iterator[Node]:
    with Node({**formats[0][1], **formats[1][1]}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("act", "zarr_format"), [("lie", 2), ("lie", 3), ("cut", 2), ("endless", 3), ("hang up", 2), ("fail", 3)]
)
def test_a_node_that_lies_or_fails(
    node: Node, formats: list[Blocks], act: str, zarr_format: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes are read alike in both formats; what they are taken for differs."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.0)
    root = formats[zarr_format - 2][0]
    url = f"http://127.0.0.1:{node.server_address[1]}"
    store = IPLDStore(IPFSStore(url, timeout=60), root=root)
    xr.testing.assert_identical(xr.open_zarr(store, consolidated=False, chunks=None).load(), dataset())
    node.honest, node.act = str(root), act
    uses: list[Use] = [
        lambda store: store.get_sync("v07/.zarray" if "v07/.zarray" in store else "v07/zarr.json"),
        lambda store: "v07" in zarr.open_group(store, mode="r"),
        lambda store: xr.open_zarr(store, consolidated=False),
    ]
    for use in uses:
        with pytest.raises(IPLDStoreError):
            use(IPLDStore(IPFSStore(url, timeout=60), root=root))
