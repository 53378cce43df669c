"""open() of a CAR file at a URL: what is read, with few requests, and what is said of all else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from ipld_car import CarWriter, cids
from ipldstore import IPLDStore, IPLDStoreError, StoreUnavailableError
from ipldstore._cli.main import cli
from ipldstore._io.kerchunk import archive_references

from ..support.store_samples import contents


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append(self.path)
        data = server.files.get(self.path.partition("?")[0])
        if data is None or server.is_down:
            self.send_response(500 if server.is_down else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        part = data[int(start) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{int(start) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    running: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.files, running.asked, running.is_down = {}, [], False
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    running.url = f"http://127.0.0.1:{running.server_port}"
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(scope="module")
def air(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of an array with two leaves of chunks."""
    path = tmp_path_factory.mktemp("air") / "air.car"
    with ipldstore.open(path, "x") as store:
        array = zarr.create_array(store, name="a", shape=(4000, 40), chunks=(1, 40), dtype="int64", compressors=None)
        array[:] = np.arange(160_000).reshape(4000, 40)
    return path


@pytest.mark.parametrize("name", ["/air.car", "/air.CAR", "/air.car?signature=abc"])
def test_a_dataset_is_read(name: str, server: Any, air: Path) -> None:
    server.files[name.partition("?")[0]] = air.read_bytes()
    with ipldstore.open(air) as local, ipldstore.open(server.url + name) as store:
        assert store.root_cid == local.root_cid
        assert store.read_only
        array = zarr.open_array(store, path="a", mode="r")
        assert np.array_equal(np.asarray(array[2000]), np.arange(80_000, 80_040))
        assert len(server.asked) <= 8
        assert np.array_equal(np.asarray(array[:]), np.arange(160_000).reshape(4000, 40))
        assert len(server.asked) < 60
        assert "abc" not in repr(store)


def test_references_for_kerchunk(server: Any, air: Path, tmp_path: Path) -> None:
    """They are those of the file, by its URL without secrets; the command chooses the form by the address."""
    server.files["/air.car"] = air.read_bytes()
    url = f"{server.url}/air.car"
    expected = ipldstore.car_references(air, url=url)
    with ipldstore.open(f"{url}?signature=abc") as store:
        assert archive_references(store) == expected
    target = tmp_path / "air.json"
    done = CliRunner().invoke(cli, ["export", url, str(target)])
    assert done.exit_code == 0, done.exception
    assert json.loads(target.read_text())["refs"] == expected
    with pytest.raises(ValueError, match="archive at a URL"):
        archive_references(IPLDStore())


def test_only_reading(server: Any, air: Path) -> None:
    server.files["/air.car"] = air.read_bytes()
    for mode in ("a", "x"):
        with pytest.raises(ValueError, match='mode "r"'):
            ipldstore.open(f"{server.url}/air.car", mode)
    for verb in (ipldstore.compact, ipldstore.car_references):
        with pytest.raises(ValueError, match="found the URL of a CAR file"):
            verb(f"{server.url}/air.car")


@pytest.mark.parametrize("name", ["", "/", "/air", "/air.zip?x=.car", "/air.car/folder"])
def test_what_is_no_archive_by_its_name(name: str, server: Any) -> None:
    with pytest.raises(ValueError, match=r"path ends in \.car"):
        ipldstore.open(server.url.replace("://", "://me:password@") + name)
    assert server.asked == []


def test_archives_without_one_root(server: Any, tmp_path: Path) -> None:
    root = cids.from_bytes(bytes(IPLDStore().freeze()))
    for roots in ([], [root, root]):
        with (tmp_path / "x.car").open("wb") as stream:
            CarWriter(stream, roots).close()
        server.files["/x.car"] = (tmp_path / "x.car").read_bytes()
        with pytest.raises(ValueError, match="an archive with one root") as caught:
            ipldstore.open(f"{server.url}/x.car?sig=secret")
        assert "secret" not in str(caught.value)


def test_what_is_not_there(server: Any) -> None:
    with pytest.raises(OSError, match="HTTP 404"):
        ipldstore.open(f"{server.url}/x.car")


def test_a_server_that_fails_later(server: Any, air: Path) -> None:
    """A chunk that cannot be had is an error, never a fill value."""
    server.files["/air.car"] = air.read_bytes()
    store = ipldstore.open(f"{server.url}/air.car", storage_options={"retries": 0})
    array = zarr.open_array(store, path="a", mode="r")
    server.is_down = True
    with pytest.raises(StoreUnavailableError, match="HTTP 500"):
        array[2000]
    assert issubclass(StoreUnavailableError, IPLDStoreError)
    server.is_down = False
    assert np.asarray(array[2000])[0] == 80_000
    assert len(contents(store)) == 4002
