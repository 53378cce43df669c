"""UnixFS files: built as Kubo builds them, read in ranges, and hostile trees give an error or are read lazily."""

import io
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarError, CarReader, CarWriter, HashMismatchError, LimitError, MalformedError, cids, dagpb, unixfs
from ipld_car.codecs.dagpb import PBLink

from ..support.car_samples import cid, matches, outcome

Blocks = dict[bytes, bytes]


def built(data: bytes, chunk_size: int = 4, max_links: int = 3) -> tuple[bytes, Blocks]:
    blocks: Blocks = {}
    return unixfs.build(data, blocks.__setitem__, chunk_size=chunk_size, max_links=max_links), blocks


def node(
    children: list[tuple[bytes, int]] | None = None,
    data: bytes | None = None,
    *,
    size: int | None = None,
    sizes: list[int] | None = None,
    kind: int | None = 2,
) -> bytes:
    """Return a block of a file with any claims."""
    children = children or []
    fields = [] if kind is None else [dagpb.encode_field(1, kind)]
    fields += [] if data is None else [dagpb.encode_field(2, data)]
    fields += [] if size is None else [dagpb.encode_field(3, size)]
    fields += [dagpb.encode_field(4, each) for each in ([size for _, size in children] if sizes is None else sizes)]
    return dagpb.encode([PBLink(name, "", size) for name, size in children], b"".join(fields))


def put(blocks: Blocks, block: bytes, codec: str = "dag-pb") -> bytes:
    name = cid(block, codec)
    blocks[name] = block
    return name


# -- building --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "text", "count"),
    [
        # Zeros, by `ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576 --max-file-links=1024` and js-ipfs;
        # test_peers.py asks the latter about other files.
        (0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", 1),
        ((1 << 20) + 1, "bafybeihd4yzq7n5umhjngdum4r6k2to7egxfkf2jz6thvwzf6djus22cmq", 3),
    ],
)
def test_cids_are_those_of_ipfs(size: int, text: str, count: int) -> None:
    blocks: Blocks = {}
    assert cids.to_text(unixfs.build(bytes(size), blocks.__setitem__)) == text
    assert len(blocks) == count


def test_a_file_of_one_chunk_is_a_raw_block() -> None:
    for size in (0, 1, 4):
        data = os.urandom(size)
        root, blocks = built(data)
        assert root == cid(data)
        assert blocks == {root: data}
    blocks = {}
    data = bytes(unixfs.CHUNK_SIZE)
    assert unixfs.build(data, blocks.__setitem__) == cid(data)


@pytest.mark.parametrize("size", [5, 12, 13, 24, 36, 37, 100, 108, 109, 324, 325])
def test_the_tree_is_balanced_and_filled_from_the_left(size: int) -> None:
    data = os.urandom(size)
    root, blocks = built(data)

    def leaves_below(name: bytes) -> tuple[int, int]:
        """Leaves below a node, and its height; every node but the last of a level is full."""
        if cids.codec_of(name) == cids.RAW:
            return 1, 0
        children = [leaves_below(link.cid) for link in dagpb.decode(blocks[name]).links]
        assert 1 <= len(children) <= 3
        assert len({height for _, height in children}) == 1
        height = children[0][1] + 1
        assert all(count == 3 ** (height - 1) for count, _ in children[:-1])
        return sum(count for count, _ in children), height

    leaves, height = leaves_below(root)
    assert leaves == -(-size // 4)
    assert 3 ** (height - 1) < leaves <= 3**height


def test_blocks_are_put_before_what_links_them() -> None:
    seen: set[bytes] = set()

    def take(name: bytes, block: bytes) -> None:
        assert matches(name, block)
        if cids.codec_of(name) == cids.DAG_PB:
            assert {link.cid for link in dagpb.decode(block).links} <= seen
        seen.add(name)

    root = unixfs.build(os.urandom(200), take, chunk_size=4, max_links=3)
    assert root in seen


def test_tsize_is_the_size_of_all_blocks_below() -> None:
    root, blocks = built(os.urandom(100))

    def size_below(name: bytes) -> int:
        if cids.codec_of(name) == cids.RAW:
            return len(blocks[name])
        links = dagpb.decode(blocks[name]).links
        for link in links:
            assert link.size == size_below(link.cid)
            assert link.name == ""
        return len(blocks[name]) + sum(link.size or 0 for link in links)

    assert size_below(root) > 100


@pytest.mark.parametrize("code", [cids.SHA2_256, 0x13, 0xB220])
def test_all_blocks_have_the_hash_function_asked_for(code: int) -> None:
    blocks: Blocks = {}
    data = os.urandom(50)
    root = unixfs.build(data, blocks.__setitem__, hash_code=code, chunk_size=4, max_links=3)
    assert all(cids.prefix_of(name).hash_code == code and matches(name, block) for name, block in blocks.items())
    assert b"".join(unixfs.read(blocks.__getitem__, root)) == data


def test_a_view_of_wider_items_is_built_by_its_bytes() -> None:
    data = os.urandom(80)
    expected = built(data)
    view = memoryview(data)
    views: list[Any] = [view, view.cast("I"), view.cast("d"), memoryview(bytearray(data)), bytearray(data)]
    for view in views:
        blocks: Blocks = {}
        assert (unixfs.build(view, blocks.__setitem__, chunk_size=4, max_links=3), blocks) == expected
    blocks = {}
    big = bytes(3 << 20)
    assert unixfs.build(memoryview(big).cast("Q"), blocks.__setitem__) == unixfs.build(big, blocks.__setitem__)


@pytest.mark.parametrize(("chunk_size", "max_links"), [(0, 3), (-1, 3), (4, 1), (4, 0)])
def test_impossible_chunk_sizes_and_link_counts(chunk_size: int, max_links: int) -> None:
    with pytest.raises(ValueError, match="expected chunks of at least 1 byte and at least 2 links"):
        built(bytes(10), chunk_size, max_links)


# -- reading ---------------------------------------------------------------------------------------

RANGES = st.tuples(st.integers(0, 320), st.none() | st.integers(0, 320))


@given(st.binary(max_size=300), st.integers(1, 20), st.integers(2, 5), st.lists(RANGES, max_size=5))
def test_files_and_their_ranges(data: bytes, chunk: int, max_links: int, ranges: list[tuple[int, int | None]]) -> None:
    root, blocks = built(data, chunk, max_links)
    assert b"".join(unixfs.read(blocks.__getitem__, root)) == data
    assert unixfs.size_of(blocks.__getitem__, root) == len(data)
    for start, stop in ranges:
        assert b"".join(unixfs.read(blocks.__getitem__, root, start, stop)) == data[start:stop]


def test_a_range_reads_only_the_blocks_that_hold_it() -> None:
    data = os.urandom(4 * 81)
    root, blocks = built(data)  # four levels of nodes, each full
    asked: list[bytes] = []

    def get(name: bytes) -> bytes:
        asked.append(name)
        return blocks[name]

    for start, stop, leaves in ((0, 1, 1), (3, 5, 2), (100, 104, 1), (323, 324, 1), (0, 324, 81), (160, 172, 3)):
        asked.clear()
        assert b"".join(unixfs.read(get, root, start, stop)) == data[start:stop]
        assert sum(cids.codec_of(name) == cids.RAW for name in asked) == leaves
        assert len(asked) == len(set(asked))
    for start, stop in ((5, 5), (324, 400), (400, 500), (10, 5), (300, 2)):
        asked.clear()
        assert list(unixfs.read(get, root, start, stop)) == []
        assert asked == [root]
    asked.clear()
    assert unixfs.size_of(get, root) == len(data)
    assert asked == [root]


def test_files_are_read_from_left_to_right_and_no_further_than_asked() -> None:
    data = os.urandom(100)
    root, blocks = built(data)
    asked: list[bytes] = []

    def get(name: bytes) -> bytes:
        asked.append(name)
        return blocks[name]

    pieces = unixfs.read(get, root)
    assert asked == []
    assert next(pieces) == data[:4]
    assert sum(cids.codec_of(name) == cids.RAW for name in asked) == 1
    assert b"".join(pieces) == data[4:]


def test_data_beside_links() -> None:
    """No program writes such files today, but they exist."""
    blocks: Blocks = {}
    inner = put(blocks, node([(put(blocks, b"mid", "raw"), 3)], b"in"))
    root = put(blocks, node([(inner, 5), (put(blocks, b"end", "raw"), 3)], b"first"))
    whole = b"firstinmidend"
    for start in range(len(whole) + 1):
        for stop in range(start, len(whole) + 1):
            assert b"".join(unixfs.read(blocks.__getitem__, root, start, stop)) == whole[start:stop]


@pytest.mark.parametrize("kind", [0, 2])
def test_leaves_in_dag_pb(kind: int) -> None:
    """As `ipfs add` without --raw-leaves writes them, of type Raw in old versions."""
    blocks: Blocks = {}
    leaf = put(blocks, node(data=b"hello", size=5, kind=kind))
    root = put(blocks, node([(leaf, 5), (leaf, 5)], size=10))
    assert b"".join(unixfs.read(blocks.__getitem__, root, 3, 8)) == b"lohel"
    empty = put(blocks, node(kind=kind))
    assert list(unixfs.read(blocks.__getitem__, empty)) == []


def test_files_of_other_programs(fixtures: Path) -> None:
    found = outcome((fixtures / "go-car-cmd/simple-unixfs.car").read_bytes())
    blocks = {name: data for name, data, _ in found.blocks}

    def at(root: bytes, path: str) -> bytes:
        for part in path.split("/"):
            (root,) = [link.cid for link in dagpb.decode(blocks[root]).links if link.name == part]
        return b"".join(unixfs.read(blocks.__getitem__, root))

    for name in ("a/1/A", "a/2/B", "a/3/C", "b/4/D", "b/5/E", "b/6/F", "c/7/G", "c/8/H", "c/9/I"):
        assert at(found.roots[0], f"{name}.txt") == name.replace("/", "").encode() + b"\n"
    with pytest.raises(MalformedError, match="expected a UnixFS file, found UnixFS type 1"):
        list(unixfs.read(blocks.__getitem__, found.roots[0]))


# -- hostile trees: get may give anything ----------------------------------------------------------


def lying(make: Callable[[Blocks], bytes]) -> tuple[bytes, Blocks]:
    blocks: Blocks = {}
    return make(blocks), blocks


LEAF = cid(b"leaf")
LIES: dict[str, tuple[Callable[[Blocks], bytes], type[CarError], str]] = {
    "no size for a link": (lambda b: put(b, node([(LEAF, 4)], sizes=[])), MalformedError, "found 0 sizes"),
    "a size without a link": (lambda b: put(b, node(sizes=[4])), MalformedError, "found 1 sizes"),
    "sizes that do not add up": (
        lambda b: put(b, node([(LEAF, 4)], size=5)),
        MalformedError,
        "1 sizes and 4 bytes",
    ),
    "data that do not add up": (lambda b: put(b, node(data=b"abc", size=4)), MalformedError, "and 3 bytes"),
    "a larger leaf": (lambda b: put(b, node([(put(b, b"leaf", "raw"), 3)])), MalformedError, "expected 3 bytes"),
    "a smaller leaf": (lambda b: put(b, node([(put(b, b"leaf", "raw"), 5)])), MalformedError, "found 4"),
    "a smaller node": (lambda b: put(b, node([(put(b, node(data=b"x")), 5)])), MalformedError, "found 1"),
    "a directory": (lambda b: put(b, node(kind=1)), MalformedError, "found UnixFS type 1"),
    "a link": (lambda b: put(b, node(kind=4, data=b"/etc/passwd")), MalformedError, "found UnixFS type 4"),
    "a shard": (lambda b: put(b, node(kind=5)), MalformedError, "found UnixFS type 5"),
    "no type": (lambda b: put(b, node(kind=None)), MalformedError, "found UnixFS type None"),
    "no data": (lambda b: put(b, dagpb.encode([])), MalformedError, "found UnixFS type None"),
    "bad data": (lambda b: put(b, dagpb.encode([], b"\x08")), CarError, "expected a varint"),
    "no dag-pb": (lambda b: put(b, b"hello"), CarError, "found field 13"),
    "dag-cbor": (lambda b: put(b, b"\xa0", "dag-cbor"), MalformedError, "found codec 0x71"),
    "dag-cbor below": (lambda b: put(b, node([(put(b, b"\xa0", "dag-cbor"), 1)])), MalformedError, "found codec 0x71"),
    "many links": (lambda b: put(b, node([(LEAF, 4)] * 1025)), LimitError, "expected at most 1024 links"),
}


@pytest.mark.parametrize("name", LIES)
def test_false_claims_are_errors_that_name_the_block(name: str) -> None:
    make, error, message = LIES[name]
    root, blocks = lying(make)
    with pytest.raises(error) as caught:
        list(unixfs.read(blocks.__getitem__, root))
    assert message in str(caught.value)
    assert any(cids.to_text(each) in str(caught.value) for each in blocks)


def test_limits_are_keywords() -> None:
    blocks: Blocks = {}
    root = put(blocks, node([(put(blocks, b"leaf", "raw"), 4)] * 1025))
    assert len(list(unixfs.read(blocks.__getitem__, root, max_links=1025))) == 1025
    assert unixfs.size_of(blocks.__getitem__, root, max_links=1025) == 4100
    with pytest.raises(LimitError):
        unixfs.size_of(blocks.__getitem__, root)


def tower(blocks: Blocks, levels: int) -> bytes:
    name = put(blocks, b"leaf", "raw")
    for _ in range(levels):
        name = put(blocks, node([(name, 4)]))
    return name


def test_eight_levels_and_no_more() -> None:
    for levels in range(9):
        blocks: Blocks = {}
        root = tower(blocks, levels)
        assert list(unixfs.read(blocks.__getitem__, root)) == [b"leaf"]
        if levels:
            with pytest.raises(LimitError, match=f"expected at most {levels - 1} levels of UnixFS nodes"):
                list(unixfs.read(blocks.__getitem__, root, max_depth=levels - 1))
    for levels in (9, 10, 500):
        blocks = {}
        root = tower(blocks, levels)
        with pytest.raises(LimitError, match="expected at most 8 levels"):
            list(unixfs.read(blocks.__getitem__, root))


def test_a_node_below_itself() -> None:
    """Only a get that does not verify can return one; the reading ends nevertheless."""
    name = cid(b"itself", "dag-pb")
    with pytest.raises(LimitError, match="expected at most 8 levels"):
        list(unixfs.read(lambda _: node([(name, 5)]), name))


def test_children_of_no_bytes_are_not_read() -> None:
    """A tree of such children would take for ever to walk, and give no bytes."""
    blocks: Blocks = {}
    absent = cid(b"absent")
    root = put(blocks, node([(absent, 0)] * 500 + [(put(blocks, b"leaf", "raw"), 4)] + [(absent, 0)] * 500))
    assert list(unixfs.read(blocks.__getitem__, root)) == [b"leaf"]
    assert list(unixfs.read(blocks.__getitem__, put(blocks, node([(absent, 0)])))) == []


def test_a_huge_file_of_few_blocks_is_read_lazily() -> None:
    """Seven levels of the same links claim an exbibyte; it is read block by block."""
    blocks: Blocks = {}
    name, size = put(blocks, b"x" * 1024, "raw"), 1024
    for _ in range(5):
        name, size = put(blocks, node([(name, size)] * 1024)), size * 1024
    assert size == 1 << 60
    asked = 0

    def get(each: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return blocks[each]

    assert unixfs.size_of(get, name) == size
    assert [len(piece) for piece in islice(unixfs.read(get, name), 3)] == [1024] * 3
    asked = 0
    assert b"".join(unixfs.read(get, name, (1 << 59) + 1000, (1 << 59) + 1030)) == b"x" * 30
    assert asked <= 2 + 2 * 5


def test_exceptions_of_get_pass_through() -> None:
    """Errors of a store, and of an archive with their place, are not replaced."""

    class LostError(CarError):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} {two}", offset=one, block=two)

    raised: Iterator[Exception] = iter([LostError(1, 2), KeyError("gone"), HashMismatchError("bad", offset=7, block=3)])

    def get(_: bytes) -> bytes:
        raise next(raised)

    for kind in (LostError, KeyError, HashMismatchError):
        with pytest.raises(kind) as caught:
            list(unixfs.read(get, LEAF))
        if isinstance(caught.value, CarError):
            assert caught.value.block is not None
            assert "bafk" not in str(caught.value)


def test_a_file_is_read_from_an_archive() -> None:
    data = os.urandom(5000)
    stream = io.BytesIO()
    root, blocks = built(data, 100, 4)
    with CarWriter(stream, [root]) as writer:
        for name, block in blocks.items():
            writer.write(name, block)
    again = {block.cid_bytes: block.data for block in CarReader(stream.getvalue())}
    assert b"".join(unixfs.read(again.__getitem__, root)) == data
