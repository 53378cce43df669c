"""The vectors of the format give their roots and blocks through :class:`ipldstore.IPLDStore`."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore

from ..support import reference
from ..support.format_vectors import contents_of, figures_of, reference_figures

SLOW = ["chunks: 3-d, nested", "chunks: parts over 4,096", "names: 100,000"]
"""Vectors of 100,000 keys and more."""
SOAK = "chunks: inner nodes"
"""The vector of 2,200,000 keys."""
LARGE = [*(pytest.param(name, marks=pytest.mark.slow) for name in SLOW), pytest.param(SOAK, marks=pytest.mark.soak)]


@pytest.fixture
def cases(vectors: dict[str, Any]) -> list[dict[str, Any]]:
    assert len(vectors["cases"]) >= 88
    return list(vectors["cases"])


def check(case: dict[str, Any]) -> None:
    """Contents written in any order give the root, its blocks and no others, and are read back."""
    castore = MappingCAStore()
    store = IPLDStore(castore)
    written = list(contents_of(case))
    random.Random(case["name"]).shuffle(written)
    for key, data in written:
        store[key] = data
    contents = dict(written)
    assert len(contents) == len(written), "a key of the vector is there twice"
    root = store.freeze()
    blocks = {bytes(cid): data for cid, data in castore.get_dag(root)}
    wanted = {name: value for name, value in case.items() if name not in ("name", "contents", "grids", "names")}
    assert figures_of(bytes(root), blocks) == wanted
    assert len(castore.mapping) == len(blocks)
    assert max(map(len, blocks.values())) <= 1 << 20
    again = IPLDStore(castore, root=root)
    assert len(again) == len(contents)
    for key, data in written[:300]:
        assert again[key] == reference.read_back(key, data)


def test_vectors(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        if case["name"] not in (*SLOW, SOAK):
            check(case)


@pytest.mark.parametrize("name", LARGE)
def test_large_vectors(cases: list[dict[str, Any]], name: str) -> None:
    [case] = [case for case in cases if case["name"] == name]
    check(case)


@pytest.mark.slow
def test_the_reference_gives_the_vectors(cases: list[dict[str, Any]]) -> None:
    """So the oracle of the other tests is right."""
    for case in cases:
        if case["name"] not in (*SLOW, SOAK):
            figures = reference_figures(case)
            assert figures == {name: case[name] for name in figures}, case["name"]


@pytest.mark.parametrize("name", LARGE)
def test_the_reference_gives_the_large_vectors(cases: list[dict[str, Any]], name: str) -> None:
    [case] = [case for case in cases if case["name"] == name]
    figures = reference_figures(case)
    assert figures == {name: case[name] for name in figures}


def test_keys_refused_and_accepted(vectors: dict[str, Any]) -> None:
    store = IPLDStore()
    store["there"] = b"before"
    root = store.freeze()
    for key in vectors["keys"]["refused"]:
        with pytest.raises(ValueError, match="expected a key"):
            store[key] = b"v"
        assert key not in store
        assert store.mapping.get(key) is None
        with pytest.raises(KeyError):
            store[key]
        with pytest.raises(KeyError):
            del store[key]
        assert store.freeze() == root
    for key in vectors["keys"]["accepted"]:
        store[key] = b"v"
        assert store[key] == b"v"
    assert set(store) == {"there", *vectors["keys"]["accepted"]}
    assert set(IPLDStore(store.castore, root=store.freeze())) == set(store)
