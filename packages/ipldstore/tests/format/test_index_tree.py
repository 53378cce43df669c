"""The index alone: codes, splitting, and that a changed index is the index of the changed set of keys."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import pytest
from hypothesis import assume, event, example, given
from hypothesis import strategies as st
from ipld_castore import MappingCAStore
from ipldstore._format import index_tree, keys
from ipldstore._format.index_node import IndexNode
from ipldstore._format.limits import Limits
from ipldstore._format.nodes import NodeStore
from ipldstore._format.path_hint import NO_HINT
from ipldstore._format.zorder import chunk_code, name_code, split
from ipldstore._read.reader import DirectReader

from ..support import reference
from ..support.reference import Link

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
