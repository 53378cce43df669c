"""At a freeze chunk keys are indexed in the directory that owns them then, however often the ownership has changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ipld_castore import MappingCAStore
from ipldstore._dataset.dataset import Dataset
from ipldstore._format.limits import Limits

from ..support import reference

SMALL = Limits(inline=100, leaf=3, children=3, names=30, embedding=((30, 150),))
ARRAY = b'{"node_type":"array"}'
EXACT = b'{"node_type":"array","x":NaN}'
GROUP = b'{"node_type":"group"}'

Step = Callable[[Dataset, dict[str, bytes]], None]


def put(key: str, data: bytes = b"v") -> Step:
    def step(dataset: Dataset, contents: dict[str, bytes]) -> None:
        dataset.write(key, data)
        contents[key] = data

    return step


def drop(key: str) -> Step:
    def step(dataset: Dataset, contents: dict[str, bytes]) -> None:
        assert dataset.delete(key)
        del contents[key]

    return step


def freeze(dataset: Dataset, contents: dict[str, bytes]) -> None:
    assert dataset.freeze() == reference.build(contents, SMALL).root


def grid(form: str, count: int = 9) -> list[Step]:
    return [put(form.format(number)) for number in range(count)]


TWO_ARRAYS = [put("a/zarr.json", ARRAY), put("a/0/zarr.json", ARRAY), *grid("a/{}"), *grid("a/0/{}")]
LOSSY = [put("a/zarr.json", EXACT), *grid("a/c/{}"), *grid("a/{}")]

CASES: dict[str, list[Step]] = {
    "an inner array that is none for a while": [
        *TWO_ARRAYS, freeze, drop("a/0/zarr.json"), put("a/0/77"), put("a/0/zarr.json", ARRAY),
    ],
    "an inner array that is none for a while, few keys": [
        put("a/zarr.json", ARRAY), put("a/0/zarr.json", ARRAY), *grid("a/0/{}"), freeze,
        drop("a/0/zarr.json"), put("a/0/77"), put("a/0/zarr.json", ARRAY),
    ],
    "an inner array that is none any more": [*TWO_ARRAYS, freeze, put("a/0/zarr.json", GROUP)],
    "an inner array that is new": [
        put("a/zarr.json", ARRAY), *grid("a/{}"), *grid("a/0/{}"), freeze, put("a/0/zarr.json", ARRAY),
    ],
    "an outer array that is none any more": [*TWO_ARRAYS, freeze, drop("a/zarr.json")],
    "an outer array that is none for a while": [
        *TWO_ARRAYS, freeze, drop("a/zarr.json"), put("a/78"), put("a/1/2"), put("a/zarr.json", ARRAY),
    ],
    "exact bytes that are data for a while": [
        *LOSSY, freeze, put("a/zarr.json", ARRAY), put("a/79"), put("a/c/79"), put("a/zarr.json", EXACT),
    ],
    "exact bytes in place of data": [put("a/zarr.json", ARRAY), *grid("a/c/{}"), *grid("a/{}"), freeze,
                                     put("a/zarr.json", EXACT)],
    "data in place of exact bytes": [*LOSSY, freeze, put("a/zarr.json", ARRAY)],
    "a .zarray beside exact bytes, and gone again": [
        *LOSSY, freeze, put("a/.zarray", b"{}"), put("a/80"), freeze, drop("a/.zarray"), drop("a/3"),
    ],
    "a chunk that is an inner array's name": [*TWO_ARRAYS, freeze, drop("a/0"), drop("a/0/zarr.json"), put("a/0")],
    "an index below one that is taken apart": [
        *TWO_ARRAYS, freeze, drop("a/zarr.json"), drop("a/0/zarr.json"), put("a/0/zarr.json", ARRAY),
        put("a/0/5", b"w"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_ownership(name: str) -> None:
    castore = MappingCAStore()
    dataset = Dataset(castore, limits=SMALL)
    contents: dict[str, bytes] = {}
    for step in CASES[name]:
        step(dataset, contents)
        assert set(dataset.keys()) == set(contents)
    freeze(dataset, contents)
    again = Dataset(castore, dataset.root, limits=SMALL)
    assert {key: again.read(key) for key in list(again.keys())} == {  # no mapping
        key: reference.read_back(key, data) for key, data in contents.items()
    }
