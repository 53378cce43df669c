"""The ways in which zarr moves chunks: its usual pipeline, the synchronous one where there is one, wrappers, ranges."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ipld_castore import ContentAddressableStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from ipldstore._store.zarr_store import _bytes_of

from ..support.store_samples import ObservedCAStore, damage, link_at, zarr

FUSED = "zarr.core.codec_pipeline.FusedCodecPipeline"
VALUES = np.arange(40 * 50, dtype="f8").reshape(40, 50)


def has_fused() -> bool:
    return hasattr(importlib.import_module("zarr.core.codec_pipeline"), "FusedCodecPipeline")


NEEDS_FUSED = pytest.mark.skipif(not has_fused(), reason="this zarr has no synchronous pipeline")


@pytest.fixture(params=["usual", pytest.param("fused", marks=NEEDS_FUSED)])
def pipeline(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each of zarr's codec pipelines in turn."""
    with zarr.config.set({"codec_pipeline.path": FUSED} if request.param == "fused" else {}):
        yield


@pytest.fixture(params=["plain", "zstd", "sharded", "v2"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How an array is made."""
    common = {"shape": VALUES.shape, "dtype": "f8", "chunks": (4, 5), "fill_value": -1.0}
    made: dict[str, dict[str, Any]] = {
        "plain": {"compressors": None},
        "zstd": {},
        "sharded": {"shards": (20, 25)},
        "v2": {"zarr_format": 2},
    }
    return common | made[request.param]


@pytest.mark.usefixtures("pipeline")
def test_each_pipeline_writes_and_reads(castore: ContentAddressableStore, options: dict[str, Any]) -> None:
    store = IPLDStore(castore)
    array = zarr.create_array(store, name="a", **options)
    array[...] = VALUES
    array[3:9, 7] = 0.5
    expected = VALUES.copy()
    expected[3:9, 7] = 0.5
    again = zarr.open_array(IPLDStore(castore, root=store.freeze()), path="a", mode="r")
    assert np.array_equal(again[...], expected)
    assert np.array_equal(again[2:11, 3:9], expected[2:11, 3:9])
    assert np.array_equal(again.oindex[[1, 30], [2, 2, 49]], expected[np.ix_([1, 30], [2, 2, 49])])
    assert np.array_equal(again.vindex[[1, 30], [2, 49]], expected[[1, 30], [2, 49]])


@NEEDS_FUSED
def test_both_pipelines_give_one_root(options: dict[str, Any]) -> None:
    roots = []
    for path in (None, FUSED):
        store = IPLDStore()
        with zarr.config.set({"codec_pipeline.path": path} if path else {}):
            zarr.create_array(store, name="a", **options)[...] = VALUES
        roots.append(store.freeze())
    assert roots[0] == roots[1]


@pytest.mark.usefixtures("pipeline")
def test_a_lost_block_is_an_error_in_each_pipeline(castore: ContentAddressableStore) -> None:
    store = IPLDStore(castore)
    array = zarr.create_array(store, name="a", shape=(4,), chunks=(1,), dtype="i4", fill_value=-1, compressors=None)
    array[:] = [1, 2, 3, 4]
    root = store.freeze()
    damage(castore, link_at(castore, root, "a", "c", "2"), "missing")
    again = zarr.open_array(IPLDStore(castore, root=root), path="a", mode="r+")
    with pytest.raises(IPLDStoreError):
        again[:]
    with pytest.raises(IPLDStoreError):
        again[2]
    assert again[3] == 4


def test_the_synchronous_verbs_are_offered_where_blocks_are_local() -> None:
    """A backend that is a network away must not hold up zarr's threads one by one."""

    class Remote(ObservedCAStore):
        local = False

    store_module = importlib.import_module("zarr.abc.store")
    offers = getattr(store_module, "_store_supports_sync_io", None)
    if offers is None:
        pytest.skip("this zarr has no way to opt out of synchronous verbs")
    assert offers(IPLDStore())
    assert not offers(IPLDStore(Remote(MappingCAStore())))


def test_reading_a_bit_of_a_shard_reads_a_bit_of_it() -> None:
    """A shard of several blocks: its index and one inner chunk are two leaves at most."""
    castore = ObservedCAStore(MappingCAStore())
    store = IPLDStore(castore)
    values = np.random.default_rng(3).integers(0, 2**30, (512, 1024), dtype="i4")  # 2 MiB
    big = np.concatenate([values + number for number in range(4)])
    array = zarr.create_array(
        store, name="a", shape=big.shape, chunks=(64, 64), shards=big.shape, dtype="i4", compressors=None
    )
    array[...] = big
    root = store.freeze()
    shard = link_at(castore, root, "a", "c", "0", "0")
    leaves = [cid for cid, _ in castore.inner.get_dag(shard)][1:]
    assert len(set(leaves)) >= 5
    again = zarr.open_array(IPLDStore(castore, root=root), path="a", mode="r")
    castore.forget()
    assert np.array_equal(again[70:80, 70:80], big[70:80, 70:80])
    assert len({str(cid) for cid in castore.got} & {str(leaf) for leaf in leaves}) <= 3


def test_zarrs_wrappers_wrap_it(castore: ContentAddressableStore) -> None:
    store = IPLDStore(castore)
    wrapped = zarr.storage.LoggingStore(store, log_level="CRITICAL")
    array = zarr.create_array(wrapped, name="a", shape=(4,), chunks=(2,), dtype="i4")
    array[:] = [1, 2, 3, 4]
    assert zarr.open_array(store, path="a")[:].tolist() == [1, 2, 3, 4]


def test_a_group_that_is_pickled_and_opened_again(castore: ContentAddressableStore) -> None:
    group = zarr.create_group(IPLDStore(castore), attributes={"a": 1})
    group.create_array("x", data=np.arange(3))
    again = pickle.loads(pickle.dumps(group))  # noqa: S301  # made here
    assert again.attrs["a"] == 1
    assert again["x"][:].tolist() == [0, 1, 2]
    again["x"][0] = 7
    assert group["x"][:].tolist() == [7, 1, 2]


def test_resize_and_append(castore: ContentAddressableStore) -> None:
    """Shrinking deletes chunks, so that the root is that of an array that never was larger."""
    store = IPLDStore(castore)
    array = zarr.create_array(store, name="a", shape=(4, 3), chunks=(1, 1), dtype="i4")
    array[...] = 1
    root = store.freeze()
    array.append(np.full((3, 3), 2, "i4"))
    assert array.shape == (7, 3)
    assert store.freeze() != root
    array.resize((4, 3))
    assert store.freeze() == root


def test_copying_from_another_store(castore: ContentAddressableStore) -> None:
    """A hierarchy that is elsewhere, key by key: the root is that of the same written here."""
    source = zarr.storage.MemoryStore()
    zarr.create_array(source, name="g/a", data=VALUES, chunks=(7, 9))
    target = IPLDStore(castore)
    for key, buffer in source._store_dict.items():
        target[key] = buffer.to_bytes()
    direct = IPLDStore()
    zarr.create_array(direct, name="g/a", data=VALUES, chunks=(7, 9))
    assert target.freeze() == direct.freeze()
    assert np.array_equal(zarr.open_array(target, path="g/a", mode="r"), VALUES)


def test_bytes_of_codecs_are_taken_as_they_are_and_arrays_are_copied() -> None:
    """What a caller can still change is never what a block holds, or hashes to."""
    made = bytes(range(100))
    array = np.frombuffer(made, "u1")
    assert _bytes_of(array) is made
    assert _bytes_of(array.reshape(10, 10)[:].ravel()) is made
    assert _bytes_of(array.view("<u4")) is made
    for other in (array[1:], array[:0], array[::-1], array[::2], array.reshape(10, 10).T, array.reshape(2, 50)[1:]):
        assert _bytes_of(other) == other.tobytes()
    for changing in (np.arange(9, dtype="u1"), np.frombuffer(bytearray(range(9)), "u1")):
        taken = _bytes_of(changing)
        changing[:] = 0
        assert taken == bytes(range(9))
    assert _bytes_of(np.frombuffer(b"", "u1")) == b""
