"""A bundle is complete, verifies without us, and opens by URL; references name the original files."""

from __future__ import annotations

import hashlib
import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipld_car import ops
from ipldstore import IPLDStore

xr: Any = pytest.importorskip("xarray")


def dataset() -> Any:
    times = np.array(["2026-01-01", "2026-01-03"], "M8[ns]")
    return xr.Dataset(
        {"t2m": (("time", "lat", "lon"), np.arange(24.0).reshape(2, 3, 4))},
        coords={"time": times, "lat": [-10.0, 0, 10], "lon": [0.0, 90, 180, 270]},
        attrs={"title": "Small", "license": "CC-BY-4.0", "creator_name": "A, B"},
    )


def test_a_bundle(tmp_path: Path) -> None:
    store = IPLDStore()
    dataset().to_zarr(store, consolidated=False)
    bundle = ipldstore.publish_bundle(store, tmp_path / "bundle")
    archive = tmp_path / "bundle" / "data.car"
    assert {path.name for path in (tmp_path / "bundle").iterdir()} == {
        "data.car",
        "README.md",
        "stac-item.json",
        "datacite.json",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert bundle.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert ops.inspect(archive).index is not None
    assert ops.verify(archive).is_good()
    with ipldstore.open(archive) as opened:
        assert opened.root_cid == bundle.root == store.freeze()
        xr.testing.assert_identical(xr.open_zarr(opened, consolidated=False).load(), dataset())
    readme = (tmp_path / "bundle" / "README.md").read_text()
    for expected in (str(bundle.root), bundle.sha256, "ipfs dag import", "sha256sum", "<xarray.Dataset>", "# Small"):
        assert expected in readme
    item = json.loads((tmp_path / "bundle" / "stac-item.json").read_text())
    assert item["bbox"] == [-180, -10, 180, 10]
    assert item["properties"]["start_datetime"] == "2026-01-01T00:00:00Z"
    assert item["assets"]["data"]["file:checksum"] == f"1220{bundle.sha256}"
    draft = json.loads((tmp_path / "bundle" / "datacite.json").read_text())
    assert [creator["name"] for creator in draft["creators"]] == ["A", "B"]
    assert draft["alternateIdentifiers"][0]["alternateIdentifier"] == str(bundle.root)
    with pytest.raises(FileExistsError):
        ipldstore.publish_bundle(store, tmp_path / "bundle")


def test_a_group_is_no_bundle(tmp_path: Path) -> None:
    """Its archive had what is beside the group, while its README showed the group, and opened something else."""
    with ipldstore.open(tmp_path / "x.car", "x") as store:
        dataset().to_zarr(store, group="a", consolidated=False)
        zarr.create_array(store, name="secret", shape=(2,), dtype="i4")
    with pytest.raises(ValueError, match="the group 'a'"):
        ipldstore.publish_bundle(f"{tmp_path}/x.car#a", tmp_path / "new" / "bundle")
    ipldstore.copy(f"{tmp_path}/x.car#a", tmp_path / "a.car")
    ipldstore.publish_bundle(tmp_path / "a.car", tmp_path / "bundle")
    with ipldstore.open(tmp_path / "bundle" / "data.car") as store:
        xr.testing.assert_identical(xr.open_zarr(store, consolidated=False).load(), dataset())


def test_a_url_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder called "s3:" was made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="found a URL: s3://bucket/x"):
        ipldstore.publish_bundle(IPLDStore(), "s3://bucket/x")
    assert list(tmp_path.iterdir()) == []


def test_the_readme_names_the_extras(tmp_path: Path) -> None:
    """A root of py-hamt needs BLAKE3: what the README told to install did not open it."""
    pytest.importorskip("blake3", reason="an extra of this package: pip install 'ipldstore[blake3]'")
    archive = Path(__file__).parents[1] / "foreign" / "archives" / "hamt-3.car"
    for what, package in (
        (archive, "ipldstore[blake3,xarray]"),
        (archive.with_name("unixfs.car"), "ipldstore[xarray]"),
    ):
        bundle = ipldstore.publish_bundle(what, tmp_path / what.stem)
        assert f'(`pip install "{package}"`)' in (bundle.path / "README.md").read_text()


def test_an_array_without_names(tmp_path: Path) -> None:
    store = IPLDStore()
    zarr.create_array(store, shape=(4,), chunks=(2,), dtype="i4")
    ipldstore.publish_bundle(store, tmp_path / "bundle")
    assert "Int32" in (tmp_path / "bundle" / "README.md").read_text()


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    store = IPLDStore()
    store["a/0"] = b"chunk"
    store.freeze()
    castore: Any = store.castore
    castore.mapping.clear()
    with pytest.raises(ipldstore.IPLDStoreError):
        ipldstore.publish_bundle(store, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_references_name_the_original_files(tmp_path: Path) -> None:
    """Chunks of one block, chunks over 1 MiB, and what stands in no file."""
    data = np.random.default_rng(1).integers(0, 255, (3, 3 << 20), np.uint8)
    array = zarr.create_array(tmp_path / "a.zarr", shape=data.shape, chunks=(1, 3 << 20), dtype="u1", compressors=None)
    array[:] = data
    ipldstore.reference(tmp_path / "a.zarr", tmp_path / "x.car")
    with ipldstore.open(tmp_path / "x.car") as store:
        found = ipldstore.file_references(store)
        assert json.loads(str(found["zarr.json"]))["node_type"] == "array"
    for row in range(3):
        assert found[f"c/{row}/0"] == [str(tmp_path / "a.zarr" / "c" / str(row) / "0"), 0, 3 << 20]
    with pytest.raises(ValueError, match="car_references"):
        ipldstore.file_references(IPLDStore())


@pytest.mark.parametrize("path", ["a", ""])
def test_a_bundle_of_what_xarray_does_not_open(tmp_path: Path, path: str) -> None:
    """Arrays without names of dimensions were an error of xarray, and nothing was published."""
    store = IPLDStore()
    zarr.create_array(store, name=path or None, shape=(2,), chunks=(2,), dtype="i4")[:] = [1, 2]
    ipldstore.publish_bundle(store, tmp_path / "bundle")
    readme = (tmp_path / "bundle" / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    with chdir(tmp_path / "bundle"):
        exec(code, names)  # noqa: S102  # as its reader would
        array: Any = zarr.open_array(names["store"], path=path, mode="r")
        assert array[:].tolist() == [1, 2]
        names["store"].close()


def test_a_bundle_of_a_tree(tmp_path: Path) -> None:
    """Its README showed, and opened, an empty dataset."""
    store = IPLDStore()
    small = xr.Dataset({"x": ("t", [1, 2])})
    xr.DataTree.from_dict({"/a": small, "/": xr.Dataset(attrs={"title": "A\n```"})}).to_zarr(store, consolidated=False)
    ipldstore.publish_bundle(store, tmp_path / "new" / "bundle")
    readme = (tmp_path / "new" / "bundle" / "README.md").read_text()
    assert readme.startswith("# A ```\n")
    assert "````\n<xarray.DataTree>" in readme
    names: dict[str, Any] = {}
    with chdir(tmp_path / "new" / "bundle"):
        exec(readme.split("```python\n")[1].split("```")[0], names)  # noqa: S102  # as its reader would
        xr.testing.assert_identical(names["tree"]["a"].to_dataset().load(), small)
        names["store"].close()


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    """Missing times were "NaTZ", metres of a projection a box of degrees, a list of names its text in Python."""
    store = IPLDStore()
    coords: Any = {"time": np.array(["NaT"], "M8[ns]"), "lat": ("time", [6e6]), "lon": ("time", [4e5])}
    xr.Dataset({"x": ("time", [1.0])}, coords, {"creator": ["A", "B, C"]}).to_zarr(store, consolidated=False)
    ipldstore.publish_bundle(store, tmp_path / "bundle")
    item = json.loads((tmp_path / "bundle" / "stac-item.json").read_text())
    assert item["geometry"] is None
    assert "bbox" not in item
    assert "start_datetime" not in item["properties"]
    draft = json.loads((tmp_path / "bundle" / "datacite.json").read_text())
    assert [creator["name"] for creator in draft["creators"]] == ["A", "B, C"]


def test_what_no_reader_opens_is_refused(tmp_path: Path) -> None:
    """It was an error of zarr, and a folder above was left; over a link to nothing one of the system."""
    with pytest.raises(ValueError, match="a group or an array at the root"):
        ipldstore.publish_bundle(IPLDStore(), tmp_path / "bundle")
    with pytest.raises(FileNotFoundError):
        ipldstore.publish_bundle(tmp_path / "absent.car", tmp_path / "new" / "bundle")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "bundle").symlink_to("nothing")
    with pytest.raises(FileExistsError):
        ipldstore.publish_bundle(IPLDStore(), tmp_path / "bundle")
