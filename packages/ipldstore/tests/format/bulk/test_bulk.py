"""What numpy makes of many chunks is what the format's slower code makes of one after the other, at every border."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise, product

import numpy as np
import pytest
from ipld_car import cids, dagcbor, hashes
from ipld_castore import MappingCAStore
from ipldstore._format import index_tree
from ipldstore._format.bulk import leaves as bulk_leaves
from ipldstore._format.bulk.codes import (
    AxisTable,
    Codes,
    Numbers,
    boundary,
    codes_of,
    combined_order,
    digits_of,
    integers_of,
    order_of,
    split_codes,
    text_rank,
)
from ipldstore._format.bulk.index import LinkArrays, OtherFormError, add_links
from ipldstore._format.bulk.leaves import encode_leaves
from ipldstore._format.chunk_form import ChunkForm
from ipldstore._format.index_node import IndexNode
from ipldstore._format.index_tree import CHUNKS, Base
from ipldstore._format.limits import Limits
from ipldstore._format.nodes import NodeStore
from ipldstore._format.zorder import chunk_code, split
from ipldstore._read.reader import DirectReader

LARGEST = 10**18 - 1
EDGES = [0, 1, 2, 9, 10, 2**31, 2**40 - 1, LARGEST]
"""Coordinates whose bits are in all words of a code, and whose digits are 1 to 18."""
GRIDS = {
    "1 axis": np.array([[number] for number in sorted({*range(70), *EDGES})]),
    "2 axes": np.array(list(product(EDGES, EDGES))),
    "3 axes": np.array(list(product([0, 1, 3, LARGEST], [0, 2, 2**41], [0, 1, 7]))),
    "3 axes, one word": np.array(list(product(range(4), range(3), range(5)))),
    "7 axes": np.array(list(product([0, 5], [0, LARGEST], [0, 1], [0, 2**59], [1], [0, 3], [0, 1]))),
}


@pytest.fixture(params=GRIDS)
def grid(request: pytest.FixtureRequest) -> Numbers:
    found: Numbers = GRIDS[request.param]
    return found


def code_of(numbers: list[int]) -> int:
    """Return the code that the format gives to coordinates, without the number of axes and the key."""
    return int.from_bytes(chunk_code("/".join(map(str, numbers)))[1 : 1 + 8 * len(numbers)])


def test_codes_are_those_of_the_keys(grid: Numbers) -> None:
    expected = [code_of(numbers) for numbers in grid.tolist()]
    words = codes_of(grid)
    assert integers_of(words) == expected
    order = order_of(words)
    assert order.tolist() == sorted(range(len(grid)), key=expected.__getitem__)
    codes = Codes([word[order] for word in words])
    assert [codes[at] for at in range(len(codes))] == sorted(expected)


def test_codes_are_found(grid: Numbers) -> None:
    """At, before and behind each code, in all of them and in a part, and where a code has more words than there are."""
    words = codes_of(grid)
    codes = Codes([word[order_of(words)] for word in words])
    there = [codes[at] for at in range(len(codes))]
    asked = sorted({max(code + step, 0) for code in there for step in (-1, 0, 1)} | {1 << 64 * len(words)})
    for start, stop in ((0, len(there)), (3, len(there) - 2)):
        expected = [bisect_left(there, code, start, stop) for code in asked]
        assert [codes.first_from(code, start, stop) for code in asked] == expected
    assert codes.all_first_from(asked) == [bisect_left(there, code) for code in asked]
    within = [code for code in asked if code < 1 << 64]
    assert codes.all_first_from(within) == [bisect_left(there, code) for code in within]


def test_boundaries_are_the_smallest_codes_with_the_bit() -> None:
    for low, high in pairwise([0, 1, 2, 3, 4, 11, 1 << 63, (1 << 63) + 1, 1 << 70]):
        bit = (low ^ high).bit_length() - 1
        at = boundary(low, high)
        assert low < at <= high
        assert at >> bit & 1
        assert at & ((1 << bit) - 1) == 0


@pytest.mark.parametrize("cap", [1, 2, 5, 1000])
def test_codes_are_split_as_keys_are(grid: Numbers, cap: int) -> None:
    """Items stand for one key, or for several."""
    numbers = sorted(grid.tolist(), key=code_of)
    codes = Codes(codes_of(np.array(numbers)))
    for size in (1, 3):
        counts = np.arange(len(numbers) + 1) * size
        expected = split([chunk_code("/".join(map(str, each))) for each in numbers], counts.tolist(), cap)
        assert split_codes(codes, counts, cap) == expected
    assert split_codes(Codes([np.zeros(0, np.uint64)]), np.zeros(1), cap) == []


@pytest.mark.parametrize("numbers", [[0], [9, 10], [99, 100, 101], [5, 0, 10**17, LARGEST, 9, 5]], ids=str)
def test_digits_and_their_order(numbers: list[int]) -> None:
    """Of few numbers that lie close together, and of numbers far apart, each of them in several chunks."""
    column = np.array(numbers)
    table = AxisTable.of(column)
    assert table.numbers[table.at].tolist() == numbers
    digits = digits_of(table)
    texts = [bytes(row[len(row) - length :]).decode() for row, length in zip(*digits, strict=True)]
    assert texts == [str(number) for number in numbers]
    rank = text_rank(table).tolist()
    assert sorted(range(len(numbers)), key=rank.__getitem__) == sorted(range(len(numbers)), key=texts.__getitem__)
    assert [rank[low] == rank[high] for low, high in pairwise(range(len(rank)))] == [a == b for a, b in pairwise(texts)]


@pytest.mark.parametrize("largest", [3, 2**31, 2**32], ids=["small", "a word", "more than a word"])
def test_order_by_several_keys(largest: int) -> None:
    keys = [np.array([2, 0, largest, 0, 2, 0]), np.array([1, largest, 0, 2, 0, 2]), np.array([0, 1, 1, 0, 1, 0])]
    rows = list(zip(*(key.tolist() for key in keys), strict=True))
    assert combined_order(keys).tolist() == sorted(range(len(rows)), key=rows.__getitem__)


def links_of(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    binary = b"".join(cids.make(cids.RAW, hashes.sha2_256(number.to_bytes(8))) for number in range(count))
    return np.frombuffer(binary, np.uint8).reshape(count, bulk_leaves.CID_BYTES)


FORMS = [ChunkForm(prefix, separator, 3) for prefix, separator in (("c/", "/"), ("c.", "."), ("", "/"), ("", "."))]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("rows", [1 << 16, 25], ids=["at once", "in pieces"])
def test_leaves_are_the_maps_of_their_keys(form: ChunkForm, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 23 to 257 entries in a map of each level, and keys of all lengths around 24 characters."""
    monkeypatch.setattr(bulk_leaves, "_ROWS", rows)
    leaves = [[[at, 0, 5] for at in range(count)] for count in (257, 1, 22, 23, 24, 25, 254, 255, 256)]
    leaves += [[[7, at, 5] for at in range(count)] for count in (23, 24, 255, 256)]
    leaves += [[[7, 10**17, 8 + at] for at in range(count)] for count in (23, 24, 255, 256)]
    leaves += [[[number, 10**long, 10**7] for number in (0, 9, 10, 11, 100)] for long in range(7, 18)]
    leaves += [[[0, 0, 0]], [[LARGEST, LARGEST, LARGEST]]]
    coordinates = np.array([numbers for leaf in leaves for numbers in leaf])
    links = links_of(len(coordinates))
    order = np.random.default_rng(1).permutation(len(coordinates))
    back = np.argsort(order)
    found = encode_leaves(form, coordinates[order], links[order], back, [len(leaf) for leaf in leaves])
    link = iter(links)
    expected = [{form.key(numbers): next(link).tobytes() for numbers in leaf} for leaf in leaves]
    assert list(found) == [dagcbor.encode_node(index_tree.nested_map(leaf)) for leaf in expected]


SMALL = Limits(inline=60, leaf=3, children=4)


class Index:
    """Indexes of one array, and the links that they hold."""

    def __init__(self, form: ChunkForm) -> None:
        self.form = form
        castore = MappingCAStore()
        self.nodes = NodeStore(castore, DirectReader(castore))
        self.links = [bytes(link) for link in links_of(400)]

    def changes(self, numbers: list[list[int]], start: int = 0) -> dict[str, bytes]:
        return dict(zip(map(self.form.key, numbers), self.links[start:], strict=False))

    def of(self, numbers: list[list[int]]) -> Base:
        written = index_tree.rebuild(CHUNKS, None, self.changes(numbers), self.nodes, SMALL)
        return self.nodes.put(written) if isinstance(written, list) else written

    def node(self, *children: tuple[str, bytes, int]) -> bytes:
        """Write an index node as no writer of ours does."""
        return self.nodes.put([list(child) for child in children])

    def leaf(self, *numbers: int) -> tuple[str, bytes, int]:
        """Write a leaf of an array with one axis; return it as a child."""
        links = self.changes([[number] for number in numbers])
        return str(numbers[0]), self.nodes.put(index_tree.nested_map(links)), len(links)

    def check(self, base: Base, new: list[list[int]]) -> None:
        """Links that are added at once give the index of links that are added one by one, with all keys in it."""
        changes = self.changes(new, 200)
        expected = index_tree.rebuild(CHUNKS, base, changes, self.nodes, SMALL)
        arrays = LinkArrays(np.array(new), np.frombuffer(b"".join(changes.values()), np.uint8).reshape(len(new), -1))
        assert add_links(base, self.form, arrays, self.nodes, SMALL) == expected, (base, new)
        made = expected if isinstance(expected, bytes) else IndexNode(expected or [], CHUNKS.code, CHUNKS.is_key)
        there = dict(index_tree.items(CHUNKS, base, self.nodes.load))
        assert dict(index_tree.items(CHUNKS, made, self.nodes.load)) == there | changes


def test_links_join_any_index() -> None:
    """Into each leaf of an index and between them, one link and many, where leaves join and where they split."""
    index = Index(ChunkForm("c/", "/", 2))
    there = [[row, column] for row in (0, 1, 2, 8, 9, 40) for column in (0, 3, 4, 90)]
    bases = [None, *(index.of(there[:count]) for count in (1, 3, 9, len(there))), index.of(there[5:])]
    one_by_one = [[[row, column]] for row in (0, 1, 3, 5, 8, 39, 40, 41) for column in (0, 2, 3, 5, 70, 91)]
    far = [[[0, 2**40]], [[2**40, 0]], [[1, 5], [2**40, 2**40]]]
    many = [[[5, at] for at in range(9)], [[at, 3] for at in range(50)], there]
    for base, new in product(bases, [*one_by_one, *far, *many]):
        index.check(base, new)


def test_links_join_leaves_that_are_no_aligned_intervals() -> None:
    """A new key is between keys of a leaf, though its bits are nearer to the next leaf."""
    index = Index(ChunkForm("", "/", 1))
    indexes: list[list[tuple[int, ...]]] = [
        [(0, 3, 9), (10, 11, 200)],
        [(0, 3, 6), (8, 9), (14, 15, 200)],
        [(0,), (1, 2, 9), (10, 11, 300)],
        [(4, 5, 6), (8, 9, 200)],
    ]
    for leaves in indexes:
        base = index.node(*(index.leaf(*numbers) for numbers in leaves))
        for number in [*range(24), 63, 64, 127, 128, 199, 200, 201, 255, 256, 299, 300, 301]:
            index.check(base, [[number]])
        index.check(base, [[1], [5], [12]])
        index.check(base, [[8], [9], [10], [250]])


def test_links_join_an_index_node_among_leaves() -> None:
    index = Index(ChunkForm("", "/", 1))
    below = index.node(index.leaf(4, 5), index.leaf(6))
    base = index.node(index.leaf(0, 1), ("4", below, 3), index.leaf(16, 17))
    for number in range(40):
        index.check(base, [[number]])


def test_keys_of_another_form_are_refused() -> None:
    """Whether such a key is the first of a leaf, or another one, or its link is longer."""
    index = Index(ChunkForm("", "/", 1))
    link, long = index.links[0], cids.make(cids.RAW, bytes(64), 0x13)
    new = LinkArrays(np.array([[1], [3]]), links_of(2))
    odd = [{key: link} for key in ("c/0", "0/1", "0.1")]
    for links in (*odd, *({"0": link, "2": link, **each} for each in odd), {"0": link, "2": long}):
        base = index_tree.rebuild(CHUNKS, None, links, index.nodes, Limits(inline=0))
        assert isinstance(base, bytes)
        with pytest.raises(OtherFormError):
            add_links(base, index.form, new, index.nodes, SMALL)
