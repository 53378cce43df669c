"""DAG-PB: blocks of Kubo and of the specification, and no bytes raise anything but CarError."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarError, MalformedError, TruncatedError, binary_links, cids, dagpb
from ipld_car.codecs.dagpb import PBLink, PBNode

from ..support.car_samples import cid, varint

RAW = cid(b"hello")
V0 = cid(b"", "dag-pb", version=0)

LINKS = st.builds(
    PBLink,
    st.sampled_from([RAW, V0, cid(bytes(100), "raw", "identity"), cid(b"x", "dag-cbor", "sha2-512")]),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    st.none() | st.integers(0, (1 << 63) - 1),
)


@given(st.lists(LINKS, max_size=10), st.none() | st.binary(max_size=200))
def test_round_trip_of_nodes(links: list[PBLink], data: bytes | None) -> None:
    block = dagpb.encode(links, data)
    assert dagpb.decode(block) == PBNode(links, data)
    assert dagpb.links(block) == [link.cid for link in links]
    assert binary_links(V0, block) == [link.cid for link in links]


@pytest.mark.parametrize(
    ("block", "node"),
    [
        # Examples of the specification for absent and empty fields.
        ("", PBNode([], None)),
        ("0a00", PBNode([], b"")),
        ("0a0568656c6c6f", PBNode([], b"hello")),
        ("12260a24" + RAW.hex(), PBNode([PBLink(RAW)], None)),
        ("12280a24" + RAW.hex() + "1200", PBNode([PBLink(RAW, "")], None)),
        ("122a0a24" + RAW.hex() + "12001800", PBNode([PBLink(RAW, "", 0)], None)),
        ("12280a24" + RAW.hex() + "1805", PBNode([PBLink(RAW, None, 5)], None)),
        ("12260a24" + RAW.hex() + "0a026869", PBNode([PBLink(RAW)], b"hi")),
        ("12240a22" + V0.hex(), PBNode([PBLink(V0)], None)),
    ],
)
def test_nodes_of_the_specification(block: str, node: PBNode) -> None:
    assert dagpb.decode(bytes.fromhex(block)) == node
    assert dagpb.encode(*node).hex() == block


def test_data_may_come_before_the_links() -> None:
    """The specification lets readers decide; old writers wrote this order."""
    block = bytes.fromhex("0a026869" + "12260a24" + RAW.hex())
    assert dagpb.decode(block) == PBNode([PBLink(RAW)], b"hi")


def link(message: bytes) -> bytes:
    return b"\x12" + varint(len(message)) + message


HASH = b"\x0a\x24" + RAW


@pytest.mark.parametrize(
    ("block", "error", "message", "offset"),
    [
        (b"\x0a\x00\x0a\x00", MalformedError, "at most one data field, found field 1", 2),
        (b"\x1a\x00", MalformedError, "found field 3", 0),
        (b"\x02\x00", MalformedError, "found field 0", 0),
        (b"\x08\x05", MalformedError, "found field 1", 0),
        (b"\x10\x05", MalformedError, "found field 2", 0),
        (b"\x0d" + bytes(4), MalformedError, "found wire type 5", 0),
        (b"\x0a\x00\x0b\x00", MalformedError, "found wire type 3", 2),
        (b"\x0a", TruncatedError, "expected a varint", 0),
        (b"\x0a\x05hell", TruncatedError, "expected 5 bytes, found 4", 0),
        (b"\x0a" + varint((1 << 63) - 1), TruncatedError, "expected 9223372036854775807 bytes, found 0", 0),
        (b"\x0a\x80\x00", MalformedError, "minimal varint", 0),
        (b"\x0a" + b"\x80" * 10, MalformedError, "at most 9 bytes", 0),
        (b"\x0a\x00" + link(b""), MalformedError, "with the CID of a block, found none", 2),
        (link(b"\x12\x01a"), MalformedError, "with the CID of a block, found none", 0),
        (link(b"\x0a\x00"), TruncatedError, "expected a varint", 0),
        (link(b"\x0a\x23" + RAW[:-1]), TruncatedError, "expected a CID of 36 bytes", 0),
        (link(b"\x0a\x25" + RAW + b"\x00"), MalformedError, "expected a CID of 36 bytes", 0),
        (link(b"\x08\x05"), MalformedError, "another wire type for field 1", 0),
        (link(HASH + b"\x10\x05"), MalformedError, "another wire type for field 2", 0),
        (link(HASH + b"\x1a\x01a"), MalformedError, "another wire type for field 3", 0),
        (link(HASH + HASH), MalformedError, "in this order, found field 1", 0),
        (link(HASH + b"\x18\x05\x12\x01a"), MalformedError, "in this order, found field 2", 0),
        (link(b"\x12\x01a" + HASH), MalformedError, "in this order, found field 1", 0),
        (link(HASH + b"\x20\x05"), MalformedError, "in this order, found field 4", 0),
        (link(HASH + b"\x12\x01\xff"), MalformedError, "in UTF-8", 0),
        (b"\x0a\x00" + link(HASH + b"\x12\x05a"), TruncatedError, "expected 5 bytes, found 1", 2),
    ],
)
def test_malformed_blocks_are_refused(block: bytes, error: type[CarError], message: str, offset: int) -> None:
    for function in (dagpb.decode, dagpb.links, lambda data: binary_links(V0, data)):
        with pytest.raises(error) as caught:
            function(block)
        assert message in str(caught.value)
        assert caught.value.offset == offset


PIECES = st.sampled_from([b"\x0a", b"\x12", HASH, b"\x00", b"\x24", b"\x26", link(HASH), b"\x18\x05"])


@given(st.binary(max_size=100) | st.lists(PIECES).map(b"".join))
def test_any_bytes_are_a_node_or_an_error(block: bytes) -> None:
    try:
        node = dagpb.decode(block)
    except CarError as error:
        assert error.offset is not None  # noqa: PT017  # one of two good ends
        with pytest.raises(type(error)):
            dagpb.links(block)
    else:
        assert [each.cid for each in node.links] == dagpb.links(block)
        # Encoded again, with data after the links, it is the same node and as long.
        again = dagpb.encode(*node)
        assert dagpb.decode(again) == node
        assert len(again) == len(block)


def test_every_change_of_every_byte() -> None:
    block = dagpb.encode([PBLink(RAW, "name", 300), PBLink(V0, "", 0)], b"data")
    for position in range(len(block)):
        for value in range(256):
            damaged = block[:position] + bytes([value]) + block[position + 1 :]
            try:
                for each in dagpb.decode(damaged).links:
                    cids.check(each.cid)
            except CarError:
                continue


@pytest.mark.parametrize("name", [RAW[:-1], RAW + b"\x00", b"", b"hello"])
def test_links_without_a_cid_are_not_written(name: bytes) -> None:
    with pytest.raises(CarError):
        dagpb.encode([PBLink(name)])


def test_listing_the_links_of_a_large_block_takes_little_memory() -> None:
    block = link(b"\x0a\x04\x01\x55\x00\x00") * 20_000
    tracemalloc.start()
    assert len(dagpb.links(block)) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(block)


@given(st.lists(st.tuples(st.integers(1, 1000), st.binary(max_size=20) | st.integers(0, (1 << 63) - 1)), max_size=10))
def test_round_trip_of_fields(written: list[tuple[int, bytes | int]]) -> None:
    message = b"".join(dagpb.encode_field(number, value) for number, value in written)
    assert [(number, value) for number, _, value in dagpb.fields(message)] == written
