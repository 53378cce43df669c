"""URL pipelines of zarr: what a URL means, and by zarr itself as soon as it has them."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from ipldstore._io.pipeline import open_pipeline

from ..support.store_samples import zarr


@pytest.fixture
def url(tmp_path: Path) -> str:
    with ipldstore.open(tmp_path / "air.car", "x", fsync=False) as store:
        zarr.create_array(store, name="group/data", shape=(4,), chunks=(2,), dtype="i4")[:] = 7
    return (tmp_path / "air.car").as_uri()


def test_a_file_before_the_adapter(url: str) -> None:
    for segment, before, path in (
        ("ipldstore:", url, ""),
        ("ipldstore:group/data", url, "group/data"),
        ("ipldstore:data", f"{url}#group", "group/data"),
    ):
        store, found = open_pipeline(segment, before, None)
        assert found == path
        assert "group/data/zarr.json" in store
        assert store.read_only
        store.close()


@pytest.mark.parametrize(
    ("segment", "before"),
    [
        ("ipldstore:", None),
        ("ipfs://bafkqaaa", "file:/x"),
        ("ipldstore:", "file:/x|zip:"),
        ("ipldstore:a?b", "file:/x"),
    ],
)
def test_what_is_no_pipeline(segment: str, before: str | None) -> None:
    with pytest.raises(ValueError, match=r"expected a URL"):
        open_pipeline(segment, before, None)


def test_the_entry_points_are_there() -> None:
    """A zarr without pipelines does not load the entry points."""
    found = {point.name: point.value for point in entry_points(group="zarr.url_adapters")}
    ours = {name for name, value in found.items() if value == "ipldstore._io.zarr_url:IPLDAdapter"}
    assert ours == {"ipfs", "ipns", "ipld", "ipldstore"}


def test_zarr_opens_pipelines(url: str) -> None:
    pytest.importorskip("zarr.abc.url_pipeline", reason="this zarr has no URL pipelines")
    pipeline: Any = zarr.storage.URLPipeline.from_url(f"{url}|ipldstore:group/data")
    assert zarr.open_array(pipeline, mode="r")[:].tolist() == [7] * 4
    with pytest.raises(ValueError, match="expected a mode that reads"):
        zarr.open_group(pipeline, mode="w")
