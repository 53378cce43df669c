"""Contents that cross a limit of the format, in both directions, frozen and reopened: the root is that of the contents.

With small limits hypothesis crosses all of them in each run, and the reference gives the root. With the limits of the
format each is crossed in both directions and compared to a store that was written without crossing it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore
from ipldstore._dataset.dataset import Dataset
from ipldstore._format.limits import Limits

from ..support import reference
from ..support.store_samples import written

SMALL = Limits(inline=130, leaf=3, children=3, names=5, embedding=((2, 120), (4, 60)))
ARRAY = b'{"node_type":"array"}'

Group = list[tuple[str, bytes]]

FAMILIES: dict[str, Callable[[int], tuple[str, bytes]]] = {
    "chunks in 1-d": lambda number: (f"a/c/{number}", b"v"),
    "chunks in 2-d": lambda number: (f"a/c/{number % 5}/{number // 5}", b"v"),
    "chunks of a dotted array": lambda number: (f"b/{number % 3}.{number // 3}", b"w"),
    "names": lambda number: (f"g/n{number}/x", b"v"),
    "values": lambda number: (f"v/{number}x", b"v"),
    "directories of some size": lambda number: (f"s/d{number}/.zattrs", b'{"x":"%s"}' % (b"y" * (7 * number))),
    "a directory that grows": lambda number: (f"t/d/e{number}", b"v"),
}
METADATA = {"a/zarr.json": ARRAY, "b/.zarray": b"{}"}


@given(data=st.data())
def test_small_limits(data: st.DataObject) -> None:
    """The number of keys in each family changes several times, with freezes and reopenings in between."""
    castore = MappingCAStore()
    dataset = Dataset(castore, limits=SMALL)
    contents: dict[str, bytes] = {}
    has = dict.fromkeys(FAMILIES, 0)
    for key, value in METADATA.items():
        if data.draw(st.booleans()):
            dataset.write(key, value)
            contents[key] = value
    for _ in range(data.draw(st.integers(2, 7))):
        name = data.draw(st.sampled_from(sorted(FAMILIES)))
        wanted = data.draw(st.integers(0, 30))
        key_of = FAMILIES[name]
        for key, value in map(key_of, range(has[name], wanted)):
            dataset.write(key, value)
            contents[key] = value
        for key, _ in map(key_of, range(wanted, has[name])):
            assert dataset.delete(key)
            del contents[key]
        has[name] = wanted
        if data.draw(st.booleans()):
            root = dataset.freeze()
            assert root == reference.build(contents, SMALL).root
            if data.draw(st.booleans()):
                dataset = Dataset(castore, root, limits=SMALL)
    assert dataset.freeze() == reference.build(contents, SMALL).root
    assert set(dataset.keys()) == set(contents)


# -- the limits of the format --


def names(count: int, size: int) -> dict[str, bytes]:
    """Return the documents of ``count`` directories of ``size`` bytes each."""
    empty = len(reference.encode({".zattrs": {"x": ""}}))
    head = 2 if size - empty >= 256 else 1  # more bytes that the length of a longer text takes
    attributes = b'{"x":"%s"}' % (b"y" * (size - empty - head))
    assert len(reference.encode({".zattrs": reference.document_of(".zattrs", attributes).value})) == size  # type: ignore[union-attr]  # there are attributes
    return {f"g/n{number}/.zattrs": attributes for number in range(count)}


def document(size: int) -> dict[str, bytes]:
    """Return a document of ``size`` bytes."""
    empty = len(reference.encode({"x": ""}))
    head = 2 if size - empty < 65_538 else 4
    data = b'{"x":"%s"}' % (b"y" * (size - empty - head))
    assert len(reference.encode({"x": "y" * (size - empty - head)})) == size
    return {"a/zarr.json": data}


def chunks(count: int) -> dict[str, bytes]:
    return {"a/zarr.json": ARRAY, **{f"a/c/{number}": b"v" for number in range(count)}}


LIMITS: dict[str, tuple[dict[str, bytes], dict[str, bytes]]] = {
    "4,096 bytes of links": (chunks(93), chunks(94)),
    "2,048 keys": (chunks(2048), chunks(2049)),
    "several leaves": (chunks(4096), chunks(4097)),
    "16 names of 16,384 bytes": (names(16, 16_384), names(17, 16_384)),
    "16 names of 1,024 bytes": (names(16, 1024), names(17, 1024)),
    "16 names of 1,025 bytes": (names(16, 1025), names(17, 1025)),
    "256 names of 1,024 bytes": (names(256, 1024), names(257, 1024)),
    "256 names of 100 bytes": (names(256, 100), names(257, 100)),
    "2,048 names": (names(2048, 100), names(2049, 100)),
    "16,384 bytes": (names(16, 16_384), names(16, 16_385)),
    "1,024 bytes": (names(17, 1024), names(17, 1025)),
    "32,768 bytes": (document(32_768), document(32_769)),
    "1 MiB of a document": (document(1 << 20), document((1 << 20) + 1)),
    "1 MiB of a value": ({"a/x": b"v" * (1 << 20)}, {"a/x": b"v" * ((1 << 20) + 1)}),
}


def change(store: IPLDStore, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    for key in before.keys() - after.keys():
        del store[key]
    for key, value in after.items():
        if before.get(key) != value:
            store[key] = value


@pytest.mark.parametrize("name", LIMITS)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=2, max_size=4))
@settings(max_examples=3, deadline=None)
def test_the_limits_of_the_format(name: str, steps: list[tuple[bool, int]]) -> None:
    """Each step goes to one side of the limit; after it the store is left as it is, frozen, or reopened."""
    sides = LIMITS[name]
    castore = MappingCAStore()
    store = written(sides[0], castore)
    here = sides[0]
    for over, how in steps:
        change(store, here, sides[over])
        here = sides[over]
        if how:
            assert store.freeze() == written(here).freeze()
        if how == 2:
            store = IPLDStore(castore, root=store.root_cid)
    for side in (*sides, sides[0]):
        change(store, here, side)
        here = side
        assert store.freeze() == written(here).freeze()


@pytest.mark.parametrize("name", LIMITS)
def test_both_sides_are_what_the_reference_says(name: str) -> None:
    """So the sides have the forms that the format asks for."""
    for side in LIMITS[name]:
        assert bytes(written(side).freeze()) == reference.build(side).root


@pytest.mark.soak
def test_1024_leaves() -> None:
    """1,024 leaves of 2,048 keys, and one key more."""
    at_once = written(chunks(1024 * 2048)).freeze()
    over = written(chunks(1024 * 2048 + 1))
    root = over.freeze()
    assert root != at_once
    del over[f"a/c/{1024 * 2048}"]
    assert over.freeze() == at_once
    again = IPLDStore(over.castore, root=at_once)
    again[f"a/c/{1024 * 2048}"] = b"v"
    assert again.freeze() == root


def test_the_sides_are_of_two_forms() -> None:
    """There are more blocks above each limit of the index than below it."""
    for name in ("4,096 bytes of links", "2,048 keys", "several leaves", "2,048 names"):
        small, large = (len(reference.build(side).nodes) for side in LIMITS[name])
        assert small < large, name
