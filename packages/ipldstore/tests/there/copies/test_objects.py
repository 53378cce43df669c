"""Copying from object stores: what was copied, and has not changed, is not read again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore

obstore = pytest.importorskip("obstore", reason="the extra object is not installed")


def test_a_second_copy_reads_no_chunk_again(tmp_path: Path) -> None:
    from zarr.storage import ObjectStore

    objects = obstore.store.MemoryStore()
    source = ObjectStore(objects)
    array = zarr.create_array(source, name="a", shape=(4,), chunks=(2,), dtype="i4")
    array[:] = np.arange(4)
    first = ipldstore.copy(source, tmp_path / "a.car")
    objects.put("a/c/0", obstore.get(objects, "a/c/0").bytes())  # another object with the same bytes
    assert ipldstore.copy(source, tmp_path / "a.car") == first
    array[2:] = 9
    assert ipldstore.copy(source, tmp_path / "a.car") != first
    with ipldstore.open(tmp_path / "a.car") as store:
        assert np.asarray(zarr.open_array(store, path="a", mode="r")[:]).tolist() == [0, 1, 9, 9]


def test_memory_stores_number_their_objects(tmp_path: Path) -> None:
    """Those of another one have the same ETags, and were taken for what had been copied before."""
    from zarr.storage import ObjectStore

    for value in (1, 2):
        source = ObjectStore(obstore.store.MemoryStore())
        source.__class__ = type(
            "OneName", (ObjectStore,), {"__str__": lambda _: "object_store://memory at one address"}
        )
        zarr.create_array(source, name="a", shape=(4,), chunks=(2,), dtype="i4")[:] = value
        ipldstore.copy(source, tmp_path / "a.car")
        with ipldstore.open(tmp_path / "a.car") as store:
            assert np.asarray(zarr.open_array(store, path="a", mode="r")[:]).tolist() == [value] * 4


def test_a_folder_of_obstore_is_not_copied_over_itself(tmp_path: Path) -> None:
    from zarr.storage import LocalStore, ObjectStore

    zarr.create_array(tmp_path / "a.zarr", shape=(4,), chunks=(2,), dtype="i4")[:] = 1
    for source in (tmp_path / "a.zarr", LocalStore(tmp_path / "a.zarr")):
        with pytest.raises(ValueError, match="another target"):
            ipldstore.copy(source, ObjectStore(obstore.store.LocalStore(tmp_path / "a.zarr")), rechunk={"": (4,)})


def test_a_bucket_is_listed_once_and_its_documents_are_read_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing far away is a round trip for each 1,000 objects, and a document another."""
    from zarr.storage import ObjectStore

    source = ObjectStore(obstore.store.MemoryStore())
    group = zarr.create_group(source)
    for name in "abc":
        group.create_array(name, data=np.arange(4), chunks=(2,), fill_value=-1)
    listings: list[object] = []
    list_all = obstore.store.MemoryStore.list

    def count(self: Any, **given: Any) -> Any:
        listings.append(self)
        return list_all(self, **given)

    monkeypatch.setattr(obstore.store.MemoryStore, "list", count)
    all_asked = asyncio.Event()
    asked: list[str] = []
    get = ObjectStore.get

    async def hold(self: ObjectStore[Any], key: str, *args: Any, **kwargs: Any) -> Any:
        if key.endswith("zarr.json") and not all_asked.is_set():
            asked.append(key)
            if len(asked) == 4:
                all_asked.set()
            await asyncio.wait_for(all_asked.wait(), 60)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(ObjectStore, "get", hold)
    root = ipldstore.copy(source, tmp_path / "a.car")
    assert len(listings) == 1
    monkeypatch.undo()
    assert ipldstore.copy(source, IPLDStore()) == root


def test_a_bucket_is_asked_for_its_head_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time is a round trip, and nothing else is done in it. The head moves by one conditional put."""
    from ipld_castore import ObjectCAStore

    zarr.create_array(tmp_path / "a.zarr", data=np.arange(4, dtype="i4"), chunks=(2,))
    objects = obstore.store.MemoryStore()
    monkeypatch.setattr(ObjectCAStore, "from_url", lambda _url, **_: ObjectCAStore(objects))
    asked: list[str] = []

    def count(verb: str) -> None:
        action = getattr(obstore.store.MemoryStore, verb)

        def counted(self: Any, name: str, *args: Any, **given: Any) -> Any:
            asked.append(f"{verb} {name}")
            return action(self, name, *args, **given)

        monkeypatch.setattr(obstore.store.MemoryStore, verb, counted)

    count("get")
    count("put")
    root = ipldstore.copy(tmp_path / "a.zarr", "s3://bucket/a")
    assert [each for each in asked if each.endswith("HEAD")] == ["get HEAD", "put HEAD"]
    with ipldstore.open("s3://bucket/a") as store:
        assert store.root_cid == root
