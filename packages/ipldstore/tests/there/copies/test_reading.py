"""Where a copy gets its chunks: what is in a file is what is copied, and nothing is hashed twice."""

from __future__ import annotations

import asyncio
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipld_castore import CAStoreError
from ipldstore import IPLDStore
from ipldstore._there.copies import copy as copy_module
from ipldstore._there.copies.chunks.reading import ZipReader, reader_from
from ipldstore._there.ends import End
from multiformats import CID
from zarr.core.sync import sync
from zarr.storage import MemoryStore, ObjectStore, ZipStore


def reader(path: Path, make: Callable[[zipfile.ZipFile], None]) -> ZipReader:
    with zipfile.ZipFile(path, "a") as archive:
        make(archive)
    return ZipReader(End(sync(ZipStore.open(path, mode="r", read_only=True)), "a", None))


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_of_a_zip(tmp_path: Path, kind: int) -> None:
    """Stored or compressed, behind other bytes, with a local header that is longer than the central one, and empty."""
    path = tmp_path / "x.zip"
    path.write_bytes(b"before the archive")

    def fill(archive: zipfile.ZipFile) -> None:
        with archive.open(zipfile.ZipInfo("a/1"), "w", force_zip64=True) as member:
            member.write(b"one")
        archive.writestr("a/2", b"two" * 1000, kind)
        archive.writestr("a/3", b"", kind)

    found = reader(path, fill)
    assert [found.read_sync(key, None) for key in "1234"] == [b"one", b"two" * 1000, b"", None]


@pytest.mark.parametrize("at", [0, 26, 40], ids=["signature", "length of the name", "bytes"])
def test_a_damaged_member_of_a_zip_is_an_error(tmp_path: Path, at: int) -> None:
    path = tmp_path / "x.zip"
    found = reader(path, lambda archive: archive.writestr("a/1", b"value" * 10))
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(zipfile.BadZipFile):
        found.read_sync("1", None)


def test_what_a_dataset_has_verified_is_not_hashed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of one block: their links are their CIDs. Larger ones are files, whose blocks are made anew."""
    source, target = IPLDStore(), IPLDStore()
    zarr.create_array(source, data=np.arange(30), chunks=(1,), compressors=None, fill_value=-1)
    source["large"] = bytes(3 << 20)
    root = source.freeze()
    hashed: list[bytes] = []
    monkeypatch.setattr("ipldstore._dataset.values.link_of", hashed.append)
    assert ipldstore.copy(source, target) == root
    assert hashed == []
    assert target["large"] == source["large"]


def test_a_chunk_that_is_set_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes under a link are those that the link names, also if the key has another link when they are read."""
    source, target = IPLDStore(), IPLDStore()
    zarr.create_array(source, name="a", data=np.arange(4), chunks=(1,), compressors=None, fill_value=-1)
    root = source.freeze()
    find = type(source._data).find

    def find_and_set(self: Any, key: str) -> Any:
        found = find(self, key)
        if self is source._data and key == "a/c/1":
            monkeypatch.undo()
            source[key] = bytes(8)
        return found

    monkeypatch.setattr(type(source._data), "find", find_and_set)
    ipldstore.copy(source, target)
    assert source["a/c/1"] == bytes(8)
    assert target.freeze() == root
    assert target.verify()


def test_an_object_that_was_deleted_since_it_was_listed() -> None:
    obstore = pytest.importorskip("obstore", reason="the extra object is not installed")
    objects = obstore.store.MemoryStore()
    objects.put("a/c/0", b"value")
    found = reader_from(End(ObjectStore(objects), "a", None))
    assert (found.read_sync("c/0", None), found.read_sync("c/1", None)) == (b"value", None)


class Waits(MemoryStore):
    """Counts the chunks that are read at a time, by array."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: dict[str, int] = {}
        self.most: dict[str, int] = {}

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        name = key.partition("/")[0]
        self.reads[name] = self.reads.get(name, 0) + 1
        self.most[name] = max(self.most.get(name, 0), self.reads[name])
        for _ in range(10):
            await asyncio.sleep(0)
        self.reads[name] -= 1
        return await super().get(key, *args, **kwargs)


def test_large_chunks_are_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many were read at a time as fit of the largest chunk so far, which was that of a coordinate."""
    monkeypatch.setattr("ipldstore._there.copies.budget.BYTES", 4000)
    source = Waits()
    for name, length in (("a", 1), ("large", 500)):
        made = zarr.create_array(
            source, name=name, shape=(40 * length,), chunks=(length,), dtype="i2", compressors=None
        )
        made[:] = 1
    source.most.clear()
    ipldstore.copy(source, MemoryStore())
    assert (source.most["a"], source.most["large"]) == (40, 4)


def test_an_error_keeps_its_cause(tmp_path: Path) -> None:
    """The command words what the cause says, and decides by it about its exit code; it was lost between tasks."""
    store = IPLDStore()
    zarr.create_array(store, shape=(4,), chunks=(2,), dtype="i4")[:] = 1
    store.freeze()
    castore: Any = store.castore
    castore.delete_block(CID.decode(store.links("").cids[0].tobytes()))
    with pytest.raises(ipldstore.BlockMissingError) as error:
        ipldstore.copy(store, tmp_path / "x.zarr")
    assert isinstance(error.value.__cause__, CAStoreError)


def test_tasks_behind_one_that_failed_are_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They went on writing into the target after the copy had raised its error."""
    tasks: list[Future[int]] = []
    ended: list[str] = []

    def end() -> None:
        ended.append("the second")
        tasks[1].set_result(1)

    class Executor:
        def submit(self, *_: object) -> Future[int]:
            tasks.append(Future())
            if len(tasks) == 1:
                tasks[0].set_exception(OSError("the first"))
            if len(tasks) == 2:
                tasks[1].set_running_or_notify_cancel()
                threading.Timer(0.05, end).start()
            return tasks[-1]

    monkeypatch.setattr(copy_module, "_TASK_KEYS", 1)
    zarr.create_array(tmp_path / "a.zarr", shape=(8,), chunks=(2,), dtype="i4")[:] = 1
    with pytest.raises(OSError, match="the first"):
        ipldstore.copy(tmp_path / "a.zarr", tmp_path / "x.zarr", dask=Executor())
    assert ended == ["the second"]
    assert [task.cancelled() for task in tasks] == [False, False, True, True]
