"""The canonical root of what others wrote is that of the same contents written here; few chunks are copied."""

from __future__ import annotations

from pathlib import Path

import ipldstore
import pytest
from ipld_car import cids, unixfs
from ipld_castore import FileSystemCAStore, GatewayCAStore, MappingCAStore, TieredCAStore
from ipld_castore.testing import BlockServer
from ipldstore import IPLDStore, IPLDStoreError
from ipldstore._format import keys

from ..support.store_samples import written
from ..support.xarray_samples import xr
from .peers.samples import dataset
from .samples import GROUPS, add, archive, write_zarr

pytest.importorskip("blake3", reason="an extra of this package: pip install 'ipldstore[blake3]'")

MIB = 1 << 20

COPIED = {
    "unixfs": False,
    "unixfs-v0": True,
    "unixfs-hamt": False,
    "hamt-2": True,
    "hamt-3": True,
    "sharded-v1": True,
    "sharded-v2": True,
    "pyramid": True,
}
"""Whether chunks are copied: those in dag-pb or by blake3 are."""


def is_document(key: str) -> bool:
    return key.rpartition("/")[2] in keys.DOCUMENTS


@pytest.mark.parametrize("name", GROUPS)
def test_the_root_is_that_of_the_same_contents(name: str) -> None:
    castore, root = archive(name)
    store = IPLDStore(castore, root=root)
    contents = dict(store.mapping)
    expected = written(contents).freeze()
    into = MappingCAStore()
    assert store.canonicalize(into=into, progress=False) == expected
    done = store.canonicalized
    assert done is not None
    assert done.root == expected
    assert done.documents == sum(map(is_document, contents))
    chunks = len(contents) - done.documents
    assert (done.linked, done.copied, done.kept) == ((0, chunks, 0) if COPIED[name] else (chunks, 0, 0))
    assert store.root_cid == root  # it stays what it was
    assert store.read_only
    if not COPIED[name]:
        assert len(into.mapping) < 5  # nodes alone
    both = IPLDStore(TieredCAStore(into, castore), root=expected)
    xr.testing.assert_identical(
        xr.open_zarr(both, group=GROUPS[name], consolidated=False if GROUPS[name] else None).load(), dataset()
    )

    # Into its own blocks: the store goes on from the new root, and can be changed.
    assert store.canonicalize(progress=False) == expected == store.root_cid
    assert not store.read_only
    store["new/0"] = b"chunk"
    assert store.freeze() != expected


@pytest.mark.parametrize("name", GROUPS)
def test_foreign_links_are_kept_where_that_is_asked(name: str) -> None:
    castore, root = archive(name)
    store = IPLDStore(castore, root=root)
    contents = dict(store.mapping)
    new = store.canonicalize(copy=False, progress=False)
    done = store.canonicalized
    assert done is not None
    if name == "hamt-2":  # its blocks have more than the bytes, so there is no link to keep
        assert (done.linked, done.kept) == (0, 0)
    else:
        assert done.copied == 0
        assert bool(done.kept) == COPIED[name]
    kept = IPLDStore(castore, root=new)
    assert {key for key in contents if kept[key] != contents[key]} <= {key for key in contents if is_document(key)}
    assert set(kept) == set(contents)


@pytest.mark.parametrize("place", ["folder", "x.car"])
def test_into_a_store_that_is_open(tmp_path: Path, place: str) -> None:
    """Its head moved without it: an empty store could not be closed, and other contents were replaced."""
    castore, root = archive("unixfs-v0")
    store = IPLDStore(castore, root=root)
    with ipldstore.open(tmp_path / place, "a") as into:
        new = store.canonicalize(into=into, progress=False)
        assert into.root_cid == new
        assert "new/0" not in into
        into["new/0"] = b"chunk"
        changed = into.freeze()
        assert store.canonicalize(into=into, progress=False) == new
        assert into.root_cid == changed
    with ipldstore.open(tmp_path / place) as found:
        assert found.root_cid == changed
        assert dict(IPLDStore(found.castore, root=new).mapping) == dict(written(dict(store.mapping)).mapping)


def test_into_itself() -> None:
    """That is what it does without ``into``."""
    castore, root = archive("unixfs-v0")
    store = IPLDStore(castore, root=root)
    assert store.canonicalize(into=store, progress=False) == store.root_cid != root


@pytest.mark.parametrize("max_links", [3, 1024])
def test_large_chunks_keep_their_leaves(max_links: int) -> None:
    """Of a file whose nodes alone are not canonical the nodes are made anew; no leaf is read or copied."""
    castore = MappingCAStore()

    def put(cid: bytes, data: bytes) -> None:
        castore.put_block(cids.from_validated(cid), data)

    large = bytes(5 * MIB + 7)
    chunk = unixfs.build(large, put, max_links=max_links)
    others = [unixfs.build(large, put, chunk_size=MIB // 2), unixfs.build(large, put, chunk_size=2 * MIB)]
    links = [unixfs.PBLink(cid, name, 0) for cid, name in zip([chunk, *others], "012", strict=True)]
    root = unixfs.build_directory([unixfs.PBLink(unixfs.build_directory(links, put).cid, "a", 0)], put).cid
    store = IPLDStore(castore, root=root)
    into = MappingCAStore()
    assert store.canonicalize(into=into, progress=False) == written({f"a/{n}": large for n in range(3)}).freeze()
    assert store.canonicalized is not None
    assert store.canonicalized[1:] == (1, 2, 0, 0)


def test_of_blocks_far_away_no_chunk_is_read(tmp_path: Path) -> None:
    castore = MappingCAStore()
    root = add(castore, write_zarr(dataset(), tmp_path / "x.zarr", temp=(1, 3, 4))).cid
    with BlockServer(castore) as server:
        store = IPLDStore(GatewayCAStore(server.url), root=root)
        with pytest.raises(IPLDStoreError, match=r"canonicalize\(into=castore\)"):
            store.canonicalize(progress=False)
        server.forget()
        into = FileSystemCAStore(tmp_path / "blocks", fsync=False)
        new = store.canonicalize(into=into, progress=False)
        chunks = [request for request in server.requests if "/ipfs/bafkrei" in request.path]
        documents = store.canonicalized.documents if store.canonicalized else 0
        assert sum(request.method == "GET" for request in chunks) <= documents
    assert new == written(dict(IPLDStore(castore, root=root).mapping)).freeze()


def test_a_name_that_the_format_refuses_is_an_error_that_names_it() -> None:
    castore = MappingCAStore()

    def put(cid: bytes, data: bytes) -> None:
        castore.put_block(cids.from_validated(cid), data)

    value = unixfs.build(b"x", put)
    root = unixfs.build_directory([unixfs.PBLink(value, "__ipld_x", 1)], put).cid
    store = IPLDStore(castore, root=root)
    assert store["__ipld_x"] == b"x"
    with pytest.raises(IPLDStoreError, match="__ipld_x"):
        store.canonicalize(progress=False)
    assert store.root_cid is not None
    assert bytes(store.root_cid) == root
