"""Archives that other makers wrote are opened as any dataset: each kind, by zarr and xarray, and never changed."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from typing import Any

import ipldstore
import pytest
from ipld_car.terminal.testing import Run
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype

from ..support.store_samples import zarr
from ..support.xarray_samples import xr
from .peers.samples import dataset
from .samples import ARCHIVES, GROUPS, archive

pytest.importorskip("blake3", reason="an extra of this package: pip install 'ipldstore[blake3]'")

PROTOTYPE = default_buffer_prototype()


@pytest.fixture(params=GROUPS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(name: str) -> IPLDStore:
    castore, root = archive(name)
    return IPLDStore(castore, root=root)


def opened(store: IPLDStore, name: str) -> Any:
    """Open the dataset as users do; what py-hamt writes into groups has no consolidated metadata."""
    return xr.open_zarr(store, group=GROUPS[name], consolidated=False if GROUPS[name] else None).load()


async def listed(names: AsyncIterator[str]) -> list[str]:
    return [each async for each in names]


def test_the_dataset_is_the_one_that_was_written(store: IPLDStore, name: str) -> None:
    xr.testing.assert_identical(opened(store, name), dataset())
    xr.testing.assert_identical(xr.open_zarr(store, group=GROUPS[name], consolidated=False).load(), dataset())


def test_it_is_opened_by_its_cid_and_as_the_root_of_its_archive(name: str) -> None:
    castore, root = archive(name)
    assert dict(ipldstore.open(str(root), castore=castore).mapping) == dict(IPLDStore(castore, root=root).mapping)
    with ipldstore.open(ARCHIVES / f"{name}.car") as store:
        xr.testing.assert_identical(opened(store, name), dataset())


async def test_listings_agree_with_each_other_and_with_reading(store: IPLDStore) -> None:
    keys = await listed(store.list())
    assert len(keys) == len(set(keys)) == len(store) == store.stats().keys > 50
    for key in keys:
        value = await store.get(key, PROTOTYPE)
        assert value is not None
        assert await store.exists(key)
        assert await store.getsize(key) == len(value.to_bytes()) == len(store[key])
    directories = {key.rpartition("/")[0] for key in keys}
    for directory in directories | {each.rpartition("/")[0] for each in directories}:
        prefix = f"{directory}/" if directory else ""
        below = {key[len(prefix) :].partition("/")[0] for key in keys if key.startswith(prefix)}
        names = await listed(store.list_dir(directory))
        assert len(names) == len(set(names))
        assert set(names) == below
        assert sorted(await listed(store.list_prefix(prefix))) == sorted(k for k in keys if k.startswith(prefix))
    assert await listed(store.list_prefix("temp/no")) == []


async def test_ranges_are_those_of_the_whole(store: IPLDStore) -> None:
    for key in ["zarr.json", ".zmetadata", *[key for key in store if key.endswith(("0/0/1", "0.0.1"))]]:
        whole = await store.get(key, PROTOTYPE)
        if whole is None:
            continue
        data = whole.to_bytes()
        parts: list[tuple[ByteRequest, bytes]] = [
            (RangeByteRequest(3, 17), data[3:17]),
            (RangeByteRequest(0, 10**9), data),
            (OffsetByteRequest(5), data[5:]),
            (OffsetByteRequest(10**9), b""),
            (SuffixByteRequest(7), data[-7:]),
            (SuffixByteRequest(10**9), data),
        ]
        for wanted, expected in parts:
            part = await store.get(key, PROTOTYPE, wanted)
            assert part is not None
            assert part.to_bytes() == expected


@pytest.mark.parametrize(
    "key", ["", "/", "absent", "temp", "temp/", "temp/c", "temp//.zarray", "temp/./.zarray", "../x", "a\0", "\ud800"]
)
async def test_what_is_no_key_is_absent(store: IPLDStore, key: str) -> None:
    assert await store.get(key, PROTOTYPE) is None
    assert not await store.exists(key)
    assert key not in store


def test_every_verb_that_changes_says_what_to_do(store: IPLDStore) -> None:
    root = store.root_cid
    buffer = PROTOTYPE.buffer.from_bytes(b"x")
    verbs: dict[str, Any] = {
        "set": lambda: asyncio.run(store.set("a", buffer)),
        "set_if_not_exists": lambda: asyncio.run(store.set_if_not_exists("a", buffer)),
        "delete": lambda: asyncio.run(store.delete("a")),
        "delete_dir": lambda: asyncio.run(store.delete_dir("a")),
        "clear": lambda: asyncio.run(store.clear()),
        "set_sync": lambda: store.set_sync("a", buffer),
        "delete_sync": lambda: store.delete_sync("a"),
        "setitem": lambda: store.__setitem__("a", b""),
        "delitem": lambda: store.__delitem__(next(iter(store))),
        "mapping": store.mapping.clear,
        "import_car": lambda: store.import_car(IPLDStore().to_car()),
        "fork": store.fork,
        "writable view": lambda: store.with_read_only(False).set_sync("a", buffer),
        "read-only view": lambda: store.with_read_only(True).set_sync("a", buffer),
    }
    for verb, call in verbs.items():
        with pytest.raises(IPLDStoreError, match=r"canonicalize\(into=castore\)") as caught:
            call()
        assert str(root) in str(caught.value), verb
    assert store.read_only
    assert store.root_cid == root == store.freeze()
    assert not store.has_changes
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_group(store, mode="a")


def test_a_store_goes_from_a_root_of_another_maker_to_one_of_its_own_and_back(name: str) -> None:
    castore, root = archive(name)
    store = IPLDStore(castore)
    store["a/0"] = b"chunk"
    own = store.freeze()
    store.set_root(root)
    assert store.read_only
    assert "a/0" not in store
    store.set_root(own)
    store["a/1"] = b"another"
    assert sorted(store) == ["a/0", "a/1"]


def test_copies_and_archives_are_of_the_same_root(store: IPLDStore) -> None:
    copied = pickle.loads(pickle.dumps(store))  # noqa: S301  # our own
    assert copied == store
    assert dict(copied.mapping) == dict(store.mapping)
    again = IPLDStore.from_car(store.to_car())
    assert again.root_cid == store.root_cid
    assert dict(again.mapping) == dict(store.mapping)


def test_a_lost_block_is_an_error_and_never_an_absent_key(name: str) -> None:
    castore, root = archive(name)
    keys = list(IPLDStore(castore, root=root))
    for cid in list(castore.mapping):
        damaged = MappingCAStore({key: data for key, data in castore.mapping.items() if key != cid})
        try:
            store = IPLDStore(damaged, root=root)
        except IPLDStoreError as error:
            errors = [error]
        else:
            errors = [found for key in keys if (found := error_of(store, key)) is not None]
        assert errors, f"block {cid} is not needed"
        assert all(cid in str(found) for found in errors)


def error_of(store: IPLDStore, key: str) -> IPLDStoreError | None:
    """Return the error of reading a key that is there; no other error is one of a lost block."""
    try:
        assert store[key] is not None
    except IPLDStoreError as error:
        return error
    return None


def test_without_blake3_the_error_says_what_to_install(python: Run) -> None:
    """In a process in which it cannot be imported."""
    program = (
        "import sys; sys.modules['blake3'] = None\n"
        "import ipldstore\n"
        "try: ipldstore.open(sys.argv[1])\n"
        "except ipldstore.IPLDStoreError as error: print(error)\n"
    )
    for name in ("hamt-3", "sharded-v2"):
        told = python(program, ARCHIVES / f"{name}.car").text
        assert "pip install" in told
        assert "[blake3]" in told
