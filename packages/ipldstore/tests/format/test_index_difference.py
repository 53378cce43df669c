"""The difference of two indexes is that of their keys, and reads what only one of them has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore._format import index_tree
from ipldstore._format.index_difference import differences
from ipldstore._format.limits import LIMITS, Limits
from ipldstore._format.nodes import NodeStore
from ipldstore._read.reader import DirectReader

from ..support.store_samples import ObservedCAStore

SMALL = Limits(inline=60, leaf=3, children=3)
LINKS = [cids.make(cids.RAW, bytes([number]) * 32) for number in range(2)]
CHUNKS = st.dictionaries(
    st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda at: f"c/{at[0]}/{at[1]}"), st.sampled_from(LINKS)
)
NAMES = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.sampled_from(LINKS))


def index_of(kind: index_tree.IndexKind, links: dict[str, bytes], nodes: NodeStore, limits: Limits) -> index_tree.Base:
    written = index_tree.rebuild(kind, None, links, nodes, limits)
    return written if not isinstance(written, list) else nodes.put(written)


@pytest.mark.parametrize(
    ("kind", "drawn"), [(index_tree.CHUNKS, CHUNKS), (index_tree.NAMES, NAMES)], ids=["chunks", "names"]
)
@given(data=st.data())
def test_the_difference_is_that_of_the_keys(
    kind: index_tree.IndexKind, drawn: st.SearchStrategy[dict[str, bytes]], data: st.DataObject
) -> None:
    before, after = data.draw(drawn), data.draw(drawn)
    if data.draw(st.booleans()):
        after = before | after  # most leaves are the same
    castore = MappingCAStore()
    nodes = NodeStore(castore, DirectReader(castore))
    old, new = (index_of(kind, links, nodes, SMALL) for links in (before, after))
    found = list(differences(kind, old, new, nodes.load))
    expected = [
        (key, before.get(key), after.get(key)) for key in {**before, **after} if before.get(key) != after.get(key)
    ]
    assert found == sorted(expected, key=lambda change: kind.code(change[0]))


def test_equal_nodes_are_not_read() -> None:
    castore = ObservedCAStore(MappingCAStore())
    writing = NodeStore(castore, DirectReader(castore))
    links = {f"c/{number}": LINKS[0] for number in range(20_000)}
    before, after = (
        index_of(index_tree.CHUNKS, each, writing, LIMITS._replace(children=4))
        for each in (links, links | {"c/7000": LINKS[1]})
    )
    nodes = NodeStore(castore, DirectReader(castore))
    castore.forget()
    assert [change.key for change in differences(index_tree.CHUNKS, before, after, nodes.load)] == ["c/7000"]
    assert len(castore.got) == 6  # the top, a node below and a leaf, of both


def test_changes_come_while_the_indexes_are_read() -> None:
    """Where each second key is new, changes wait for one leaf of the other side, and not for the end."""
    castore = ObservedCAStore(MappingCAStore())
    nodes = NodeStore(castore, DirectReader(castore))
    every = {f"c/{number}": LINKS[0] for number in range(400)}
    some = {key: link for at, (key, link) in enumerate(every.items()) if at % 2}
    old, new = (index_of(index_tree.CHUNKS, links, nodes, LIMITS._replace(leaf=8)) for links in (some, every))
    nodes.clear_cache()
    castore.forget()
    found = differences(index_tree.CHUNKS, old, new, nodes.load)
    first = [next(found) for _ in range(4)]
    assert [change.key for change in first] == ["c/0", "c/2", "c/4", "c/6"]
    assert len(castore.got) < 12
    assert [change.key for change in found] == sorted(set(every) - set(some), key=index_tree.CHUNKS.code)[4:]


@pytest.mark.parametrize("turned", [False, True])
def test_the_larger_of_two_children_is_opened_first(turned: bool) -> None:
    """So a leaf that is also below an index node of the other side is not read."""
    castore = ObservedCAStore(MappingCAStore())
    nodes = NodeStore(castore, DirectReader(castore))
    few = {f"c/{number}": LINKS[0] for number in range(12)}
    many = few | {f"c/{number}": LINKS[0] for number in range(64, 1000)}
    limits = LIMITS._replace(leaf=4, children=8)
    old, new = (index_of(index_tree.CHUNKS, links, nodes, limits) for links in (few, many))
    nodes.clear_cache()
    castore.forget()
    pair = (new, old) if turned else (old, new)
    found = [change.key for change in differences(index_tree.CHUNKS, *pair, nodes.load)]
    assert found == sorted(set(many) - set(few), key=index_tree.CHUNKS.code)
    leaves = {child.ref.link for child in index_tree.leaf_refs(index_tree.CHUNKS, old, nodes.load, limits)}
    assert leaves.isdisjoint(map(bytes, castore.got))
