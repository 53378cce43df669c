"""shared_cids: a walk that leaves these CIDs out yields every block that is missing, and little is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarError, cids, dagcbor, dagpb, hashes, shared_cids, walk_binary


class Blocks:
    """Blocks by binary CID, with a record of those that were read."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.read: list[bytes] = []

    def put(self, data: bytes, codec: int = cids.RAW) -> bytes:
        cid = cids.make(codec, hashes.digest_of(cids.SHA2_256, data))
        self.data[cid] = data
        return cid

    def node(self, value: Any) -> bytes:
        return self.put(dagcbor.encode_node(value), cids.DAG_CBOR)

    def get(self, cid: bytes) -> bytes:
        self.read.append(cid)
        return self.data[cid]

    def reached(self, root: bytes) -> set[bytes]:
        return {cid for cid, _ in walk_binary(self.data.__getitem__, root)}

    def lacking(self, old: bytes, new: bytes) -> list[bytes]:
        """Return the blocks of ``new`` that a holder of ``old`` is sent."""
        held = shared_cids(self.get, old, new)
        assert held <= self.reached(old)
        return [cid for cid, _ in walk_binary(self.data.__getitem__, new, held)]


def test_shared_blocks_are_not_read() -> None:
    blocks = Blocks()
    leaf, extra = blocks.put(b"leaf"), blocks.put(b"extra")
    shared = blocks.node([blocks.node([leaf])])
    old, new = blocks.node({"s": shared}), blocks.node({"s": shared, "more": [extra]})
    assert blocks.lacking(old, new) == [new, extra]
    assert sorted(blocks.read) == sorted([old, new])


def test_raw_blocks_are_not_read() -> None:
    blocks = Blocks()
    old, new = blocks.node([blocks.put(b"1"), blocks.put(b"2")]), blocks.node([blocks.put(b"2"), blocks.put(b"3")])
    assert blocks.lacking(old, new) == [new, blocks.put(b"3")]
    assert sorted(blocks.read) == sorted([old, new])
    assert blocks.lacking(blocks.put(b"1"), blocks.put(b"2")) == [blocks.put(b"2")]


def test_the_same_root() -> None:
    blocks = Blocks()
    root = blocks.node([blocks.put(b"1")])
    assert blocks.lacking(root, root) == []
    assert blocks.read == []


@pytest.mark.parametrize("deeper", ["old", "new"])
def test_a_block_that_moved_to_another_level(deeper: str) -> None:
    """The two graphs have the block at different depths."""
    blocks = Blocks()
    moved = blocks.node([blocks.node([blocks.put(b"1")]), blocks.put(b"2")])
    high, low = blocks.node([moved]), blocks.node(["low", blocks.node([blocks.node([moved])])])
    old, new = (low, high) if deeper == "old" else (high, low)
    assert set(blocks.lacking(old, new)) == blocks.reached(new) - blocks.reached(old)


def test_files_of_several_leaves() -> None:
    """dag-pb nodes are compared like those of other codecs."""
    blocks = Blocks()
    leaves = [blocks.put(b"%d" % number) for number in range(4)]
    old = blocks.put(dagpb.encode([dagpb.PBLink(leaf) for leaf in leaves[:3]]), cids.DAG_PB)
    new = blocks.put(dagpb.encode([dagpb.PBLink(leaf) for leaf in leaves]), cids.DAG_PB)
    assert blocks.lacking(old, new) == [new, leaves[3]]


def test_a_block_that_is_missing_or_malformed() -> None:
    blocks = Blocks()
    good, bad = blocks.node([]), blocks.put(b"\xff", cids.DAG_CBOR)
    absent = cids.make(cids.DAG_CBOR, bytes(32))
    for pair in ((good, absent), (absent, good)):
        with pytest.raises(KeyError):
            shared_cids(blocks.get, *pair)
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(CarError):
            shared_cids(blocks.get, *pair)


@st.composite
def two_roots(draw: st.DrawFn) -> tuple[Blocks, bytes, bytes]:
    blocks = Blocks()
    made = [blocks.put(b"%d" % number) for number in range(3)]
    for number in range(draw(st.integers(2, 12))):
        made.append(blocks.node([number % 4, *draw(st.lists(st.sampled_from(made), max_size=4))]))
    return blocks, draw(st.sampled_from(made)), draw(st.sampled_from(made))


@given(two_roots())
def test_a_holder_of_the_old_root_is_sent_all_missing_blocks(drawn: tuple[Blocks, bytes, bytes]) -> None:
    blocks, old, new = drawn
    sent = blocks.lacking(old, new)
    assert len(sent) == len(set(sent))
    assert blocks.reached(old) | set(sent) >= blocks.reached(new)
    assert len(blocks.read) <= len(set(blocks.read)) * 2  # once for each of the two
