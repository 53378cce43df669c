"""Whether a store says that it has consolidated metadata: zarr fails, or looks in vain, where it says wrong."""

from __future__ import annotations

from typing import Any

import pytest
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore

from ..support.store_samples import ObservedCAStore, zarr

pytestmark = pytest.mark.smoke


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def sample(zarr_format: int, **attributes: Any) -> IPLDStore:
    store = IPLDStore()
    group = zarr.create_group(store, zarr_format=zarr_format, attributes=attributes)
    for name in ("x", "long name"):
        inner = group.create_group(name)
        inner.create_array("a", shape=(1,), dtype="i4", attributes=attributes)
        inner.create_array("another", shape=(2,), dtype="i4")
    return store


def members(group: Any) -> set[str]:
    return {path for path, _ in group.members(max_depth=None)}


MEMBERS = {f"{name}{below}" for name in ("x", "long name") for below in ("", "/a", "/another")}


def test_it_says_so_where_it_is(zarr_format: int) -> None:
    store = sample(zarr_format)
    reader = store.with_read_only(True)
    assert store.supports_consolidated_metadata  # it can be written
    assert not reader.supports_consolidated_metadata
    zarr.consolidate_metadata(store)
    assert reader.supports_consolidated_metadata
    again = IPLDStore(store.castore, root=store.freeze(), read_only=True)
    assert again.supports_consolidated_metadata
    name = ".zmetadata" if zarr_format == 2 else "zarr.json"
    del store[name]
    assert not reader.supports_consolidated_metadata


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({}, id="embedded"),
        pytest.param({"long": "x" * 50_000}, id="a block"),
        pytest.param({"nan": float("nan")}, id="exact bytes"),
        pytest.param({"huge": 2**70}, id="exact bytes too"),
    ],
)
def test_consolidated_metadata_are_used(zarr_format: int, attributes: dict[str, Any]) -> None:
    """However their document is kept: embedded, as a block of its own, as exact bytes."""
    store = sample(zarr_format, **attributes)
    zarr.consolidate_metadata(store)
    castore = ObservedCAStore(store.castore)
    again = IPLDStore(castore, root=store.freeze(), read_only=True)
    group = zarr.open_consolidated(again, mode="r", zarr_format=zarr_format)
    assert group.metadata.consolidated_metadata is not None
    assert members(group) == MEMBERS
    assert members(zarr.open_group(again, mode="r")) == MEMBERS
    assert set(group["long name"].array_keys()) == {"a", "another"}
    assert repr(group["x/a"].attrs.asdict()) == repr(attributes)


def test_a_group_within_can_have_them_alone(zarr_format: int) -> None:
    store = sample(zarr_format)
    zarr.consolidate_metadata(store, path="x")
    again = IPLDStore(store.castore, root=store.freeze(), read_only=True)
    group = zarr.open_consolidated(again, path="x", mode="r", zarr_format=zarr_format)
    assert group.metadata.consolidated_metadata is not None
    assert members(group) == {"a", "another"}


def test_asking_does_not_walk(zarr_format: int) -> None:
    """zarr asks several times for each group that it opens."""
    store = sample(zarr_format)
    zarr.consolidate_metadata(store)
    castore = ObservedCAStore(MappingCAStore())
    castore.put_blocks(store.castore.get_dag(store.freeze()))
    reader = IPLDStore(castore, root=store.root_cid, read_only=True)
    castore.forget()
    for _ in range(20):
        assert reader.supports_consolidated_metadata
    assert len(castore.got) <= 1


def test_asking_reads_at_most_the_root(zarr_format: int) -> None:
    """However many groups are behind links: of these the answer is yes, as it may be there."""
    store = IPLDStore()
    group = zarr.create_group(store, zarr_format=zarr_format)
    for number in range(30):
        inner = group.create_group(f"g{number:02}", attributes={"long": "x" * 2000})
        inner.create_array("a", shape=(1,), dtype="i4")
    castore = ObservedCAStore(store.castore)
    reader = IPLDStore(castore, root=store.freeze(), read_only=True)
    castore.forget()
    assert reader.supports_consolidated_metadata
    assert (castore.got, castore.asked) == ([], [])
    castore.down = True
    assert reader.supports_consolidated_metadata


def test_the_answer_holds_through_a_write(zarr_format: int) -> None:
    """zarr asks again at its end, and fails if the answer has changed."""
    store = sample(zarr_format)
    for use in (None, True, False):
        zarr.open_group(store, mode="a", use_consolidated=use if use is not True else None)
        zarr.consolidate_metadata(store)
    assert members(zarr.open_consolidated(store, zarr_format=zarr_format)) == MEMBERS
