"""links and walk: order, each once, no recursion, and bounded memory."""

import random
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarError, MalformedError, binary_links, cids, dagcbor, dagpb, links, walk, walk_binary
from ipld_car.codecs.dagpb import PBLink
from multiformats import CID

from ..support.car_samples import cid

pytestmark = pytest.mark.smoke

RAW = cid(b"leaf")


def put(blocks: dict[bytes, bytes], node: object) -> bytes:
    data = dagcbor.encode_node(node)
    name = cid(data, "dag-cbor")
    blocks[name] = data
    return name


# -- links -----------------------------------------------------------------------------------------


def test_links_of_each_codec() -> None:
    other = cid(b"other")
    cbor = dagcbor.encode_node({"b": RAW, "a": [other, {"x": other}]})
    assert links(cid(cbor, "dag-cbor"), cbor) == [cids.from_bytes(name) for name in (other, other, RAW)]
    pb = dagpb.encode([PBLink(other, "z"), PBLink(RAW, "a"), PBLink(other)], b"data")
    for version in (0, 1):
        name = cid(pb, "dag-pb", version=version)
        assert links(name, pb) == [cids.from_bytes(each) for each in (other, RAW, other)]
        assert list(binary_links(name, pb)) == [other, RAW, other]
    json = b'[{"/":"%s"},{"/":"%s"}]' % (cids.to_text(other).encode(), cids.to_text(RAW).encode())
    assert links(cid(json, "dag-json"), json) == [cids.from_bytes(name) for name in (other, RAW)]
    for codec in ("raw", "json", 0x0202):
        assert links(cid(cbor, codec), cbor) == []
    assert all(str(link).startswith("b") for link in links(cid(cbor, "dag-cbor"), cbor))


@pytest.mark.parametrize("form", [bytes, CID.decode, cids.to_text])
def test_links_take_cids_in_all_forms(form: Callable[[bytes], CID | str | bytes]) -> None:
    block = dagcbor.encode_node([RAW])
    assert links(form(cid(block, "dag-cbor")), block) == [CID.decode(RAW)]


@pytest.mark.parametrize("codec", ["dag-cbor", "dag-pb", "dag-json"])
def test_blocks_that_are_not_of_their_codec(codec: str) -> None:
    with pytest.raises(CarError):
        links(cid(b"\xff\xff", codec), b"\xff\xff")


# -- walk ------------------------------------------------------------------------------------------


def recursive(blocks: dict[bytes, bytes], name: bytes, seen: list[bytes]) -> list[bytes]:
    """Walk by the definition: a block, then all that each of its links reaches, each once."""
    if name not in seen:
        seen.append(name)
        for link in binary_links(name, blocks[name]):
            recursive(blocks, link, seen)
    return seen


@given(st.integers(1, 30), st.randoms(use_true_random=False))
def test_depth_first_in_the_order_of_links_each_once(count: int, rnd: random.Random) -> None:
    blocks: dict[bytes, bytes] = {}
    names = [put(blocks, 0)]
    for number in range(count):
        below = [rnd.choice(names) for _ in range(rnd.randrange(5))]  # the same link more than once, too
        names.append(put(blocks, {"links": below, "number": number}))
    asked: list[bytes] = []

    def get(name: bytes) -> bytes:
        asked.append(name)
        return blocks[name]

    walked = list(walk_binary(get, names[-1]))
    assert [name for name, _ in walked] == asked == recursive(blocks, names[-1], [])
    assert all(blocks[name] == data for name, data in walked)
    root = cids.from_bytes(names[-1])
    for form in (root, str(root), bytes(root)):
        objects = list(walk(lambda name: blocks[bytes(name)], form))
        assert [(bytes(name), data) for name, data in objects] == walked
        assert all(isinstance(name, CID) for name, _ in objects)


def test_blocks_are_read_when_they_are_asked_for() -> None:
    blocks: dict[bytes, bytes] = {}
    first, second = put(blocks, 1), put(blocks, 2)
    root = put(blocks, [first, second])
    asked: list[bytes] = []

    def get(name: bytes) -> bytes:
        asked.append(name)
        return blocks[name]

    walked = walk_binary(get, root)
    assert asked == []
    for number, name in enumerate((root, first, second)):
        assert next(walked)[0] == name
        assert len(asked) == number + 1


def test_exceptions_of_get_pass_through() -> None:
    blocks: dict[bytes, bytes] = {}
    root = put(blocks, [put(blocks, 1), RAW])
    with pytest.raises(KeyError):
        list(walk_binary(blocks.__getitem__, root))


def test_a_block_that_is_no_dag_cbor_ends_the_walk() -> None:
    name = cid(b"\xff", "dag-cbor")
    walked = walk_binary(lambda _: b"\xff", name)
    assert next(walked) == (name, b"\xff")
    with pytest.raises(MalformedError):
        next(walked)


def test_a_block_that_links_itself_is_walked_once() -> None:
    """Only a get that does not verify can return one."""
    name = cid(b"itself", "dag-cbor")
    block = dagcbor.encode_node([name, name])
    assert list(walk_binary(lambda _: block, name)) == [(name, block)]


def test_a_root_that_is_no_cid() -> None:
    with pytest.raises(CarError):
        list(walk(lambda _: b"", "hello"))


# -- depth and memory ------------------------------------------------------------------------------


def numbered(number: int) -> bytes:
    return cids.make(cids.DAG_CBOR, number.to_bytes(32))


def chain(length: int) -> Callable[[bytes], bytes]:
    """A graph where each block links the next, made while it is walked."""

    def get(name: bytes) -> bytes:
        number = int.from_bytes(name[4:])
        return dagcbor.encode_node({"next": numbered(number + 1)} if number + 1 < length else {})

    return get


@pytest.mark.slow
def test_a_hundred_thousand_levels() -> None:
    """No recursion, and no iterator for each level: only the CIDs that were met."""
    length = 100_000
    tracemalloc.start()
    count = sum(1 for _ in walk_binary(chain(length), numbered(0)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == length
    assert peak < 150 * length


@pytest.mark.slow
def test_a_wide_graph_takes_150_bytes_a_block() -> None:
    """A root over 100 nodes of 2000 links each, as an index has them."""
    fan, leaves = 100, 2000
    root = cids.make(cids.DAG_CBOR, b"\xff" * 32)

    def get(name: bytes) -> bytes:
        if name == root:
            return dagcbor.encode_node([numbered(number) for number in range(fan)])
        number = int.from_bytes(name[4:])
        if number >= fan:
            return b"\x00"
        return dagcbor.encode_node([numbered(fan + number * leaves + leaf) for leaf in range(leaves)])

    total = 1 + fan + fan * leaves
    count = 0
    held = 0
    walked = walk_binary(get, root)
    tracemalloc.start()
    for _ in walked:
        count += 1
        if count == total:  # all CIDs are remembered, and none waits
            held = tracemalloc.get_traced_memory()[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == total
    assert held < 150 * total
    # While the set grows, memory holds it twice; beside it, the links of one block.
    assert peak < 200 * total
