"""An archive from one store to another, whatever happens to it on the way: what was written comes out, or an error.

Each package does its part of this alone; here a dataset goes the whole way, by xarray.
"""

from __future__ import annotations

import io
import random
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from ipld_car import CarReader, read_car
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID

SMALL = xr.Dataset({"a": ("a", [1, 2, 3])})


def large() -> xr.Dataset:
    """Variables with an index, with values of several blocks, and with directories of their own."""
    values = np.arange(40 * 30, dtype="i4").reshape(40, 30)
    names = [f"v{number:02}" for number in range(20)]
    attributes = {"history": "h" * 1200}
    return xr.Dataset(
        {
            "chunked": (("y", "x"), values),
            "big": ("n", np.arange(400_000) / 7),
            **{name: ("y", np.arange(40) + at, {**attributes, "name": name}) for at, name in enumerate(names)},
        }
    )


def write(dataset: xr.Dataset, castore: ContentAddressableStore, zarr_format: int) -> IPLDStore:
    store = IPLDStore(castore)
    encoding: dict[str, Any] = {str(name): {"compressors": None} for name in dataset.variables}
    if "chunked" in dataset:
        encoding["chunked"]["chunks"] = (4, 3)
    dataset.to_zarr(store, zarr_format=zarr_format, encoding=encoding)
    return store


KINDS = ["memory", "folder", "folder with fsync"]


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Makes stores of one kind."""

    def made(name: str) -> ContentAddressableStore:
        if request.param == "memory":
            return MappingCAStore()
        return FileSystemCAStore(tmp_path / name, fsync=request.param.endswith("fsync"))

    return made


@pytest.mark.parametrize(("make", "zarr_format"), [*zip(KINDS, (2, 3, 2), strict=True)], indirect=["make"])
def test_from_backend_to_backend(make: Any, zarr_format: int, tmp_path: Path) -> None:
    dataset = large()
    store = write(dataset, make("first"), zarr_format)
    root = store.freeze()
    for at, castore in enumerate((MappingCAStore(), FileSystemCAStore(tmp_path / "last", fsync=False), make("second"))):
        file = tmp_path / f"{at}.car"
        with file.open("wb") as stream:
            store.to_car(stream)
        other = IPLDStore(castore)
        with file.open("rb") as stream:
            other.import_car(stream)
        assert other.freeze() == root
        opened = IPLDStore(castore, root=str(root), read_only=True)
        xr.testing.assert_identical(xr.open_zarr(opened).load(), dataset)
        assert set(castore) == {cid if castore_keeps(castore) else raw(cid) for cid, _ in other.castore.get_dag(root)}
        store = other


def castore_keeps(castore: ContentAddressableStore) -> bool:
    return isinstance(castore, MappingCAStore)


def raw(cid: CID) -> CID:
    return CID("base32", 1, "raw", cid.digest)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_archive_is_what_other_tools_expect(zarr_format: int) -> None:
    """One root, its block first, each block once and none missing; and the same bytes from any backend."""
    store = write(large(), MappingCAStore(), zarr_format)
    archive = store.to_car()
    roots, blocks = read_car(archive)
    assert roots == [store.root_cid]
    cids = [cid for cid, data, _ in blocks]
    assert cids[0] == store.root_cid
    assert len(cids) == len(set(cids)) == len(list(store.castore.get_dag(cids[0])))
    again = IPLDStore.from_car(archive)
    assert again.to_car() == archive
    for block in CarReader(archive):
        place = block.location
        assert archive[place.payload_offset :][: place.payload_size] == block.data


def test_over_a_socket() -> None:
    """Neither side seeks, and neither waits for the other's end."""
    dataset = large()
    store = write(dataset, MappingCAStore(), 3)
    ours, theirs = socket.socketpair()

    def send() -> None:
        with ours, ours.makefile("wb") as stream:
            store.to_car(stream)

    thread = threading.Thread(target=send)
    thread.start()
    other = IPLDStore()
    with theirs, theirs.makefile("rb") as stream:
        other.import_car(stream)
    thread.join()
    assert other.root_cid == store.root_cid
    xr.testing.assert_identical(xr.open_zarr(other).load(), dataset)


@pytest.mark.slow
def test_from_another_process(tmp_path: Path) -> None:
    """A program writes an archive to its standard output; this one imports it as it comes."""
    program = (
        "import sys, xarray as xr, ipldstore\n"
        "store = ipldstore.IPLDStore()\n"
        "xr.Dataset({'a': ('a', [1, 2, 3])}).to_zarr(store, zarr_format=2, encoding={'a': {'compressors': None}})\n"
        "store.to_car(sys.stdout.buffer)"
    )
    store = IPLDStore(FileSystemCAStore(tmp_path / "blocks"))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        store.import_car(process.stdout)
    assert process.returncode == 0
    assert str(store.freeze()) == "bafyreibf3yn5ovxhrcwwdg4sm5sinnkwoyfx3wswghbjchz4zvwt55bhte"
    xr.testing.assert_identical(xr.open_zarr(store).load(), SMALL)


# -- what happens on the way --


def outcome(archive: bytes) -> xr.Dataset | None:
    """The dataset that comes out of an archive; None if it was refused, as it should be, and nothing had changed."""
    store = IPLDStore()
    store["before"] = b"before"
    try:
        store.import_car(archive, discard_changes=True)
    except (ValueError, IPLDStoreError):
        assert dict(store.mapping) == {"before": b"before"}
        return None
    try:
        found: xr.Dataset = xr.open_zarr(store, chunks=None).load()
    except IPLDStoreError:
        return None
    return found


@pytest.fixture(scope="module", params=[2, 3])
def archive(request: pytest.FixtureRequest) -> bytes:
    return write(SMALL, MappingCAStore(), request.param).to_car()


def test_it_is_read(archive: bytes) -> None:
    found = outcome(archive)
    assert found is not None
    xr.testing.assert_identical(found, SMALL)


def test_every_truncation_is_refused(archive: bytes) -> None:
    """A cut on the end of a section makes a shorter archive: then it is the missing chunk that is an error."""
    refused = sum(outcome(archive[:size]) is None for size in range(len(archive)))
    assert refused == len(archive)


@pytest.mark.parametrize("bit", [0x01, 0x80, 0xFF])
def test_every_flip_is_refused(archive: bytes, bit: int) -> None:
    for place in range(len(archive)):
        flipped = archive[:place] + bytes([archive[place] ^ bit]) + archive[place + 1 :]
        found = outcome(flipped)
        assert found is None, f"flipping 0x{bit:02x} at {place} was read as {found}"


def test_what_is_added_changes_nothing(archive: bytes) -> None:
    """Additional blocks are ignored; a tail that is no section is an error."""
    other = write(SMALL + 1, MappingCAStore(), 2)
    more = b"".join(
        other.to_car()[block.location.offset :][: block.location.size] for block in CarReader(other.to_car())
    )
    found = outcome(archive + more)
    assert found is not None
    xr.testing.assert_identical(found, SMALL)
    for tail in (b"\0", b"\1", b"\xff", bytes(50), b"\x26" + bytes(37)):
        assert outcome(archive + tail) is None


def test_blocks_in_any_order_and_more_than_once(archive: bytes) -> None:
    """Other tools write them so."""
    sections = [archive[block.location.offset :][: block.location.size] for block in CarReader(archive)]
    header = archive[: next(iter(CarReader(archive))).location.offset]
    assert header + b"".join(sections) == archive
    order = random.Random(5)
    for _ in range(5):
        shuffled = sections * 2
        order.shuffle(shuffled)
        found = outcome(header + b"".join(shuffled))
        assert found is not None
        xr.testing.assert_identical(found, SMALL)


def test_a_chunk_exchanged_for_another_one(archive: bytes) -> None:
    """Its bytes under the other's CID: sizes and structure all fit."""
    other = IPLDStore.from_car(archive)
    swapped = io.BytesIO()
    key = next(key for key in other if key in ("a/0", "a/c/0"))
    data = other[key]
    for block in CarReader(archive):
        assert block.data != bytes(len(data))
    swapped.write(archive.replace(data, bytes(len(data))))
    assert len(swapped.getvalue()) == len(archive)
    assert outcome(swapped.getvalue()) is None
