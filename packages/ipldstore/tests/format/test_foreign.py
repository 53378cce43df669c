"""Foreign roots: each mix of forms is read, and a changed one holds what its keys say."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore._canonical.canonicalize import canonicalize
from ipldstore._dataset.dataset import Dataset
from ipldstore._format.keys import is_key
from ipldstore._format.limits import Limits

from ..support import reference
from ..support.agreement import agrees_on_keys
from ..support.foreign import CHUNK_KEYS, PARTS, Foreign
from ..support.reference import Link

SMALL = Limits(inline=200, leaf=3, children=3, names=4, embedding=((2, 200), (4, 100)))
TEXTS = [b'{"node_type":"array"}', b'{"node_type":"group"}', b'{"x":NaN}']


class Case:
    """A foreign root in a block store, and its contents."""

    def __init__(self, random: Random) -> None:
        self.exact_names = random.random() < 0.7
        shadows = random.choice([0, 0.3, 0.6])
        foreign = Foreign(random, shadows=shadows, empty_blocks=not self.exact_names)
        self.castore = MappingCAStore({cids.to_text(link): block for link, block in foreign.blocks.items()})
        self.dataset = Dataset(self.castore, foreign.root, limits=SMALL)
        self.contents = self.held_by(foreign.root)

    def held_by(self, root: bytes) -> dict[str, dict[str, Any] | Link]:
        """Return what the reference finds below a root."""
        blocks = {cids.to_bytes(text): block for text, block in self.castore.mapping.items()}
        reader = reference.Reader(blocks, root)
        return {key: self.resolved(item) for key, item in reader.contents().items()}

    def resolved(self, item: Any) -> Any:
        """Return a document, embedded or linked, or the link of a value."""
        is_linked = isinstance(item, bytes) and item[1] == cids.DAG_CBOR
        return reference.decode(self.castore.get_raw(bytes(item))) if is_linked else item

    def check(self) -> None:
        agrees_on_keys(self.dataset, self.contents, exact_names=self.exact_names)
        assert {key: self.resolved(self.dataset.find(key)) for key in self.contents} == self.contents

    def write(self, key: str, data: bytes) -> None:
        self.dataset.write(key, data)
        name = key.rpartition("/")[2]
        document = reference.document_of(name, data) if name in reference.DOCUMENTS else None
        self.contents[key] = reference.value_blocks(data)[0] if document is None else document.value


seeds = st.integers(0, 2**32).map(Random)


@pytest.mark.slow
@given(seeds)
def test_every_mix_of_forms_is_read(random: Random) -> None:
    case = Case(random)
    assert all(map(is_key, case.contents))
    case.check()


@pytest.mark.slow
@given(seeds)
def test_changes_of_a_foreign_root(random: Random) -> None:
    case = Case(random)
    for _ in range(random.randint(1, 8)):
        choice = random.random()
        if choice < 0.4 and case.contents:
            key = random.choice(sorted(case.contents))
            assert case.dataset.delete(key)
            del case.contents[key]
        elif choice < 0.5 and case.contents:
            path = random.choice(sorted(case.contents)).rpartition("/")[0]
            case.dataset.delete_below(path)
            below = path and path + "/"
            case.contents = {key: item for key, item in case.contents.items() if not key.startswith(below)}
        elif choice < 0.6:
            case.dataset.freeze()
        else:
            above = [random.choice(PARTS) for _ in range(random.randint(0, 2))]
            key = "/".join([*above, random.choice([*CHUNK_KEYS, ".zarray", "zarr.json", "x"])])
            case.write(key, random.choice(TEXTS) if key.endswith((".zarray", "zarr.json")) else b"new")
    case.check()
    root = case.dataset.freeze()
    case.check()
    assert case.held_by(root) == case.contents
    contents = {key: case.dataset.read(key) or b"" for key in case.contents}
    assert (
        bytes(canonicalize(case.dataset, None, copy=True, progress=False).root) == reference.build(contents, SMALL).root
    )
    case.exact_names = True
    case.check()


def _blocks(*nodes: Any) -> tuple[MappingCAStore, list[Link]]:
    links = [reference.cid(0x71, reference.encode(node)) for node in nodes]
    blocks = zip(links, map(reference.encode, nodes), strict=True)
    return MappingCAStore({cids.to_text(link): block for link, block in blocks}), links


A, B, C = (reference.cid(0x55, text) for text in (b"a", b"b", b"c"))


def _leaf(*keys: str) -> dict[str, Any]:
    return reference.plain_map({tuple(key.split("/")): A for key in keys})


def test_a_key_in_two_indexes_and_the_entries_is_listed_once() -> None:
    castore, (outer, inner, root) = _blocks(
        leaf_of_outer := {"0": {"0": A}},
        leaf_of_inner := {"0": B},
        {
            "__ipld_chunks__": [["0/0", reference.cid(0x71, reference.encode(leaf_of_outer)), 1]],
            "0": {"__ipld_chunks__": [["0", reference.cid(0x71, reference.encode(leaf_of_inner)), 1]], "0": C},
        },
    )
    assert outer != inner
    dataset = Dataset(castore, root)
    agrees_on_keys(dataset, ["0/0"], ["0", "0/1"])
    assert dataset.find("0/0") == A
    dataset.write("zarr.json", b'{"node_type":"array"}')
    dataset.freeze()
    assert dataset.find("0/0") == A


@pytest.mark.parametrize("new", ["1", "5", "8", "12"])
def test_a_leaf_that_is_no_aligned_interval(new: str) -> None:
    """A new key is between keys of a leaf, though its bits are nearer to the next leaf."""
    leaves = [_leaf("0", "3", "9"), _leaf("10", "11", "200")]
    castore, (*links, root) = _blocks(
        *leaves,
        {
            "zarr.json": {"node_type": "array"},
            "__ipld_chunks__": [
                ["0", reference.cid(0x71, reference.encode(leaves[0])), 3],
                ["10", reference.cid(0x71, reference.encode(leaves[1])), 3],
            ],
        },
    )
    assert len(links) == 2
    dataset = Dataset(castore, root, limits=SMALL)
    dataset.write(new, b"a")
    dataset.freeze()
    keys = {"0", "3", "9", "10", "11", "200", "zarr.json", new}
    agrees_on_keys(Dataset(castore, dataset.root, limits=SMALL), keys)


def test_a_key_hidden_by_an_index_below_an_array_stays_hidden() -> None:
    """A directory that is no array holds a key in an index and in its entries: the index counts, after a change too."""
    leaf = {"10": A}
    castore, (_, root) = _blocks(
        leaf,
        {
            "zarr.json": {"node_type": "array"},
            "1": {"10": B, "__ipld_chunks__": [["10", reference.cid(0x71, reference.encode(leaf)), 1]]},
        },
    )
    dataset = Dataset(castore, root, limits=SMALL)
    assert dataset.find("1/10") == A
    dataset.write("2", b"c")
    dataset.freeze()
    assert dataset.find("1/10") == A


def test_an_empty_map_hides_a_name_of_the_index() -> None:
    names = {"a": A, "b": B}
    castore, (leaf, root) = _blocks(
        names,
        {"a": {"x": {}}, "__ipld_names__": [["a", reference.cid(0x71, reference.encode(names)), 2]]},
    )
    assert leaf != root
    dataset = Dataset(castore, root)
    agrees_on_keys(dataset, ["b"], ["a", "a/x"])
    dataset.write("c", b"c")
    agrees_on_keys(dataset, ["b", "c"], ["a", "a/x"])
    dataset.freeze()
    agrees_on_keys(dataset, ["b", "c"], ["a", "a/x"])
    dataset.write("a", b"a")
    agrees_on_keys(dataset, ["a", "b", "c"], ["a/x"])
