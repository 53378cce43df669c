"""Zarr on an HTTP server, which lists nothing, by reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore

from ..served_folder import serving

pytest.importorskip("virtualizarr")
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")

ENDLESS = """{"node_type": "array", "zarr_format": 3, "shape": [1000000000000000], "chunk_grid": {"name": "regular",
  "configuration": {"chunk_shape": [1]}}, "chunk_key_encoding": {"name": "default"}}"""
DATA = np.arange(40, dtype="i4").reshape(4, 10)


@pytest.fixture
def url(tmp_path: Path) -> Any:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as url:
        yield url


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_hierarchy_on_a_server(tmp_path: Path, url: str, zarr_format: Any) -> None:
    """The root is that of a copy; chunks that are not there are fill values."""
    folder = tmp_path / "served" / "x.zarr"
    group = zarr.create_group(folder, zarr_format=zarr_format, attributes={"title": "far"})
    array = group.create_array("deep/a", shape=(8, 10), chunks=(2, 5), dtype="i4", fill_value=3)
    array[:4] = DATA
    group.create_array("point", shape=(), dtype="i4")[...] = 7
    with pytest.raises(ValueError, match="consolidate_metadata"):
        ipldstore.reference(f"{url}/x.zarr", tmp_path / "x.car")
    zarr.consolidate_metadata(folder)
    root = ipldstore.copy(folder, IPLDStore())
    assert ipldstore.reference(f"{url}/x.zarr", tmp_path / "x.car") == root
    with ipldstore.open(tmp_path / "x.car") as store:
        found = np.asarray(zarr.open_array(store, path="deep/a", mode="r")[:])
    assert (found == np.concatenate([DATA, np.full_like(DATA, 3)])).all()
    folder.rename(folder.with_name("other"))
    assert ipldstore.reference(f"{url}/other/", tmp_path / "y.car") == root


def test_names_that_a_url_encodes(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "served" / "a b%20c.zarr"
    group = zarr.create_group(folder, zarr_format=2)
    for name in ("50% #?", "%41", "é"):
        group.create_array(name, shape=(4, 10), chunks=(2, 5), dtype="i4")[:] = DATA
    zarr.consolidate_metadata(folder)
    root = ipldstore.copy(folder, IPLDStore())
    assert ipldstore.reference(f"{url}/a%20b%2520c.zarr", tmp_path / "x.car") == root
    with ipldstore.open(tmp_path / "x.car") as store:
        assert store.verify()
    with pytest.raises(ValueError, match=r"without '\?'"):
        ipldstore.reference(f"{url}/get?file=/", tmp_path / "y.car")


def test_one_array_needs_no_consolidated_metadata(tmp_path: Path, url: str) -> None:
    zarr.create_array(tmp_path / "served" / "x.zarr", shape=(4, 10), chunks=(2, 5), dtype="i4")[:] = DATA
    root = ipldstore.copy(tmp_path / "served" / "x.zarr", IPLDStore())
    assert ipldstore.reference(f"{url}/x.zarr", tmp_path / "x.car") == root


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "found no documents of zarr"),
        ("no json", "expected a document of zarr at .*zarr.json"),
        ("[]", "expected a document of zarr"),
        ('{"node_type": "group", "zarr_format": 3, "consolidated_metadata": {"metadata": {"../a": {}}}}', "the part"),
        (ENDLESS, "at most 10,000,000 chunks"),
    ],
)
def test_what_is_no_hierarchy(tmp_path: Path, url: str, text: str | None, match: str) -> None:
    (tmp_path / "served" / "x.zarr").mkdir()
    if text is not None:
        (tmp_path / "served" / "x.zarr" / "zarr.json").write_text(text)
    with pytest.raises(ValueError, match=match):
        ipldstore.reference(f"{url}/x.zarr", tmp_path / "x.car")
    assert not (tmp_path / "x.car").exists()
