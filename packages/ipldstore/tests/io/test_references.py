"""Chunks of an archive by byte range: fsspec and zarr read them, and know nothing of this package."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipld_car import CarError, CarReader, CarWriter, cids
from ipld_car.hashes import digest_of
from ipldstore import IPLDStore, IPLDStoreError, car_references, gateway_references

from ..support.archive_samples import as_carv2
from ..support.store_samples import contents, link_at, written, zarr

pytest.importorskip("fsspec", reason="an extra of zarr: pip install fsspec")
fsspec: Any = importlib.import_module("fsspec")

GRID = np.arange(2100, dtype="i4").reshape(60, 35)
"""More chunks than a leaf of the index has."""


def write(store: IPLDStore, folder: Path, *, v2: bool = False) -> Path:
    file = folder / "with space {{x}}.car"
    archive = store.to_car()
    file.write_bytes(as_carv2(archive) if v2 else archive)
    return file


def through_fsspec(references: dict[str, Any], key: str) -> bytes:
    found: bytes = fsspec.filesystem("reference", fo=references, skip_instance_cache=True).cat_file(key)
    return found


def plain_zarr(references: dict[str, Any] | str, **options: Any) -> Any:
    """The group of the references, as zarr alone opens it."""
    system = fsspec.filesystem("reference", fo=references, asynchronous=True, skip_instance_cache=True)
    return zarr.open_group(zarr.storage.FsspecStore(system, read_only=True), mode="r", **options)


def hierarchy(zarr_format: int) -> IPLDStore:
    """Many chunks and few, large ones and empty, in groups; attributes that DAG-CBOR cannot hold."""
    return IPLDStore.from_car(archive_of_hierarchy(zarr_format))


@cache
def archive_of_hierarchy(zarr_format: int) -> bytes:
    store = IPLDStore()
    group = zarr.create_group(store, zarr_format=zarr_format, attributes={"title": "æ", "missing": float("nan")})
    options = {"compressors": None, "fill_value": -1}
    group.create_array("many", shape=GRID.shape, chunks=(1, 1), dtype="i4", **options)[:] = GRID
    group.create_array("deep/er/few", shape=(3, 2), chunks=(2, 2), dtype="f8", **options)[:] = 0.5
    large = group.create_array("large", shape=(600_000,), chunks=(300_000,), dtype="f8", **options)
    large[:] = np.arange(600_000) / 7
    group.create_array("compressed", shape=(100,), chunks=(50,), dtype="i8")[:] = np.arange(100)
    group.create_array("scalar", shape=(), dtype="i2", **options)[...] = 7
    return store.to_car()


@pytest.mark.covering(1)
@pytest.mark.parametrize("v2", [False, True], ids=["CARv1", "CARv2"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_zarr_reads_all(zarr_format: int, tmp_path: Path, *, v2: bool) -> None:
    store = hierarchy(zarr_format)
    file = write(store, tmp_path, v2=v2)
    references = car_references(file)
    ours, theirs = zarr.open_group(store, mode="r"), plain_zarr(references, zarr_format=zarr_format)
    assert theirs.attrs["title"] == "æ"
    assert np.isnan(theirs.attrs["missing"])
    names = ("many", "deep/er/few", "large", "compressed", "scalar")
    for name in names:
        np.testing.assert_array_equal(theirs[name][...], ours[name][...])
        assert theirs[name].metadata == ours[name].metadata
    assert sorted(theirs.array_keys()) == sorted(ours.array_keys())
    np.testing.assert_array_equal(theirs["many"][50:52, 5], GRID[50:52, 5])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_xarray_reads_all(zarr_format: int, tmp_path: Path) -> None:
    """With consolidated metadata, in an order that every zarr can read."""
    xarray: Any = pytest.importorskip("xarray", reason="xarray is an extra of this package")
    dataset = xarray.Dataset(
        {"t": (("time", "x"), np.arange(20.0).reshape(4, 5)), "long_name": ("x", list("abcde"))},
        coords={"time": ("time", np.arange(4), {"units": "days since 2000-01-01"}), "x": np.arange(5)},
        attrs={"title": "sample"},
    )
    tree = xarray.DataTree(dataset, children={"b": xarray.DataTree(dataset), "a": xarray.DataTree(dataset)})
    store = IPLDStore()
    tree.to_zarr(store, zarr_format=zarr_format, consolidated=True)
    references = car_references(write(store, tmp_path))
    options = {"storage_options": {"fo": references, "skip_instance_cache": True}}
    for group in ("/", "a", "b"):
        expected = xarray.open_zarr(store, group=group, chunks=None)
        found = xarray.open_dataset("reference://", engine="zarr", group=group, chunks=None, backend_kwargs=options)
        xarray.testing.assert_identical(found.load(), expected.load())


@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")  # of pandas, to fsspec
def test_parquet_of_kerchunk(tmp_path: Path) -> None:
    """Its writer takes all documents for text in JSON, also those with NaN, which are kept as exact bytes."""
    pytest.importorskip("fastparquet", reason="what kerchunk writes with: pip install fastparquet")
    frames = pytest.importorskip("kerchunk.df", reason="the writer: pip install kerchunk")
    store = hierarchy(2)
    for key in [key for key in store if key.startswith("deep/")]:
        del store[key]  # fsspec takes a group in a group for an array, now and then
    zarr.open_group(store, mode="a")["many"].attrs["missing"] = float("nan")
    assert b"NaN" in store["many/.zattrs"]
    frames.refs_to_dataframe(dict(car_references(write(store, tmp_path))), str(tmp_path / "parquet"), record_size=500)
    found = plain_zarr(str(tmp_path / "parquet"), zarr_format=2)
    assert np.array_equal(found["many"][:], GRID)
    for path in ("large", "compressed", "scalar"):
        assert np.array_equal(found[path][...], zarr.open_group(store, mode="r")[path][...])
    assert found.attrs["title"] == "æ"
    assert np.isnan(found["many"].attrs["missing"])


def test_every_key_gives_its_bytes(tmp_path: Path) -> None:
    store = hierarchy(3)
    store["empty"] = b""
    store["deep/zarr.json"] = b'{"not": NaN}'  # exact bytes, in a block of its own
    store["d/.zattrs"] = b'{"long":"%s"}' % (b"\xc3\xa6{{x}}" * 10_000)
    file = write(store, tmp_path)
    references = car_references(file)
    system = fsspec.filesystem("reference", fo=references, skip_instance_cache=True)
    assert {key: system.cat_file(key) for key in references} == contents(store)
    assert system.cat_file("many/c/7/9", 1, 3) == store["many/c/7/9"][1:3]


def test_what_is_referred_to_and_what_stands_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, large = os.urandom(1 << 20), os.urandom((1 << 20) + 1)
    store = written({"a/.zarray": b'{"shape": [3]}', "a/0": b"zero", "a/1": b"", "b": chunk, "c": large})
    file = write(store, tmp_path)
    references: dict[str, Any] = dict(car_references(file))
    assert references["a/.zarray"] == '{"shape":[3]}'
    assert references["a/1"] == ""
    for key, value in (("a/0", b"zero"), ("b", chunk)):
        url, offset, length = references[key]
        assert url == str(file)
        with Path(url).open("rb") as stream:
            stream.seek(offset)
            assert stream.read(length) == value
    assert references["c"].startswith("base64:")
    assert car_references(file, url="s3://bucket/a.car")["a/0"] == ["s3://bucket/a.car", *references["a/0"][1:]]
    monkeypatch.chdir(tmp_path)
    assert car_references(file.name) == references


def test_chunks_that_are_too_many_to_stand_for_themselves(tmp_path: Path) -> None:
    """A file of few blocks can name any number of bytes."""
    size = (1 << 20) + 1
    store = written({"a": bytes(size), "b": bytes(size)})
    file = write(store, tmp_path)
    assert len(car_references(file, max_inline_bytes=2 * size)) == 2
    with pytest.raises(ValueError, match=r"max_inline_bytes") as caught:
        car_references(file, max_inline_bytes=2 * size - 1)
    assert not isinstance(caught.value, CarError)


def sections(archive: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((block.cid_bytes, block.data) for block in CarReader(archive))


def car(roots: list[Any], blocks: list[tuple[bytes, bytes]]) -> bytes:
    stream = io.BytesIO()
    with CarWriter(stream, roots) as writer:
        for cid, data in blocks:
            writer.write(cid, data)
    return stream.getvalue()


def test_archives_of_others(tmp_path: Path) -> None:
    """Blocks in any order, and twice; a link that holds its bytes; a block under another codec than its link."""
    inline = cids.make(cids.RAW, b"inline", cids.IDENTITY)
    chunk = cids.make(cids.RAW, digest_of(cids.SHA2_256, b"chunk"))
    store = IPLDStore()
    root = store.castore.put({"a": cids.from_bytes(inline), "b": cids.from_bytes(chunk)})
    other_codec = cids.make(0x0129, digest_of(cids.SHA2_256, b"chunk"))
    blocks = [(other_codec, b"chunk"), (bytes(root), store.castore.get_raw(root))]
    file = tmp_path / "other.car"
    file.write_bytes(car([root], blocks * 2))
    references = car_references(file)
    assert through_fsspec(references, "a") == b"inline"
    assert through_fsspec(references, "b") == b"chunk"
    assert references["b"][0] == str(file)


def test_what_cannot_be_referred_to(tmp_path: Path) -> None:
    store = written({"a/0": b"zero", "a/1": b"one"})
    archive = store.to_car()
    root = store.freeze()
    lost = link_at(store.castore, root, "a", "1")
    file = tmp_path / "bad.car"
    with pytest.raises(FileNotFoundError):
        car_references(file)
    for roots in ([], [root, lost]):
        file.write_bytes(car(roots, list(sections(archive))))
        with pytest.raises(ValueError, match="one root"):
            car_references(file)
    file.write_bytes(car([root], [pair for pair in sections(archive) if pair[0] != bytes(lost)]))
    with pytest.raises(IPLDStoreError, match=f"a/1.*{lost}"):
        car_references(file)
    file.write_bytes(archive[:-1] + bytes([archive[-1] ^ 1]))  # a chunk: nothing but verifying finds that
    with pytest.raises(CarError):
        car_references(file)


def test_references_to_blocks_behind_a_gateway(tmp_path: Path) -> None:
    """A server of ours sends for each URL just the bytes of the key, of chunks over 1 MiB too."""
    import requests

    from ..support.serving import serving

    store = hierarchy(3)
    path = tmp_path / "a.car"
    path.write_bytes(store.to_car())
    with serving([path]) as running:
        references = gateway_references(store, f"{running.url}/")
        assert references.keys() == set(store)
        for key in ("large/c/0", "many/c/3/4", "deep/er/few/c/0/0"):
            found = references[key]
            assert len(found) == 1
            url = str(found[0])
            answer = requests.get(url, timeout=60)
            assert answer.content == store[key], key
            part = requests.get(url, headers={"Range": "bytes=3-6"}, timeout=60)
            assert part.content == store[key][3:7]
    assert isinstance(references["zarr.json"], str)
    with pytest.raises(ValueError, match="URL of a gateway"):
        gateway_references(store, "gateway.example")
