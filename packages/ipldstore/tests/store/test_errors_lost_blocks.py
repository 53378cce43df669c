"""A link whose block is missing or wrong is an IPLDStoreError: never an absent key, never fill values.

zarr takes KeyError and FileNotFoundError for "not there", so each of its ways to a block is tried here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from ipld_castore import ContentAddressableStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID
from zarr.core.buffer.cpu import Buffer

from ..support.lost_blocks import (
    BIG,
    ROWS,
    WIDE,
    Use,
    all_raise,
    all_refuse,
    array_uses,
    chunk_key,
    drain,
    looks,
    metadata_name,
    reads,
    wait,
    write_sample,
)
from ..support.store_samples import DAMAGES, damage, link_at, written, zarr

pytestmark = pytest.mark.covering


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def samples() -> dict[int, tuple[CID, list[tuple[CID, bytes]]]]:
    """Root and blocks of the sample in each format."""

    def made(zarr_format: int) -> tuple[CID, list[tuple[CID, bytes]]]:
        castore = MappingCAStore()
        root = write_sample(castore, zarr_format)
        return root, list(castore.get_dag(root))

    return {2: made(2), 3: made(3)}


@pytest.fixture
def sample(
    castore: ContentAddressableStore, zarr_format: int, samples: dict[int, tuple[CID, list[tuple[CID, bytes]]]]
) -> CID:
    """The root of the sample, which ``castore`` now has."""
    root, blocks = samples[zarr_format]
    castore.put_blocks(blocks)
    return root


@pytest.fixture
def metadata(zarr_format: int) -> str:
    return metadata_name(zarr_format)


@pytest.fixture
def chunk(zarr_format: int) -> Callable[..., str]:
    """The key of a chunk."""
    return partial(chunk_key, zarr_format)


def test_the_sample_is_whole(castore: ContentAddressableStore, sample: CID, zarr_format: int) -> None:
    group = zarr.open_group(IPLDStore(castore, root=sample), mode="r", zarr_format=zarr_format)
    assert np.array_equal(group["rows"], ROWS)
    assert np.array_equal(group["wide/v03"], WIDE)
    assert np.array_equal(group["big"], BIG)
    assert len(group.attrs) == 0


@pytest.mark.parametrize("how", DAMAGES)
def test_a_chunk(castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], how: str) -> None:
    key = chunk("wide/v03", 1, 0)
    damage(castore, link_at(castore, sample, *key.split("/")), how)
    all_raise(castore, sample, reads(key))
    for use in (
        lambda store: zarr.open_array(store, path="wide/v03", mode="r")[...],
        lambda store: zarr.open_array(store, path="wide/v03", mode="r")[1, 2],
        lambda store: zarr.open_group(store, mode="r")["wide/v03"][1],
        lambda store: zarr.open(store, mode="r")["wide/v03"].oindex[[1], [0]],
        lambda store: zarr.open_array(store, path="wide/v03", mode="r+").__setitem__((1, 0), 5.0),  # a part of a chunk
    ):
        all_raise(castore, sample, {"through zarr": use})
    # What does not need the block works.
    store = IPLDStore(castore, root=sample)
    assert key in store
    assert np.array_equal(zarr.open_array(store, path="wide/v03")[0], WIDE[0])
    assert np.array_equal(zarr.open_array(store, path="wide/v03")[2], WIDE[2])


def test_a_chunk_that_is_lost_can_be_written_anew(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str]
) -> None:
    for how in DAMAGES:
        damage(castore, link_at(castore, sample, *chunk("wide/v03", 1, 0).split("/")), how)
        store = IPLDStore(castore, root=sample)
        zarr.open_array(store, path="wide/v03", mode="r+")[1] = WIDE[1]
        assert store.freeze() == sample
        assert np.array_equal(zarr.open_array(IPLDStore(castore, root=sample), path="wide/v03"), WIDE)


@pytest.mark.parametrize(("leaf", "how"), list(enumerate(DAMAGES)))
def test_a_leaf_of_a_large_value(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], how: str, leaf: int
) -> None:
    key = chunk("big", 0)
    file = link_at(castore, sample, *key.split("/"))
    assert file.codec.name == "dag-pb"
    leaves = [cid for cid, _ in castore.get_dag(file)][1:]
    assert len(leaves) == 3
    damage(castore, leaves[leaf], how)
    all_raise(castore, sample, reads(key))
    all_raise(castore, sample, {"array": lambda store: zarr.open_array(store, path="big", mode="r")[...]})


@pytest.mark.parametrize("how", DAMAGES)
def test_the_root_of_a_large_value(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], how: str
) -> None:
    key = chunk("big", 0)
    damage(castore, link_at(castore, sample, *key.split("/")), how)
    sizes = {name: use for name, use in looks(key).items() if name.startswith("getsize")}
    assert len(sizes) == 2
    all_raise(castore, sample, reads(key) | sizes)
    all_raise(castore, sample, {"array": lambda store: zarr.open_array(store, path="big", mode="r")[...]})


@pytest.mark.parametrize("how", ["missing", "emptied"])
def test_the_size_of_a_lost_value(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], how: str
) -> None:
    """Sizes are asked of the backend without reading a byte; what it cannot know without is not lost on it."""
    key = chunk("wide/v03", 1, 0)
    damage(castore, link_at(castore, sample, *key.split("/")), how)
    sizes = {name: use for name, use in looks(key).items() if name.startswith("getsize")}
    all_raise(castore, sample, sizes)


@pytest.mark.parametrize("how", DAMAGES)
def test_the_directory_of_an_array(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], metadata: str, how: str
) -> None:
    """The reason for all this: `"v03" in group` must not be false because a block is lost."""
    damage(castore, link_at(castore, sample, "wide", "v03"), how)
    for key in (f"wide/v03/{metadata}", chunk("wide/v03", 1, 0)):
        all_raise(castore, sample, reads(key) | looks(key))
    listing: dict[str, Use] = {
        "list_dir": drain(lambda store: store.list_dir("wide/v03")),
        "is_empty": wait(lambda store: store.is_empty("wide/v03")),
    }
    all_raise(castore, sample, listing)
    changes: dict[str, Use] = {
        "set": wait(lambda store: store.set(chunk("wide/v03", 0, 0), Buffer.from_bytes(b"new"))),
        "set_sync": lambda store: store.set_sync(chunk("wide/v03", 0, 0), Buffer.from_bytes(b"new")),
        "mapping": lambda store: store.mapping.update({"wide/v03/c/9/9/9": b"new"}),
        "metadata": lambda store: store.__setitem__(f"wide/v03/{metadata}", b"{}"),
        "delete_dir": wait(lambda store: store.delete_dir("wide/v03/c")),
    }
    all_refuse(castore, sample, changes)
    all_raise(castore, sample, array_uses("wide/v03"))


@pytest.mark.parametrize("how", DAMAGES)
def test_the_document_of_an_array(castore: ContentAddressableStore, sample: CID, zarr_format: int, how: str) -> None:
    key = "long/zarr.json" if zarr_format == 3 else "long/.zattrs"
    damage(castore, link_at(castore, sample, *key.split("/")), how)
    sizes = {name: use for name, use in looks(key).items() if name.startswith("getsize")}
    all_raise(castore, sample, reads(key) | sizes)
    uses = array_uses("long")
    if zarr_format == 2:
        del uses["create_array"]  # it sees an array, whatever its attributes, and says so
    all_raise(castore, sample, uses)


@pytest.mark.parametrize("how", DAMAGES)
def test_the_index_of_an_array(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], how: str
) -> None:
    damage(castore, link_at(castore, sample, "rows", "__ipld_chunks__", 0, 1), how)
    key = chunk("rows", 17)
    all_raise(castore, sample, reads(key) | looks(key))
    uses: dict[str, Use] = {
        "list_dir": drain(lambda store: store.list_dir("rows")),
        "read": lambda store: zarr.open_array(store, path="rows", mode="r")[...],
        "one": lambda store: zarr.open_array(store, path="rows", mode="r")[17],
        "nchunks_initialized": lambda store: zarr.open_array(store, path="rows", mode="r").nchunks_initialized,
    }
    all_raise(castore, sample, uses)

    def freeze_a_change(store: IPLDStore) -> None:
        store[key] = b"four"
        try:
            store.freeze()
        finally:
            assert store.root_cid is None
            assert store[key] == b"four"  # nothing is lost
            store.set_root(sample, discard_changes=True)

    all_raise(castore, sample, {"freeze": freeze_a_change})


@pytest.mark.parametrize("how", DAMAGES)
def test_an_index_of_names(castore: ContentAddressableStore, how: str) -> None:
    """A group of very many arrays: the leaf that has one of them is lost."""
    root = written({f"n{number}/.zgroup": b"{}" for number in range(2100)}, castore).freeze()
    parts = castore.get(root)["__ipld_names__"]
    assert len(parts) > 1
    damage(castore, parts[-1][1], how)
    key = f"{parts[-1][0]}/.zgroup"
    all_raise(castore, root, reads(key) | looks(key))
    all_raise(castore, root, {"list_dir": drain(lambda store: store.list_dir(""))})
    all_refuse(castore, root, {"a new name": lambda store: store.__setitem__("zzz/.zgroup", b"{}")})


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("zarr_format", [3], ids=["v3"])
def test_a_shard(castore: ContentAddressableStore, sample: CID, how: str) -> None:
    key = "shards/c/0"
    damage(castore, link_at(castore, sample, *key.split("/")), how)
    uses: dict[str, Use] = {
        "whole": lambda store: zarr.open_array(store, path="shards", mode="r")[...],
        "one inner chunk": lambda store: zarr.open_array(store, path="shards", mode="r")[9],
        "one inner chunk, written": lambda store: zarr.open_array(store, path="shards", mode="r+").__setitem__(9, 5),
    }
    all_raise(castore, sample, reads(key) | uses)


@pytest.mark.parametrize("how", DAMAGES)
def test_the_root(castore: ContentAddressableStore, sample: CID, how: str) -> None:
    other = IPLDStore(castore)
    other["kept"] = b"kept"
    kept = other.freeze()
    damage(castore, sample, how)
    with pytest.raises(IPLDStoreError, match=str(sample)):
        IPLDStore(castore, root=sample)
    with pytest.raises(IPLDStoreError, match=str(sample)):
        other.set_root(sample)
    assert other.root_cid == kept
    assert other["kept"] == b"kept"


def test_a_block_that_comes_back_is_read(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str]
) -> None:
    """An error is not remembered."""
    key = chunk("wide/v03", 1, 0)
    store = IPLDStore(castore, root=sample)
    for cid in (link_at(castore, sample, "wide", "v03"), link_at(castore, sample, *key.split("/"))):
        block = castore.get_raw(cid)
        damage(castore, cid, "missing")
        with pytest.raises(IPLDStoreError):
            store[key]
        castore.put_block(cid, block)
    assert store[key] == WIDE[1].tobytes()


def test_an_error_says_what_and_where(castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str]) -> None:
    key = chunk("wide/v03", 1, 0)
    cid = link_at(castore, sample, *key.split("/"))
    for how, said in (("missing", "no block"), ("flipped", "digest"), ("emptied", "digest")):
        block = castore.get_raw(cid)
        damage(castore, cid, how)
        with pytest.raises(IPLDStoreError) as caught:
            IPLDStore(castore, root=sample)[key]
        message = str(caught.value)
        assert key in message
        assert str(cid) in message
        assert said in message
        assert caught.value.__cause__ is not None
        castore.put_block(cid, block)
