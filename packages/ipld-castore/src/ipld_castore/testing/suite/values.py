"""Tests of values: bytes as raw blocks and UnixFS files, all else as DAG-CBOR."""
# ruff: noqa: S101  # assert is how pytest speaks

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from ipld_car import cids, dagcbor, dagpb, links, unixfs
from multiformats import CID

from ipld_castore._core.capabilities import SupportsList
from ipld_castore._core.store import MAX_NODE_BYTES, ContentAddressableStore
from ipld_castore.errors import BlockCorruptError, BlockMalformedError, BlockNotFoundError

from .blocks import Damage
from .harness import Harness

LEAF = unixfs.CHUNK_SIZE

LARGE = random.Random(0).randbytes(3 * LEAF + 4321)  # noqa: S311  # four different leaves

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**64 - 1,
    -(2**64),
    1.5,
    "",
    "ünïcödé \U0001f30d",
    [],
    {},
    [None, [False, {"a": []}], 1e300],
    {"b": 1, "a": {"bytes": b"\x00\xff", "text": "x"}, "": [1, 2, 3]},
]


def hostile_file(sizes: list[int], child: CID) -> bytes:
    """Return a UnixFS node with children of the given sizes, whatever their real size is."""
    total = sum(sizes)
    fields = [dagpb.encode_field(1, 2), dagpb.encode_field(3, total), *(dagpb.encode_field(4, size) for size in sizes)]
    return dagpb.encode([dagpb.PBLink(bytes(child), "", 1)] * len(sizes), b"".join(fields))


class ValueTests(Harness):
    """Tests of ``put``, ``get``, ``get_range`` and ``size``."""

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    def test_dag_cbor_values_come_back(self, castore: ContentAddressableStore, value: Any) -> None:
        """A value is one dag-cbor block, and comes back with the same type."""
        cid = castore.put(value)
        assert cid == self.make_cid(dagcbor.encode(value), cids.DAG_CBOR)
        assert castore.get(cid) == value
        assert type(castore.get(cid)) is type(value)

    def test_links_come_back_as_cids(self, castore: ContentAddressableStore) -> None:
        """Links are CIDs of any base, and come back as CIDs that the store takes."""
        leaf = castore.put(b"leaf")
        cid = castore.put({"link": leaf, "other base": CID("base58btc", 1, "raw", leaf.digest), "bare": [leaf]})
        value = castore.get(cid)
        assert value == {"link": leaf, "other base": leaf, "bare": [leaf]}
        assert castore.get(value["link"]) == b"leaf"
        assert links(cid, castore.get_raw(cid)) == [leaf] * 3

    def test_equal_values_have_one_cid(self, castore: ContentAddressableStore) -> None:
        """The CID of a dict does not depend on the order of its keys."""
        assert castore.put({"a": 1, "bb": 2, "b": 3}) == castore.put({"b": 3, "bb": 2, "a": 1})

    @pytest.mark.parametrize(
        "value",
        [math.nan, math.inf, 2**64, {1: 2}, pytest.param(object(), id="object"), {"a": {1, 2}}],
        ids=repr,
    )
    def test_values_without_dag_cbor_are_refused(self, castore: ContentAddressableStore, value: Any) -> None:
        """A value that dag-cbor cannot hold is a ValueError, and nothing is put."""
        with pytest.raises(ValueError, match="expected"):
            castore.put(value)
        if isinstance(castore, SupportsList):
            assert list(castore) == []

    def test_values_that_no_node_would_take_are_refused(self, castore: ContentAddressableStore) -> None:
        """A value larger than a block that nodes exchange is an error when it is put, not when it is sent."""
        head = len(dagcbor.encode("x" * MAX_NODE_BYTES)) - MAX_NODE_BYTES
        value = "x" * (MAX_NODE_BYTES - head)
        assert castore.get(castore.put(value)) == value
        with pytest.raises(ValueError, match="split it by links"):
            castore.put(value + "x")

    def test_blocks_that_are_no_values(self, castore: ContentAddressableStore) -> None:
        """A block that is malformed in its codec, or has a codec without values here, is a BlockMalformedError."""
        blocks = [
            ("dag-cbor", b"\xff"),
            ("dag-cbor", b""),
            ("dag-cbor", b"\x18\x01"),  # an integer that is not minimal
            ("dag-cbor", b"\x81" * 5000 + b"\x80"),  # lists in lists
            ("dag-pb", b"\x07"),
            ("dag-pb", dagpb.encode([], dagpb.encode_field(1, 1))),  # a directory
            ("dag-json", b"{}"),
        ]
        for codec, data in blocks:
            cid = castore.put_raw(data, codec)
            with pytest.raises(BlockMalformedError, match=str(cid)) as caught:
                castore.get(cid)
            assert isinstance(caught.value, ValueError)

    # -- bytes --

    @pytest.mark.parametrize("size", [0, 1, LEAF - 1, LEAF])
    def test_bytes_up_to_1_mib_are_one_raw_block(self, castore: ContentAddressableStore, size: int) -> None:
        """The CID of a small value has the digest of its bytes."""
        data = LARGE[:size]
        cid = castore.put(data)
        assert cid == self.make_cid(data)
        assert castore.get(cid) == castore.get_raw(cid) == data
        assert castore.size(cid) == size

    @pytest.mark.parametrize("size", [LEAF + 1, 2 * LEAF, len(LARGE)])
    def test_bytes_over_1_mib_are_a_unixfs_file(self, castore: ContentAddressableStore, size: int) -> None:
        """A large value has raw leaves of 1 MiB below a dag-pb node; no block is larger."""
        data = LARGE[:size]
        cid = castore.put(data)
        leaves = links(cid, castore.get_raw(cid))
        assert leaves == [self.make_cid(data[at : at + LEAF]) for at in range(0, size, LEAF)]
        assert castore.get(cid) == data
        assert castore.size(cid) == size
        assert castore.put(bytearray(data)) == castore.put(memoryview(data)) == cid

    @pytest.mark.parametrize(
        ("start", "stop", "leaves"),
        [
            (0, 0, []),
            (0, 1, [0]),
            (LEAF - 1, LEAF + 1, [0, 1]),
            (LEAF, 2 * LEAF, [1]),
            (2 * LEAF - 1, 2 * LEAF, [1]),
            (3 * LEAF, None, [3]),
            (len(LARGE) - 5, len(LARGE) + 5, [3]),
            (len(LARGE), None, []),
            (10 * LEAF, 11 * LEAF, []),
            (2 * LEAF, LEAF, []),
            (0, None, [0, 1, 2, 3]),
        ],
    )
    def test_a_range_reads_only_the_leaves_it_needs(
        self,
        castore: ContentAddressableStore,
        monkeypatch: pytest.MonkeyPatch,
        start: int,
        stop: int | None,
        leaves: list[int],
    ) -> None:
        """A range has the right bytes at each edge of a leaf, and reads no other leaf."""
        cid = castore.put(LARGE)
        every = links(cid, castore.get_raw(cid))
        read: list[CID] = []
        get_block = castore.get_block

        def counting(wanted: CID) -> bytes:
            read.append(wanted)
            return get_block(wanted)

        monkeypatch.setattr(castore, "get_block", counting)
        assert castore.get_range(cid, start, stop) == LARGE[start:stop]
        assert read == [cid, *(every[number] for number in leaves)]

    def test_ranges_of_a_raw_block(self, castore: ContentAddressableStore) -> None:
        """A range is a slice; a negative position is a ValueError."""
        cid = castore.put(b"0123456789")
        for start, stop in [(0, None), (3, 5), (5, 3), (8, 20), (10, None), (20, 30)]:
            assert castore.get_range(cid, start, stop) == b"0123456789"[start:stop]
        for bad in [(-1, None), (0, -1)]:
            with pytest.raises(ValueError, match="expected positions from 0 on"):
                castore.get_range(cid, *bad)

    def test_ranges_of_what_is_no_bytes(self, castore: ContentAddressableStore) -> None:
        """A range or the size of a dag-cbor value is a BlockMalformedError."""
        cid = castore.put({"a": 1})
        for verb in (castore.get_range, castore.size):
            with pytest.raises(BlockMalformedError, match=str(cid)):
                verb(cid)

    def test_a_damaged_leaf_spoils_only_its_bytes(self, castore: ContentAddressableStore, damage: Damage) -> None:
        """A range that touches the damaged leaf is an error; other ranges are read."""
        cid = castore.put(LARGE)
        damage(links(cid, castore.get_raw(cid))[1], bytes(LEAF))
        assert castore.get_range(cid, 2 * LEAF, None) == LARGE[2 * LEAF :]
        for bad in [(LEAF, LEAF + 1), (LEAF - 1, LEAF + 1), (0, None)]:
            with pytest.raises(BlockCorruptError):
                castore.get_range(cid, *bad)

    def test_a_missing_leaf(self, castore: ContentAddressableStore) -> None:
        """A missing leaf is an error, and neither zeros nor a shorter value."""
        cid = castore.put_raw(hostile_file([5, 6], self.make_cid(b"absent")), "dag-pb")
        with pytest.raises(BlockNotFoundError):
            castore.get(cid)

    def test_a_file_that_lies_about_its_size(self, castore: ContentAddressableStore) -> None:
        """The sizes in a node are compared with those of the leaves."""
        leaf = castore.put(b"12345")
        cid = castore.put_raw(hostile_file([5, 6], leaf), "dag-pb")
        assert castore.size(cid) == 11
        assert castore.get_range(cid, 0, 5) == b"12345"
        with pytest.raises(BlockMalformedError, match="expected 6 bytes"):
            castore.get(cid)

    def test_a_file_of_few_blocks_and_endless_bytes(self, castore: ContentAddressableStore) -> None:
        """A few blocks that name 2^50 bytes are an error to ``get``; a range of them is read."""
        cid, size = castore.put(bytes(LEAF)), LEAF
        for _ in range(3):
            cid, size = castore.put_raw(hostile_file([size] * 1024, cid), "dag-pb"), size * 1024
        assert castore.size(cid) == size == 1 << 50
        with pytest.raises(BlockMalformedError, match="max_bytes"):
            castore.get(cid)
        with pytest.raises(BlockMalformedError, match="max_bytes"):
            castore.get_range(cid, 1, 12, max_bytes=10)
        assert castore.get_range(cid, (1 << 50) - 10, max_bytes=10) == bytes(10)
