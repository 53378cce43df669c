"""Copies from and to a real S3 server, and datasets over files that lie in a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore, IPLDStoreError, ObjectCAStore, ReferenceCAStore, ReferencingCAStore
from ipldstore._there.copies.chunks.reading import BucketReader
from zarr.storage import ObjectStore

obstore: Any = pytest.importorskip("obstore", reason="the extra object is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Numcodecs codecs are not")]

DATA = np.arange(60 * 40, dtype="i4").reshape(60, 40)


def values(store: Any, path: str = "a") -> Any:
    return np.asarray(zarr.open_array(store, path=path, mode="r")[...])


def test_copies_from_and_to_a_bucket(s3: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zarr hierarchy in a bucket, an archive, a dataset in a bucket, and back: one root, and nothing read twice."""
    objects = ObjectCAStore.from_url(f"s3://{bucket}/zarr", **s3.options()).store
    source = ObjectStore(objects)
    array = zarr.create_array(source, name="a", shape=DATA.shape, chunks=(10, 8), dtype="i4")
    array[:] = DATA
    read: list[str] = []
    read_sync = BucketReader.read_sync

    def note(self: BucketReader, key: str, found: Any) -> bytes | None:
        read.append(key)
        return read_sync(self, key, found)

    monkeypatch.setattr(BucketReader, "read_sync", note)
    root = ipldstore.copy(source, tmp_path / "a.car")
    assert len(read) == 30
    read.clear()
    assert ipldstore.copy(source, tmp_path / "a.car") == root
    assert read == []
    with ipldstore.open(f"s3://{bucket}/ours", "x", storage_options=s3.options()) as there:
        assert ipldstore.copy(tmp_path / "a.car", there) == root
    options: dict[str, Any] = {"source_options": s3.options(), "storage_options": s3.options()}
    assert ipldstore.copy(f"s3://{bucket}/ours", f"s3://{bucket}/other", **options) == root
    with ipldstore.open(f"s3://{bucket}/other", storage_options=s3.options()) as there:
        assert there.root_cid == root
        assert np.array_equal(values(there), DATA)
        back = ObjectStore(ObjectCAStore.from_url(f"s3://{bucket}/back", **s3.options()).store)
        assert ipldstore.copy(there, back) is None
    assert np.array_equal(values(back), DATA)
    assert ipldstore.copy(back, IPLDStore()) == root


def put_hdf5(s3: Any, bucket: str, path: Path) -> Any:
    """Make a file, and put it at ``data/x.h5`` of a bucket, whose store is returned."""
    h5py: Any = pytest.importorskip("h5py")
    pytest.importorskip("virtualizarr")
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=DATA, chunks=(10, 40), compression="gzip")
    objects = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options()).store
    obstore.put(objects, "data/x.h5", path)
    return objects


def test_a_file_and_its_dataset_in_buckets(s3: Any, bucket: str, tmp_path: Path) -> None:
    """Each of the two places has its own options; one that has those of the other alone is not reached."""
    put_hdf5(s3, bucket, tmp_path / "x.h5")
    url, into = f"s3://{bucket}/data/x.h5", f"s3://{bucket}/ours"
    bad = s3.options() | {"secret_access_key": "of another place"}
    for of_source, of_target in ((bad, s3.options()), (s3.options(), bad)):
        with pytest.raises((IPLDStoreError, OSError, ValueError)):
            ipldstore.reference(url, into, index=tmp_path / "bad", storage_options=of_target, source_options=of_source)
    root = ipldstore.reference(
        url, into, index=tmp_path / "index", storage_options=s3.options(), source_options=s3.options()
    )
    assert root == ipldstore.reference(tmp_path / "x.h5", tmp_path / "local.car")
    assert root == ipldstore.reference(url, f"s3://{bucket}/one", index=tmp_path / "one", storage_options=s3.options())
    references = ReferenceCAStore(tmp_path / "index", storage_options=s3.options())
    blocks = ReferencingCAStore(ObjectCAStore.from_url(into, **s3.options()), references)
    assert np.array_equal(values(IPLDStore(blocks, root=root)), DATA)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_in_a_bucket(s3: Any, bucket: str, tmp_path: Path, zarr_format: Any) -> None:
    """Its objects are listed; the root is that of the same hierarchy on this machine."""
    group = zarr.create_group(tmp_path / "x.zarr", zarr_format=zarr_format)
    group.create_array("deep/a", shape=DATA.shape, chunks=(10, 8), dtype="i4")[:] = DATA
    objects = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options()).store
    for path in (tmp_path / "x.zarr").rglob("*"):
        if path.is_file():
            obstore.put(objects, f"far/{path.relative_to(tmp_path)}", path)
    url = f"s3://{bucket}/far/x.zarr"
    root = ipldstore.reference(url, tmp_path / "x.car", storage_options=s3.options())
    assert root == ipldstore.reference(tmp_path / "x.zarr", tmp_path / "local.car")
    with ipldstore.open(tmp_path / "x.car", storage_options=s3.options()) as store:
        assert np.array_equal(values(store, "deep/a"), DATA)


def test_a_file_in_a_bucket(s3: Any, bucket: str, tmp_path: Path) -> None:
    """Its root is that of the file on this machine; one that is replaced is found, and names the file."""
    objects = put_hdf5(s3, bucket, tmp_path / "x.h5")
    url = f"s3://{bucket}/data/x.h5"
    root = ipldstore.reference(url, tmp_path / "x.car", storage_options=s3.options())
    assert root == ipldstore.reference(tmp_path / "x.h5", tmp_path / "local.car")
    options = {"storage_options": s3.options()}
    with ipldstore.open(tmp_path / "x.car", **options) as store:
        assert np.array_equal(values(store), DATA)
    obstore.put(objects, "data/x.h5", bytes((tmp_path / "x.h5").stat().st_size))
    with ipldstore.open(tmp_path / "x.car", **options) as store:
        with pytest.raises(IPLDStoreError, match=url):
            values(store)
        assert isinstance(store.castore, ReferencingCAStore)
        assert [each.name for each in store.castore.references.verify()] == [url]
