"""Parsers that users choose: real files of GRIB and TIFF stay where they are, and read as what wrote them says."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore, MappingCAStore, ReferencingCAStore

xr: Any = pytest.importorskip("xarray")
manifests: Any = pytest.importorskip("virtualizarr.manifests")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not"),
    pytest.mark.filterwarnings("ignore:Imagecodecs codecs are not"),
]

GRIB = zlib.decompress(
    b64decode(
        "eNpzD/J0+v+fgYkBAvYDsSgjQxIDAwsDI/srRkaQIEjSgxnE4gERbP9RAQNIMQMDWAGIz2ioCzbLAEQwnjzcwDBjGgQDgRIL1Kb/"
        "IC7Y+HSwHXCzRFlhFjEwNABVc4DtZANJCbIzCCgYOAQkFDRMWLDBHAjcB9z5jDic73SCCOcDAEhAW/w="
    )
)
"""Two messages of GRIB 2 as ecCodes 2.50 writes them: 3 x 4 temperatures of two steps, 0 to 11 and 100 to 111 K."""
MESSAGE = len(GRIB) // 2
TEMPERATURES = np.arange(12.0).reshape(3, 4) + np.array([0, 100]).reshape(2, 1, 1)
NAMES = ("step", "latitude", "longitude")


def parse_grib(url: str, registry: Any) -> Any:
    """Parse one parameter, as a parser of VirtualiZarr does; each message is a chunk."""
    from virtualizarr.manifests.utils import create_v3_array_metadata

    codec = {"name": "gribberish", "configuration": {"var": "t2m"}}
    shape = TEMPERATURES.shape
    metadata = create_v3_array_metadata(
        shape, np.dtype("f8"), (1, *shape[1:]), codecs=[codec], fill_value=np.nan, dimension_names=NAMES
    )
    entries = {f"{n}.0.0": {"path": url, "offset": n * MESSAGE, "length": MESSAGE} for n in range(2)}
    array = manifests.ManifestArray(metadata=metadata, chunkmanifest=manifests.ChunkManifest(entries))
    return manifests.ManifestStore(group=manifests.ManifestGroup(arrays={"t2m": array}), registry=registry)


def check(archive: Path, root: Any, source: Path, path: str, expected: Any) -> None:
    """Check the values, the root of the stored copy, and that a byte that changes in the source is found."""
    with ipldstore.open(archive) as store:
        copy = IPLDStore(MappingCAStore())
        copy.mapping.update(store.mapping)
        assert copy.freeze() == root
        assert np.array_equal(np.asarray(zarr.open_array(store, path=path, mode="r")[...]), expected)
        castore = store.castore
        assert isinstance(castore, ReferencingCAStore)
        assert list(castore.references.verify()) == []
        _, offset, length = castore.references.file_of(store.links(path).cids[-1].tobytes())
    data = bytearray(source.read_bytes())
    data[offset + length // 2] ^= 1
    source.write_bytes(data)
    with ipldstore.open(archive) as store:
        assert isinstance(store.castore, ReferencingCAStore)
        assert [changed.name for changed in store.castore.references.verify()] == [str(source)]


def test_grib(tmp_path: Path) -> None:
    pytest.importorskip("gribberish", reason="gribberish, a decoder of GRIB, is not installed")
    (tmp_path / "x.grib2").write_bytes(GRIB)
    with pytest.warns(UserWarning, match=r"x\.grib2 need the zarr codecs gribberish: "):
        root = ipldstore.reference(tmp_path / "x.grib2", tmp_path / "x.car", parser=parse_grib)
    with ipldstore.open(tmp_path / "x.car") as store:
        found = xr.open_zarr(store, consolidated=False)["t2m"]
        assert (found.dims, found.shape) == (NAMES, TEMPERATURES.shape)
    check(tmp_path / "x.car", root, tmp_path / "x.grib2", "t2m", TEMPERATURES)


def test_codecs_of_kerchunks_references(tmp_path: Path) -> None:
    """They are of format 2, whose codecs are those of numcodecs; that of GRIB, kerchunk's own, is named."""
    (tmp_path / "x.grib2").write_bytes(GRIB)
    array = {"zarr_format": 2, "shape": [2, 3, 4], "chunks": [1, 3, 4], "dtype": "<f8", "fill_value": None}
    array |= {"order": "C", "filters": [{"id": "grib", "var": "t2m"}], "compressor": {"id": "zlib", "level": 1}}
    references = {".zgroup": '{"zarr_format": 2}', "t2m/.zarray": json.dumps(array)}
    places = {f"t2m/{n}.0.0": ["x.grib2", n * MESSAGE, MESSAGE] for n in range(2)}
    (tmp_path / "x.json").write_text(json.dumps({"version": 1, "refs": references | places}))
    with pytest.warns(UserWarning, match=r"x\.json need the zarr codecs numcodecs\.grib: "):
        ipldstore.reference(tmp_path / "x.json", tmp_path / "x.car")
    with ipldstore.open(tmp_path / "x.car") as store:
        assert store["t2m/1.0.0"] == GRIB[MESSAGE:]


@pytest.mark.parametrize("kind", ["plain", "zlib", "lzw", "predictor", "bands", "pages"])
def test_tiff(tmp_path: Path, kind: str) -> None:
    virtual_tiff: Any = pytest.importorskip("virtual_tiff", reason="virtual-tiff is not installed")
    tifffile: Any = pytest.importorskip("tifffile")
    data = np.random.default_rng(1).integers(0, 1000, (100, 130), "u2")
    how: dict[str, Any] = {"tile": (32, 32), "compression": None if kind == "plain" else "zlib"}
    expected, ifd, codecs = data, 0, r"numcodecs\.zlib"
    if kind == "lzw":
        how["compression"], codecs = "lzw", "imagecodecs_lzw"
    elif kind == "predictor":
        how["predictor"], codecs = True, r"HorizontalDeltaCodec, numcodecs\.zlib"
    elif kind == "bands":
        data = np.stack([data, data + 1, data + 2], -1).astype("u1")
        how["photometric"], expected, codecs = "rgb", np.moveaxis(data, -1, 0), r"ChunkyCodec, numcodecs\.zlib"
    elif kind == "pages":
        data, ifd = np.stack([data + 1, data]), 1
    tifffile.imwrite(tmp_path / "x.tif", data, **how)
    take = {"parser": virtual_tiff.VirtualTIFF(ifd=ifd)}
    if kind == "plain":
        root = ipldstore.reference(tmp_path / "x.tif", tmp_path / "x.car", **take)
    else:
        with pytest.warns(UserWarning, match=rf"x\.tif need the zarr codecs {codecs}: "):
            root = ipldstore.reference(tmp_path / "x.tif", tmp_path / "x.car", **take)
    check(tmp_path / "x.car", root, tmp_path / "x.tif", str(ifd), expected)
