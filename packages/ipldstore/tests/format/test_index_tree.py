"""The index alone: codes, splitting, and that a changed index is the index of the changed set of keys."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping

import pytest
from hypothesis import assume, event, example, given
from hypothesis import strategies as st
from ipld_castore import MappingCAStore
from ipldstore._format import index_tree, keys
from ipldstore._format.index_difference import differences
from ipldstore._format.index_node import ChildRef, IndexNode
from ipldstore._format.limits import LIMITS, Limits
from ipldstore._format.nodes import NodeStore
from ipldstore._format.path_hint import NO_HINT, PathHint
from ipldstore._format.zorder import chunk_code, has_bit, name_code, split
from ipldstore._read.reader import DirectReader
from ipldstore.errors import NodeError

from ..support import reference
from ..support.reference import Link
from ..support.store_samples import ObservedCAStore

LINKS = [reference.cid(0x55, bytes([number])) for number in range(3)]

# Skewed: the codes of such numbers differ first at many different bits, so leaves and index nodes have all sizes.
numbers = st.one_of(
    st.integers(0, 12),
    st.integers(0, 59).map(lambda place: 1 << place),
    st.integers(0, 59).map(lambda place: (1 << place) - 1),
    st.integers(0, 10**18 - 1),
)
chunk_keys = st.tuples(
    st.sampled_from(["", "c"]), st.sampled_from("/."), st.lists(numbers, min_size=1, max_size=7)
).map(lambda parts: parts[1].join([*filter(None, parts[:1]), *map(str, parts[2])]))
names = st.text(st.sampled_from("ab0\x01\x7fé日🎈"), min_size=1, max_size=6)
KINDS = {"chunks": (index_tree.CHUNKS, chunk_keys), "names": (index_tree.NAMES, names)}


@given(chunk_keys)
@example("c/" + "/".join("1" * 18 for _ in range(13)))
@example("c.999999999999999999.0")
@example("0")
def test_chunk_codes(key: str) -> None:
    assert chunk_code(key) == reference.chunk_code(key)


def test_bits_of_a_code() -> None:
    """Behind the end of a code there are zeros."""
    bits = "".join(str(int(has_bit(b"\x81\x02", position))) for position in range(40))
    assert bits == "1000000100000010" + 24 * "0"


@given(names)
def test_name_codes(name: str) -> None:
    assert name_code(name) == name.encode()


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_splitting(kind: str, data: st.DataObject) -> None:
    """Each interval is the largest aligned one that holds at most so many keys."""
    index, strategy = KINDS[kind]
    drawn = data.draw(st.sets(strategy, min_size=1, max_size=60))
    cap = data.draw(st.integers(1, 8))
    codes = sorted(map(index.code, drawn))
    found = [codes[start:stop] for start, stop in split(codes, range(len(codes) + 1), cap)]
    assert found == reference.split([(code, code) for code in codes], cap)


def _rebuilt(
    kind: index_tree.IndexKind, base: index_tree.Base, changes: index_tree.Changes, nodes: NodeStore, limits: Limits
) -> index_tree.Base:
    """Return the index after changes, as a directory holds it when it is read again."""
    made = index_tree.rebuild(kind, base, changes, nodes, limits)
    return IndexNode(made, kind.code, kind.is_key) if isinstance(made, list) else made


def _expected(links: Mapping[str, bytes], *, chunks: bool, limits: Limits) -> tuple[object, dict[Link, bytes]]:
    builder = reference.Builder(limits)
    made = builder.index({key: Link(link) for key, link in links.items()}, chunks=chunks) if links else None
    return made, builder.blocks


def _levels(made: object, blocks: dict[Link, bytes]) -> int:
    """Return the number of index nodes on the longest path down."""
    node = reference.decode(blocks[made]) if isinstance(made, Link) else made
    return 1 + max(_levels(part[1], blocks) for part in node) if isinstance(node, list) else 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_changing_an_index_gives_the_index_of_the_keys(kind: str, data: st.DataObject) -> None:
    index, strategy = KINDS[kind]
    limits = Limits(
        inline=data.draw(st.sampled_from([60, 300, 4000])),
        leaf=data.draw(st.integers(1, 5)),
        children=data.draw(st.integers(3, 5)),
    )
    castore = MappingCAStore()
    nodes = NodeStore(castore, DirectReader(castore))
    base: index_tree.Base = None
    links: dict[str, bytes] = {}
    for _ in range(data.draw(st.integers(1, 4))):
        new = data.draw(st.dictionaries(strategy, st.sampled_from(LINKS), max_size=40))
        gone = data.draw(st.sets(st.sampled_from(sorted(links)), max_size=30)) if links else set()
        changes = {**dict.fromkeys(gone), **new}
        base = _rebuilt(index, base, changes, nodes, limits)
        links = {key: link for key, link in {**links, **changes}.items() if link is not None}
        made, blocks = _expected(links, chunks=kind == "chunks", limits=limits)
        levels = _levels(made, blocks)
        assume(levels <= index_tree.MAX_LEVELS)  # only limits as small as these lead to more
        event(f"{levels} levels of index nodes")
        assert base == made
        assert all(castore.get_raw(bytes(link)) == block for link, block in blocks.items())
        assert index_tree.total(index, base, nodes.load) == len(links)
        assert dict(index_tree.items(index, base, nodes.load)) == links
        for key in [*links, *data.draw(st.sets(strategy, max_size=5))]:
            assert index_tree.find(index, base, key, nodes.load) == links.get(key)
        low, high = sorted(map(index.code, data.draw(st.lists(strategy, min_size=2, max_size=2))))
        between = [key for key in sorted(links, key=index.code) if low <= index.code(key) < high]
        assert [key for key, _ in index_tree.items(index, base, nodes.load, low, high)] == between


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_change_reads_the_leaves_it_falls_into_and_those_that_merge(kind: str, data: st.DataObject) -> None:
    """A changed key is in one leaf. A new key takes apart the leaf nearest to it; between two leaves the other one is
    read too, to see where it ends. Nothing else is read but index nodes.
    """
    index, strategy = KINDS[kind]
    limits = Limits(inline=60, leaf=3, children=100)
    links = data.draw(st.dictionaries(strategy, st.sampled_from(LINKS), min_size=8, max_size=60))
    castore = MappingCAStore()
    base = _rebuilt(index, None, links, NodeStore(castore, DirectReader(castore)), limits)
    assert isinstance(base, bytes)

    read: list[str] = []

    class Reading(NodeStore):
        def load(self, cid, decoder, hint=NO_HINT):  # type: ignore[no-untyped-def]  # as Load has it
            node = super().load(cid, decoder, hint)
            if isinstance(node, index_tree.Leaf):
                read.append(node.keys[0])
            return node

    nodes = Reading(castore, DirectReader(castore))
    top = index_tree.top_node(index, base, nodes.load)
    firsts = [child.first for child in top.children]
    read.clear()
    key = data.draw(st.one_of(strategy, st.sampled_from(sorted(links))))
    _rebuilt(index, base, {key: LINKS[0]}, nodes, limits)
    assert 1 <= len(read) <= 2
    if key in links:
        codes = top.codes
        assert read == [firsts[bisect_left(codes, index.code(key) + b"\0") - 1]]


def test_an_index_without_keys() -> None:
    castore = MappingCAStore()
    nodes = NodeStore(castore, DirectReader(castore))
    assert index_tree.rebuild(index_tree.CHUNKS, None, {"0": None}, nodes, Limits()) is None
    assert index_tree.total(index_tree.CHUNKS, None, nodes.load) == 0
    assert list(index_tree.items(index_tree.CHUNKS, None, nodes.load)) == []
    assert index_tree.find(index_tree.CHUNKS, None, "0", nodes.load) is None


def test_a_change_deep_in_an_index_reads_few_leaves() -> None:
    castore = ObservedCAStore(MappingCAStore())
    nodes = NodeStore(castore, DirectReader(castore))
    limits = Limits(inline=0, leaf=2, children=4)
    base = _rebuilt(index_tree.CHUNKS, None, {str(number): LINKS[0] for number in range(64)}, nodes, limits)
    nodes.clear_cache()
    castore.forget()
    _rebuilt(index_tree.CHUNKS, base, {"20": LINKS[1]}, nodes, limits)
    read = [reference.decode(castore.inner.get_raw(bytes(cid))) for cid in castore.got]
    assert sum(isinstance(node, dict) for node in read) == 1
    assert sum(isinstance(node, list) for node in read) > 8


@pytest.mark.parametrize("count", [1024, 1025])
def test_an_index_node_has_at_most_1024_children(count: int) -> None:
    """The vector that has more than that is one of 2,200,000 keys."""
    castore = MappingCAStore()
    nodes = NodeStore(castore, DirectReader(castore))
    leaf = reference.cid(0x71, b"leaf")
    children = [ChildRef(str(number), bytes(leaf), 1) for number in range(count)]
    top = index_tree.write_above(index_tree.CHUNKS, children, nodes, LIMITS)
    items = reference.decode(castore.get_raw(top)) if isinstance(top, bytes) else top
    assert isinstance(items, list)
    assert len(items) == (1024 if count == 1024 else 2)
    assert sum(size for _, _, size in items) == count
    assert (items[0][1] == leaf) is (count == 1024)


def test_a_top_node_is_embedded_up_to_its_limit() -> None:
    castore = MappingCAStore()
    nodes = NodeStore(castore, DirectReader(castore))
    links = dict.fromkeys("0123", LINKS[0])
    top = index_tree.rebuild(index_tree.CHUNKS, None, links, nodes, Limits(leaf=1))
    assert isinstance(top, list)
    size = len(reference.encode([[first, Link(link), count] for first, link, count in top]))
    assert index_tree.rebuild(index_tree.CHUNKS, None, links, nodes, Limits(leaf=1, inline=size)) == top
    assert isinstance(index_tree.rebuild(index_tree.CHUNKS, None, links, nodes, Limits(leaf=1, inline=size - 1)), bytes)


def test_leaves_that_stay_the_same_are_not_written_again() -> None:
    castore = ObservedCAStore(MappingCAStore())
    nodes = NodeStore(castore, DirectReader(castore))
    links = {str(number): LINKS[0] for number in range(8)}
    limits = Limits(inline=0, leaf=2)
    base = _rebuilt(index_tree.CHUNKS, None, links, nodes, limits)
    castore.forget()
    assert _rebuilt(index_tree.CHUNKS, base, {"5": LINKS[0], "77": None}, nodes, limits) == base
    assert [bytes(cid) for cid in castore.put_cids] == [base]


def test_only_leaves_with_what_is_asked_for_are_read() -> None:
    castore = ObservedCAStore(MappingCAStore())
    nodes = NodeStore(castore, DirectReader(castore))
    base = _rebuilt(index_tree.CHUNKS, None, dict.fromkeys("01234567", LINKS[0]), nodes, Limits(leaf=2))
    alone = _rebuilt(index_tree.CHUNKS, None, dict.fromkeys("01", LINKS[0]), nodes, Limits(leaf=2))
    nodes.clear_cache()
    castore.forget()
    low, high = map(chunk_code, "24")
    assert dict(index_tree.items(index_tree.CHUNKS, base, nodes.load, low, high)) == dict.fromkeys("23", LINKS[0])
    assert len(castore.got) == 1
    assert len(list(index_tree.leaf_refs(index_tree.CHUNKS, base, nodes.load, Limits(leaf=2)))) == 4
    assert len(list(index_tree.leaf_refs(index_tree.CHUNKS, alone, nodes.load, Limits(leaf=2)))) == 1
    assert len(castore.got) == 1


READS: dict[str, Callable[..., object]] = {
    "find": lambda base, key, load, **depth: index_tree.find(index_tree.CHUNKS, base, key, load, **depth),
    "items": lambda base, _, load, **depth: list(index_tree.items(index_tree.CHUNKS, base, load, **depth)),
    "differences": lambda base, _, load, **depth: list(differences(index_tree.CHUNKS, None, base, load, **depth)),
}


@pytest.mark.parametrize("verb", READS)
def test_directories_of_a_leaf_are_at_most_63_parts_deep(verb: str) -> None:
    """Counted from the root, if the depth of the index is given."""
    castore = MappingCAStore()
    nodes = NodeStore(castore, DirectReader(castore))
    for parts in (63, 64, 65):
        key = "/".join(["0"] * parts)
        base = _rebuilt(index_tree.CHUNKS, None, {key: LINKS[0]}, nodes, Limits(inline=0))
        for depth in (0, 1, 2):
            given = {"depth": depth} if depth else {}
            if parts + depth <= 64:
                assert READS[verb](base, key, nodes.load, **given)
            else:
                with pytest.raises(NodeError, match="at most 63 parts below the root"):
                    READS[verb](base, key, nodes.load, **given)


@pytest.mark.parametrize(
    ("kind", "key", "hint"), [("chunks", "c/1/2", (["c", "1", "2"], 3)), ("names", "b", (["b"], 0))]
)
def test_a_look_up_says_where_it_goes_on(kind: str, key: str, hint: tuple[list[str], int]) -> None:
    """A gateway sends the nodes on the way with the first one."""
    index = KINDS[kind][0]
    castore = MappingCAStore()
    links = dict.fromkeys(["c/0/0", "c/1/2", "c/3/3"] if kind == "chunks" else "abc", LINKS[0])
    base = _rebuilt(index, None, links, NodeStore(castore, DirectReader(castore)), Limits(inline=0))
    hints: list[PathHint] = []

    class Reading(NodeStore):
        def load(self, cid, decoder, hint=NO_HINT):  # type: ignore[no-untyped-def]  # as Load has it
            hints.append(hint)
            return super().load(cid, decoder, hint)

    assert index_tree.find(index, base, key, Reading(castore, DirectReader(castore)).load) == LINKS[0]
    assert hints == [NO_HINT, PathHint(*hint)]


def test_the_leaf_that_was_read_last_is_remembered() -> None:
    castore = MappingCAStore()
    nodes = NodeStore(castore, DirectReader(castore))
    base = _rebuilt(index_tree.CHUNKS, None, dict.fromkeys("0123", LINKS[0]), nodes, Limits(leaf=2))
    assert isinstance(base, IndexNode)
    assert base.recent_leaf(3) is None
    assert index_tree.find(index_tree.CHUNKS, base, "3", nodes.load, 3) == LINKS[0]
    found = base.recent_leaf(3)
    assert found is not None
    assert (set(found[0].links), found[1]) == ({"2", "3"}, base.children[1].link)
    assert base.recent_leaf(2) is None, "checked at another depth"
    del found
    nodes.clear_cache()
    assert base.recent_leaf(3) is None


def test_the_longest_chunk_keys_have_codes() -> None:
    """128 numbers are the most that fit into 255 bytes; the code counts them in one byte."""
    key = "/".join("0" * 128)
    assert keys.is_chunk_key(key)
    assert chunk_code(key)[0] == 128
    assert chunk_code(key) == reference.chunk_code(key)
    assert keys.are_chunk_keys([key], 127)
    for longer in ("1" + key, key + "/0"):
        assert not keys.is_chunk_key(longer)
        assert not keys.are_chunk_keys(["0", longer], longer.count("/"))
