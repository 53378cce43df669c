"""Verification goes on behind lost blocks and says which regions are lost; repair fetches just these blocks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import zarr
from ipld_car import cids, unixfs
from ipld_castore import MappingCAStore
from ipldstore import BlockMissingError, IPLDStore
from ipldstore._verify.repair import repair
from multiformats import CID

from ..support.command import write_air


def remove(blocks: MappingCAStore, cid: object) -> None:
    blocks.delete_block(cid)  # type: ignore[arg-type]  # a CID


def big_array(store: IPLDStore) -> None:
    """An array whose index has leaves of their own: 100 x 100 chunks."""
    array = zarr.create_array(
        store, name="big", shape=(100, 100), chunks=(1, 1), dtype="u1", dimension_names=("t", "x")
    )
    metadata = array.metadata
    assert metadata.zarr_format == 3
    cid = bytes(store.castore.put(b"\1"))
    coordinates = np.stack(np.meshgrid(np.arange(100), np.arange(100), indexing="ij"), -1).reshape(-1, 2)
    store.set_links("big", coordinates, np.frombuffer(cid * 10_000, "u1").reshape(-1, 36))


def test_good() -> None:
    store = IPLDStore()
    write_air(store)
    report = store.verify()
    assert report
    assert report.keys == len(store)
    assert report.bytes > 0
    assert report.data["good"] is True
    assert "good" in str(report)


def test_lost_and_damaged_chunks_are_regions() -> None:
    """Neighbours are one region, a value over several blocks is one chunk, and other arrays are not named."""
    store = IPLDStore()
    write_air(store)
    root = store.freeze()
    blocks = store.castore
    assert isinstance(blocks, MappingCAStore)
    for key in ("air/c/1/0", "air/c/2/0"):
        remove(blocks, cids.from_validated(store._data.find(key)))  # type: ignore[arg-type]  # a link
    blocks.put_block(cids.from_validated(store._data.find("air/c/3/1")), b"wrong")  # type: ignore[arg-type]  # as above
    report = IPLDStore(blocks, root=root).verify()
    assert not report
    (array,) = report.arrays
    assert array.path == "air"
    assert array.lost == {"missing": 2, "damaged": 1}
    assert [str(region) for region in array.regions] == [
        "time 12..35 [12:36], lat 0:5",
        "time 36..47 [36:48], lat 5:10",
    ]
    assert report.failed == 3
    assert {each.path for each in report.failures} == {"air/c/1/0", "air/c/2/0", "air/c/3/1"}
    assert "<b>" not in report._repr_html_().replace("<b>air", "")
    assert "time 12..35 [12:36]" in report._repr_html_()


def test_a_lost_leaf_names_the_chunks_that_it_had() -> None:
    """The regions of a lost leaf of an index are just its chunks, and their number is that of the node above."""
    store = IPLDStore()
    big_array(store)
    root, count = store.freeze(), len(store)
    from ipldstore._format import index_tree, keys
    from ipldstore._format.nodes import decode_root
    from ipldstore._merge.rules.sides import nodes_of

    nodes = nodes_of(store.castore)
    array = nodes.load(bytes(root), decode_root).map["big"]
    if isinstance(array, bytes):
        from ipldstore._format.nodes import decode_directory

        array = nodes.load(array, decode_directory).map
    top = index_tree.top_node(index_tree.CHUNKS, array[keys.CHUNKS], nodes.load)
    leaf = nodes.load(top.children[1].link, index_tree.CHUNKS.decode)
    assert isinstance(leaf, index_tree.Leaf)
    expected = {tuple(map(int, key.split("/")[1:])) for key in leaf.keys}
    remove(store.castore, cids.from_validated(top.children[1].link))  # type: ignore[arg-type]  # in memory
    report = IPLDStore(store.castore, root=root).verify()
    (found,) = report.arrays
    assert found.lost == {"missing": len(expected)}
    cells = {
        (t, x)
        for region in found.regions
        for t in range(region.chunks.start[0], region.chunks.stop[0])
        for x in range(region.chunks.start[1], region.chunks.stop[1])
    }
    assert cells == expected
    assert report.keys == count - len(expected)


def test_a_lost_root_is_an_error() -> None:
    store = IPLDStore()
    write_air(store)
    root = store.freeze()
    remove(store.castore, root)  # type: ignore[arg-type]  # in memory
    with pytest.raises(BlockMissingError, match=str(root)):
        IPLDStore(store.castore, root=root)


class Threads(MappingCAStore):
    """Blocks that are read, by whether this happens in the main thread."""

    def __init__(self, *, local: bool) -> None:
        super().__init__()
        self.local = local
        self.reads = {True: 0, False: 0}

    def get_block(self, cid: CID) -> bytes:
        self.reads[threading.current_thread() is threading.main_thread()] += 1
        return super().get_block(cid)


@pytest.mark.parametrize("far", ["neither", "here", "there"])
def test_repair_reads_with_threads_where_blocks_are_far_away(far: str) -> None:
    """A thread costs more than reading a small block of this machine: repairing a file took three times as long."""
    here, there = Threads(local=far != "here"), Threads(local=far != "there")
    store = IPLDStore(here)
    write_air(store)
    root = store.freeze()
    for cid, data in list(here.get_dag(root)):
        there.put_block(cid, data)
    lost = [cid for cid in here if cid.codec.name == "raw"][:5]
    for cid in lost:
        remove(here, cid)
    here.reads = {True: 0, False: 0}
    done = repair(here, bytes(root), there)
    assert (done.blocks, done.lost) == (len(lost), ())
    assert (here.reads[False] > 0) is (far == "here")
    assert (there.reads[False] > 0) is (far == "there")


def test_repair_fetches_what_is_lost() -> None:
    """Nodes that are lost are fetched too, and what is below them looked at; what nobody has is named."""
    blocks: dict[str, bytes] = {}
    store = IPLDStore(MappingCAStore(blocks))
    write_air(store)
    root = store.freeze()
    here, there = (MappingCAStore(dict(blocks)) for _ in range(2))
    link, other = (cids.from_validated(store._data.find(key)) for key in ("air/c/1/0", "air/c/2/0"))  # type: ignore[arg-type]  # links, not documents
    for cid in (root, link, other):
        remove(here, cid)
    remove(there, other)
    done = repair(here, bytes(root), there)
    assert (done.blocks, done.lost) == (2, (other,))
    assert repair(here, bytes(root), store.castore).blocks == 1
    assert IPLDStore(here, root=root).verify()


def test_any_node_that_is_lost_is_told_and_the_rest_is_verified() -> None:
    """Documents, directories, and nodes of both indexes, one at a time."""
    store = IPLDStore()
    big_array(store)
    zarr.create_group(store, path="model", attributes={"long": "x" * 40_000})
    for number in range(2100):
        store[f"names/{number:05}"] = b"value"
    for number in range(4):
        zarr.create_group(store, path=f"model/run{number}", attributes={"text": "y" * 20_000})
    root, count = store.freeze(), len(store)
    blocks = store.castore
    assert isinstance(blocks, MappingCAStore)
    nodes = [cid for cid, _ in blocks.get_dag(root) if cid.codec.name == "dag-cbor" and cid != root]
    assert len(nodes) > 5
    for node in nodes:
        data = blocks.get_raw(node)
        blocks.delete_block(node)
        report = IPLDStore(blocks, root=root).verify()
        assert not report
        assert report.failed >= 1
        assert str(node) in str(report) or str(node) in str(report.data)
        assert report.keys < count or report.failures
        blocks.put_block(node, data)
    assert IPLDStore(blocks, root=root).verify()


def test_a_root_of_another_maker_is_verified(tmp_path: Path) -> None:
    """A UnixFS directory with a zarr hierarchy: a chunk that is damaged is told by its key."""
    blocks = MappingCAStore()

    def directory(entries: dict[str, bytes]) -> bytes:
        links = [unixfs.PBLink(cid, name, 0) for name, cid in entries.items()]
        return unixfs.build_directory(links, lambda cid, data: blocks.put_block(cids.from_bytes(cid), data)).cid

    source = tmp_path / "a.zarr"
    zarr.create_array(source, name="a", shape=(4,), chunks=(2,), dtype="i4", zarr_format=2, compressors=None)[:] = 1
    chunk = bytes(blocks.put(b"\1\0\0\0" * 2))
    files = {path.name: bytes(blocks.put(path.read_bytes())) for path in (source / "a").iterdir()}
    root = directory({"a": directory(files), ".zgroup": bytes(blocks.put(b'{"zarr_format": 2}'))})
    assert IPLDStore(blocks, root=root).verify()
    blocks.put_block(cids.from_bytes(chunk), b"wrong")
    report = IPLDStore(blocks, root=root).verify()
    assert {each.path for each in report.failures} == {"a/0", "a/1"}
