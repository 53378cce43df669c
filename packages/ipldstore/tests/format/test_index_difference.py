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
