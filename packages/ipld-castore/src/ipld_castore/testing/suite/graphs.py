"""Tests of graphs of blocks: walks, writing archives, reading archives."""
# ruff: noqa: S101  # assert is how pytest speaks

from __future__ import annotations

from io import BytesIO

import pytest
from ipld_car import CarError, CarReader, CarWriter, cids, dagcbor, hashes, read_car
from multiformats import CID

from ipld_castore._backends.mapping import MappingCAStore
from ipld_castore._core.capabilities import SupportsList
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.errors import BlockCorruptError, BlockMalformedError, BlockNotFoundError, HashRefusedError

from .blocks import DATA, WEAK, Damage
from .harness import Harness
from .values import LARGE


class Trickle:
    """A stream with ``read`` alone, which returns a few bytes at a time, as a pipe does."""

    def __init__(self, data: bytes) -> None:
        self._left = BytesIO(data)

    def read(self, size: int, /) -> bytes:
        """Return at most 1000 bytes."""
        return self._left.read(min(size, 1000))


def sections(archive: bytes) -> list[CID]:
    """Return the CIDs of the blocks of an archive, in order."""
    return [cid for cid, _, _ in read_car(archive)[1]]


class GraphTests(Harness):
    """Tests of ``get_dag``, ``to_car`` and ``import_car``."""

    def diamond(self, castore: ContentAddressableStore) -> tuple[CID, list[CID]]:
        """Put a graph whose branches meet; return its root, and its blocks in the order of the walk."""
        shared = castore.put(b"shared")
        left = castore.put({"down": shared})
        right = castore.put([shared, left, castore.put(b"right")])
        root = castore.put({"z": left, "a": right, "twice": [shared, shared]})
        # Keys of a map are ordered by length, then bytes: a, z, twice.
        return root, [root, right, shared, left, castore.put(b"right")]

    def test_a_walk_gives_each_block_once_in_order(self, castore: ContentAddressableStore) -> None:
        """A walk is depth first: a block before the blocks that it links, links in the order of their encoding."""
        root, order = self.diamond(castore)
        castore.put(b"not below the root")
        pairs = list(castore.get_dag(root))
        assert [cid for cid, _ in pairs] == order
        assert all(castore.get_raw(cid) == data for cid, data in pairs)

    def test_a_walk_of_one_block(self, castore: ContentAddressableStore) -> None:
        """The graph of a leaf is that block."""
        cid = castore.put(b"leaf")
        assert list(castore.get_dag(str(cid))) == [(cid, b"leaf")]

    def test_a_deep_graph(self, castore: ContentAddressableStore) -> None:
        """A walk does not recurse, so a deep graph does not exceed Python's stack."""
        root = self.chain(castore, self.depth)
        assert sum(1 for _ in castore.get_dag(root)) == self.depth

    def test_a_wide_graph(self, castore: ContentAddressableStore) -> None:
        """Many links of one node are followed in their order."""
        leaves = [castore.put(b"%d" % number) for number in range(self.width)]
        root = castore.put_raw(dagcbor.encode_node([bytes(leaf) for leaf in leaves]), "dag-cbor")
        assert [cid for cid, _ in castore.get_dag(root)] == [root, *leaves]

    def test_a_missing_block_ends_the_walk(self, castore: ContentAddressableStore) -> None:
        """The error names the missing block. The blocks before it are returned."""
        absent = self.make_cid(b"absent")
        root = castore.put([castore.put(b"first"), absent, castore.put(b"last")])
        seen: list[CID] = []
        with pytest.raises(BlockNotFoundError, match=str(absent)):
            seen.extend(cid for cid, _ in castore.get_dag(root))
        stream = BytesIO()
        with pytest.raises(BlockNotFoundError, match=str(absent)):
            castore.to_car(root, stream)
        assert sections(stream.getvalue()) == [root, castore.put(b"first")]
        with pytest.raises(BlockNotFoundError, match=str(absent)):
            castore.to_car(absent)

    def test_a_damaged_block_ends_the_walk(self, castore: ContentAddressableStore, damage: Damage) -> None:
        """A damaged block is an error of the walk, and is in no archive."""
        bad = castore.put(b"good")
        root = castore.put({"link": bad})
        damage(bad, b"evil")
        with pytest.raises(BlockCorruptError, match=str(bad)):
            list(castore.get_dag(root))
        with pytest.raises(BlockCorruptError, match=str(bad)):
            castore.to_car(root)

    def test_a_malformed_block_ends_the_walk(self, castore: ContentAddressableStore) -> None:
        """The links of a malformed block are unknown; the error names that block."""
        bad = castore.put_raw(b"\xff\xff", "dag-cbor")
        root = castore.put([castore.put([]), bad])
        with pytest.raises(BlockMalformedError, match=f"block {bad}"):
            list(castore.get_dag(root))

    # -- archives --

    def test_an_archive_is_the_walk(self, castore: ContentAddressableStore) -> None:
        """An archive has one root and the blocks of the walk, as bytes and as a stream."""
        root, order = self.diamond(castore)
        archive = castore.to_car(root)
        stream = BytesIO()
        assert castore.to_car(str(root), stream) is None
        assert stream.getvalue() == archive
        assert CarReader(archive).roots == [root]
        assert sections(archive) == order

    def test_an_archive_depends_on_nothing_but_the_root(self, castore: ContentAddressableStore) -> None:
        """Another store, filled in another order, writes the same bytes."""
        root, order = self.diamond(castore)
        other = MappingCAStore()
        for cid in reversed(order):
            other.put_block(cid, castore.get_raw(cid))
        assert other.to_car(root) == castore.to_car(root)

    def test_an_archive_of_what_another_root_lacks(self, castore: ContentAddressableStore) -> None:
        """A store that has the graph of that root and imports the archive has both graphs."""
        kept, dropped = castore.put([castore.put(b"kept")]), castore.put([castore.put(b"dropped")])
        old = castore.put([kept, dropped, castore.put(b"leaf")])
        added = castore.put(b"added")
        new = castore.put([kept, added, castore.put(b"leaf")])
        archive = castore.to_car(new, since=str(old))
        assert CarReader(archive).roots == [new]
        assert sections(archive) == [new, added]
        stream = BytesIO()
        assert castore.to_car(new, stream, since=old) is None
        assert stream.getvalue() == archive
        assert sections(castore.to_car(new, since=new)) == []
        other = MappingCAStore()
        other.import_car(castore.to_car(old))
        other.import_car(archive)
        assert other.to_car(new) == castore.to_car(new)
        with pytest.raises(BlockNotFoundError):
            castore.to_car(new, since=self.make_cid(b"nobody's", cids.DAG_CBOR))

    @pytest.mark.parametrize("stream", [False, True], ids=["bytes", "stream"])
    def test_archives_are_imported(self, castore: ContentAddressableStore, *, stream: bool) -> None:
        """An archive is imported from bytes and from a stream; the roots are those in its header."""
        other = MappingCAStore()
        root = other.put({"large": other.put(LARGE), "small": [other.put(b"small"), other.put({"a": None})]})
        archive = other.to_car(root)
        assert castore.import_car(Trickle(archive) if stream else archive) == [root]
        assert castore.to_car(root) == archive
        assert castore.get(castore.get(root)["large"]) == LARGE
        assert castore.import_car(archive) == [root]

    def test_odd_archives_are_imported(self, castore: ContentAddressableStore) -> None:
        """Archives with no root or several, absent roots, repeated blocks, and CIDs of version 0 are imported."""
        v0 = cids.from_bytes(b"\x12\x20" + hashes.digest_of(cids.SHA2_256, b""))
        a, absent = self.make_cid(DATA), self.make_cid(b"absent")
        for roots in ([], [absent, a, absent]):
            stream = BytesIO()
            with CarWriter(stream, roots) as writer:
                for cid, data in [(v0, b""), (a, DATA), (v0, b""), (a, DATA)]:
                    writer.write(cid, data)
            assert castore.import_car(stream.getvalue()) == roots
            assert castore.get_raw(v0) == b""
            assert castore.get_raw(a) == DATA
            assert absent not in castore

    def test_identity_cids_stay_out(self, castore: ContentAddressableStore) -> None:
        """Identity CIDs are part of a walk, but are neither written into archives nor put."""
        inner = castore.put(b"below")
        node = dagcbor.encode_node([bytes(inner)])
        inline = cids.from_bytes(cids.make(cids.DAG_CBOR, node, cids.IDENTITY))
        root = castore.put([inline])
        assert [cid for cid, _ in castore.get_dag(root)] == [root, inline, inner]
        assert sections(castore.to_car(root)) == [root, inner]
        stream = BytesIO()
        with CarWriter(stream, [root]) as writer:
            writer.write(inline, node)
        assert castore.import_car(stream.getvalue()) == [root]
        if isinstance(castore, SupportsList):
            assert all(cids.prefix_of(bytes(cid)).hash_code != cids.IDENTITY for cid in castore)

    @pytest.mark.parametrize("cid", WEAK[:2])
    def test_blocks_that_prove_nothing_are_not_imported(self, castore: ContentAddressableStore, cid: CID) -> None:
        """A block whose hash proves nothing ends the import; the blocks before it are put."""
        good = self.make_cid(b"good")
        stream = BytesIO()
        with CarWriter(stream, []) as writer:
            writer.write(good, b"good")
            writer.write(cid, DATA)
        with pytest.raises(HashRefusedError):
            castore.import_car(stream.getvalue())
        assert castore.get_raw(good) == b"good"
        assert not castore.has_block(cid)

    def test_a_damaged_archive(self, castore: ContentAddressableStore) -> None:
        """An archive that is cut or changed is a CarError. The good blocks before are put, the bad one is not."""
        other = MappingCAStore()
        first, last = other.put(b"first"), other.put(b"last block")
        root = other.put([first, last])
        archive = other.to_car(root)
        for bad in (archive[:-1], archive[:-1] + b"X", archive + b"\x00", archive[:-10]):
            with pytest.raises(CarError):
                castore.import_car(bad)
            assert castore.get_raw(first) == b"first"
        for nonsense in (b"", b"nonsense", b"\xff" * 100):
            with pytest.raises(CarError):
                castore.import_car(nonsense)
