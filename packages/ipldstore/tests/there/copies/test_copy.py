"""Copies have the bytes of their source, in both directions; what is there is not read again."""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore
from ipldstore._there.copies.chunks.reading import FolderReader
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, ZipStore

DATA = np.arange(60 * 40, dtype="i4").reshape(60, 40)


def fill(store: Any, zarr_format: Any = 3) -> zarr.Group:
    group = zarr.create_group(store, zarr_format=zarr_format, attributes={"title": "a copy"})
    names: Any = {"dimension_names": ("time", "x")} if zarr_format == 3 else {}
    array = group.create_array("deep/t2m", shape=DATA.shape, chunks=(10, 8), dtype="i4", **names)
    array[:] = DATA
    if zarr_format == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = ["time", "x"]
    group.create_array("mask", shape=(60,), chunks=(60,), dtype="i4")
    return group


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def values(store: Any, path: str = "deep/t2m") -> Any:
    return np.asarray(zarr.open_array(store, path=path, mode="r")[...])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", ["x.car", "x"])
def test_there_and_back(tmp_path: Path, zarr_format: int, name: str) -> None:
    fill(tmp_path / "a.zarr", zarr_format)
    root = ipldstore.copy(tmp_path / "a.zarr", tmp_path / name)
    there = contents(tmp_path / "a.zarr")
    with ipldstore.open(tmp_path / name) as store:
        assert store.root_cid == root
        assert set(store) == set(there)
        alone = IPLDStore()
        alone.mapping.update(there)
        assert alone.freeze() == root
    assert ipldstore.copy(tmp_path / name, tmp_path / "b.zarr") is None
    back = contents(tmp_path / "b.zarr")
    assert back.keys() == there.keys()
    assert all(back[key] == there[key] for key in there if "t2m/c/" in key or "t2m/1." in key)
    assert ipldstore.copy(tmp_path / "b.zarr", IPLDStore()) == root


def test_zip_memory_and_groups(tmp_path: Path) -> None:
    group = fill(MemoryStore())
    ipldstore.copy(group, tmp_path / "a.zip")
    with ZipStore(tmp_path / "a.zip", mode="r") as store:
        assert np.array_equal(values(store), DATA)
    root = ipldstore.copy(tmp_path / "a.zip", tmp_path / "a.car")
    assert ipldstore.copy(group, IPLDStore()) == root
    deep: Any = group["deep"]
    target = IPLDStore()
    ipldstore.copy(deep, zarr.create_group(target).require_group("below/here"))
    assert np.array_equal(values(target, "below/here/t2m"), DATA)


def test_a_zip_file_that_is_damaged(tmp_path: Path) -> None:
    """Its sums are checked: what they do not match is no chunk of the copy."""
    ipldstore.copy(fill(MemoryStore()), tmp_path / "a.zip")
    with ZipFile(tmp_path / "a.zip") as archive:
        data = archive.read("deep/t2m/c/3/2")
    text = (tmp_path / "a.zip").read_bytes()
    assert text.count(data) == 1
    (tmp_path / "a.zip").write_bytes(text.replace(data, data[:-1] + bytes([data[-1] ^ 1])))
    with pytest.raises(BadZipFile, match="deep/t2m/c/3/2"):
        ipldstore.copy(tmp_path / "a.zip", tmp_path / "a.car")


@pytest.mark.parametrize("end", ["storage_options", "source_options"])
def test_options_are_for_urls(tmp_path: Path, end: str) -> None:
    """What is on this machine has none, and would leave them out without a word."""
    group = fill(tmp_path / "a.zarr")
    options: Any = {end: {"region": "x"}}
    ipldstore.copy(group, tmp_path / "a.car")
    ends: Any = [
        (group, IPLDStore()),
        (tmp_path / "a.zarr", tmp_path / "b.zarr"),
        (tmp_path / "a.car", tmp_path / "c.car"),
    ]
    for source, target in ends:
        with pytest.raises(ValueError, match="with a URL"):
            ipldstore.copy(source, target, **options)
    assert not (tmp_path / "b.zarr").exists()


def test_rechunked_arrays_have_the_same_values() -> None:
    for zarr_format in (2, 3):
        group = fill(MemoryStore(), zarr_format)
        target, expected, again = IPLDStore(), IPLDStore(), IPLDStore()
        ipldstore.copy(group, target, rechunk={"time": 30})
        assert zarr.open_array(target, path="deep/t2m", mode="r").chunks == (30, 8)
        assert np.array_equal(values(target), DATA)
        ipldstore.copy(group, expected)
        ipldstore.copy(target, again, rechunk={"deep/t2m": (10, 8)})
        chunks = {key: expected[key] for key in expected if "t2m/" in key and not key.endswith(("json", "array"))}
        assert len(chunks) >= 30
        assert {key: again[key] for key in chunks} == chunks


@pytest.mark.parametrize("rechunk", [{"time": -1}, {"deep/t2m": (-1, 8)}])
def test_one_chunk_along_a_whole_axis(rechunk: Any) -> None:
    """As -1 has it in xarray and dask; an axis without length gets chunks of 1."""
    group = fill(MemoryStore())
    group.create_array("empty", shape=(0, 3), chunks=(7, 3), dtype="i4", dimension_names=("time", "x"))
    target = IPLDStore()
    ipldstore.copy(group, target, rechunk=rechunk)
    assert zarr.open_array(target, path="deep/t2m", mode="r").chunks == (len(DATA), 8)
    assert np.array_equal(values(target), DATA)
    assert zarr.open_array(target, path="empty", mode="r").chunks[0] == (1 if "time" in rechunk else 7)


def test_shards_become_chunks(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=DATA.shape, shards=(20, 20), chunks=(10, 10), dtype="i4")
    array[:] = DATA
    target = IPLDStore()
    ipldstore.copy(tmp_path / "a.zarr", target, rechunk={"": (30, 40)})
    found = zarr.open_array(target, mode="r")
    assert (found.chunks, found.shards) == ((30, 40), None)
    assert np.array_equal(values(target, ""), DATA)


@pytest.mark.parametrize(
    "rechunk", [{"depth": 3}, {"time": 0}, {"time": -2}, {"deep/t2m": (1,)}, {"deep/t2m": (-2, 1)}]
)
def test_what_cannot_be_rechunked(tmp_path: Path, rechunk: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        ipldstore.copy(fill(MemoryStore()), tmp_path / "x.car", rechunk=rechunk)
    assert not (tmp_path / "x.car").exists()


class Counting(LocalStore):
    """Notes which chunks are read, and stops after some."""

    chunks: list[str]
    most = 10**9

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        if not key.endswith(".json"):
            self.chunks.append(key)
            if len(self.chunks) > self.most:
                raise ConnectionError("stopped")
        return await super().get(key, *args, **kwargs)


def counting(path: Path) -> Counting:
    store = Counting(path, read_only=True)
    store.chunks = []
    return store


def test_a_copy_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipldstore._there.copies.copy._COMMIT_SECONDS", -1)
    monkeypatch.setattr("ipldstore._there.copies.copy._READS", 1)
    fill(tmp_path / "a.zarr")
    first = counting(tmp_path / "a.zarr")
    first.most = 12
    with pytest.raises(ConnectionError, match="stopped"):
        ipldstore.copy(first, tmp_path / "x.car")
    rest = counting(tmp_path / "a.zarr")
    root = ipldstore.copy(rest, tmp_path / "x.car")
    assert len(rest.chunks) == 30 - 12
    assert ipldstore.copy(tmp_path / "a.zarr", IPLDStore()) == root
    again = counting(tmp_path / "a.zarr")
    assert ipldstore.copy(again, tmp_path / "x.car") == root
    assert again.chunks == []
    zarr.open_array(tmp_path / "a.zarr", path="deep/t2m", mode="r+")[0, 0] = 7
    changed = counting(tmp_path / "a.zarr")
    ipldstore.copy(changed, tmp_path / "x.car")
    assert changed.chunks == ["deep/t2m/c/0/0"]


def test_cids_tell_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = IPLDStore(), IPLDStore()
    fill(source)
    assert ipldstore.copy(source, target) == source.freeze()
    read: list[str] = []
    get = IPLDStore.get

    async def note(self: IPLDStore, key: str, *args: Any, **kwargs: Any) -> Any:
        read.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(IPLDStore, "get", note)
    ipldstore.copy(source, target)
    assert [key for key in read if not key.endswith("json")] == []


def test_workers_copy_chunks(tmp_path: Path) -> None:
    fill(tmp_path / "a.zarr")
    with ThreadPoolExecutor(2) as pool:
        root = ipldstore.copy(tmp_path / "a.zarr", tmp_path / "x", dask=pool)
    assert ipldstore.copy(tmp_path / "a.zarr", IPLDStore()) == root


def test_nothing_to_copy() -> None:
    with pytest.raises(ValueError, match="found none"):
        ipldstore.copy(MemoryStore(), IPLDStore())


@pytest.mark.parametrize("most", [12, 10**9])
def test_threads_go_on_where_a_copy_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Both ends on this machine: batches are copied in threads, and what was frozen is not read again."""
    monkeypatch.setattr("ipldstore._there.copies.copy._COMMIT_SECONDS", -1)
    monkeypatch.setattr("ipldstore._there.copies.copy._BATCH", 4)
    fill(tmp_path / "a.zarr")
    read: list[str] = []
    read_sync = FolderReader.read_sync

    def count(self: FolderReader, key: str, found: Any) -> Any:
        read.append(key)
        if len(read) > most:
            raise ConnectionError("stopped")
        return read_sync(self, key, found)

    monkeypatch.setattr(FolderReader, "read_sync", count)
    if most < 30:
        with pytest.raises(ConnectionError):
            ipldstore.copy(tmp_path / "a.zarr", tmp_path / "x.car")
        with ipldstore.open(tmp_path / "x.car") as store:
            there = sum(not key.endswith(".json") for key in store)
        assert 0 < there <= most
    else:
        ipldstore.copy(tmp_path / "a.zarr", tmp_path / "x.car")
        there = 30
    most = 10**9
    read.clear()
    root = ipldstore.copy(tmp_path / "a.zarr", tmp_path / "x.car")
    assert len(read) == len(set(read))
    assert 30 - there <= len(read) <= 30 - there + (8 if there < 30 else 0)  # two batches may be frozen and not noted
    assert ipldstore.copy(tmp_path / "a.zarr", IPLDStore()) == root


def test_a_target_is_left_alone_if_nothing_can_be_copied(tmp_path: Path) -> None:
    """A zip file is emptied when it is opened to write: not before it is known what goes there, nor over itself."""
    fill(tmp_path / "a.zarr")
    path = tmp_path / "a.zip"
    ipldstore.copy(tmp_path / "a.zarr", path)
    before = path.read_bytes()
    (tmp_path / "empty").mkdir()
    for source, error, options in (
        (LocalStore(tmp_path / "empty"), ValueError, {}),
        (tmp_path / "a.zarr", ValueError, {"rechunk": {"absent": 1}}),
        (tmp_path / "a.zarr", FileExistsError, {"overwrite": False}),
        (str(path), ValueError, {}),
    ):
        with pytest.raises(error):
            ipldstore.copy(source, path, **options)
        assert path.read_bytes() == before
    with pytest.raises(ValueError, match="none in"):
        ipldstore.copy(LocalStore(tmp_path / "empty"), tmp_path / "a.car")
    assert not (tmp_path / "a.car").exists()


def test_zip_files_that_list_folders(tmp_path: Path) -> None:
    """As ``zip -r`` and :func:`shutil.make_archive` make them."""
    fill(tmp_path / "a.zarr")
    path = shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "a.zarr")
    assert ipldstore.copy(path, tmp_path / "b.car") == ipldstore.copy(tmp_path / "a.zarr", tmp_path / "a.car")


def test_an_error_of_a_key_is_raised_as_it_is(tmp_path: Path) -> None:
    """Not as a group of errors of tasks."""
    source = MemoryStore()
    fill(source)
    sync(source.set("deep/t2m/c/\udcff", default_buffer_prototype().buffer.from_bytes(b"x")))
    with pytest.raises(ValueError, match="lone surrogate"):
        ipldstore.copy(source, tmp_path / "a.car")


@pytest.mark.parametrize("target", ["x.car", "x", "x.zarr"])
def test_a_copy_over_another_is_the_source(tmp_path: Path, target: str) -> None:
    """Chunks that were overwritten since, had other lengths, or that the source lacks, were taken for its own."""
    source, into = tmp_path / "a.zarr", tmp_path / target
    fill(source)

    def copied(**options: Any) -> Any:
        ipldstore.copy(source, into, **options)
        return values(ipldstore.open(into)) if target != "x.zarr" else values(LocalStore(into))

    ipldstore.copy(source, into)
    if target != "x.zarr":
        with ipldstore.open(into, "a") as store:
            zarr.open_array(store, path="deep/t2m", mode="r+")[:10, :8] = 7
    assert (copied() == DATA).all()
    assert (copied(rechunk={"deep/t2m": [30, np.int64(8)]}) == DATA).all()
    assert (copied() == DATA).all()
    array = zarr.open_array(source, path="deep/t2m", mode="r+")
    array[:10] = 0  # the chunks are deleted
    array.resize((20, 40))
    assert (copied() == array[:]).all()
    if target == "x.zarr":
        assert contents(into) == contents(source)
    else:
        assert ipldstore.open(into).root_cid == ipldstore.copy(source, IPLDStore())


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_consolidated_metadata_have_the_new_chunks(tmp_path: Path, zarr_format: Any) -> None:
    """They had the old ones, by which no chunk could be read."""
    fill(tmp_path / "a.zarr", zarr_format)
    zarr.consolidate_metadata(tmp_path / "a.zarr")
    ipldstore.copy(tmp_path / "a.zarr", tmp_path / "b.zarr", rechunk={"time": 30})
    found: Any = zarr.open_consolidated(tmp_path / "b.zarr")["deep/t2m"]
    assert (found.chunks, np.array_equal(found[:], DATA)) == ((30, 8), True)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_copy_over_another_format(tmp_path: Path, zarr_format: Any) -> None:
    """The metadata of the other format stayed, by which the chunks were not found."""
    fill(tmp_path / "a.zarr", zarr_format)
    fill(tmp_path / "b.zarr", 5 - zarr_format)
    ipldstore.copy(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert contents(tmp_path / "b.zarr") == contents(tmp_path / "a.zarr")


def test_nothing_is_copied_over_itself(tmp_path: Path) -> None:
    """Metadata for other chunks were written before the old chunks were read, which were lost by that."""
    memory, ours = MemoryStore(), IPLDStore()
    for place in (tmp_path / "a.zarr", LocalStore(tmp_path / "b.zarr"), memory, ours):
        group = fill(place)
        for target in (place, group, group["deep"]):
            with pytest.raises(ValueError, match="another target"):
                ipldstore.copy(place, target, rechunk={"time": 20})
        assert (values(place) == DATA).all()
    for place in (LocalStore(tmp_path / "b.zarr"), memory, ours):  # an array has nothing below it, also no source
        with pytest.raises(ValueError, match="while that is read"):
            ipldstore.copy(zarr.open_array(place, path="deep/t2m", mode="r"), place)
        assert (values(place) == DATA).all()
    ipldstore.copy(zarr.open_group(memory)["deep"], zarr.open_group(memory).create_group("other"))
    assert (values(memory, "other/t2m") == DATA).all()


def test_a_zip_file_appears_whole(tmp_path: Path) -> None:
    """What stopped a copy left half of it, where a whole file had been."""
    fill(tmp_path / "a.zarr")
    path = tmp_path / "x.zip"
    for before in (None, b"before"):
        if before is not None:
            path.write_bytes(before)
        source = counting(tmp_path / "a.zarr")
        source.most = 12
        with pytest.raises(ConnectionError, match="stopped"):
            ipldstore.copy(source, path)
        assert (path.read_bytes() if path.exists() else None) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.zarr", "x.zip"]
    ipldstore.copy(tmp_path / "a.zarr", path)
    assert (values(ZipStore(path)) == DATA).all()


def test_what_workers_cannot_write(tmp_path: Path) -> None:
    """Each process had a memory store, or a zip file, of its own: chunks were lost, and nobody said so."""
    fill(tmp_path / "a.zarr")
    with ProcessPoolExecutor(1) as pool:
        for target in (tmp_path / "x.zip", MemoryStore(), zarr.create_group(MemoryStore())):
            with pytest.raises(ValueError, match="without dask"):
                ipldstore.copy(tmp_path / "a.zarr", target, dask=pool)
    with pytest.raises(TypeError, match="Client"):
        ipldstore.copy(tmp_path / "a.zarr", tmp_path / "x", dask=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
