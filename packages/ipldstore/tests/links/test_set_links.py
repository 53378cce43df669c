"""Links in bulk give the root that single sets give, over whatever is there, and are given back as arrays."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import cids, hashes
from ipldstore import IPLDStore, IPLDStoreError, MappingCAStore
from ipldstore._dataset.dataset import Dataset
from ipldstore._format.bulk.codes import Codes, codes_of, split_codes
from ipldstore._format.chunk_form import ChunkForm, chunk_form
from ipldstore._format.limits import LIMITS
from ipldstore._format.zorder import chunk_code, split
from ipldstore._links.arrays import links, set_links

SMALL = LIMITS._replace(inline=120, leaf=5, children=4)


def v2(separator: str, axes: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {"zarr_format": 2, "shape": [9] * axes, "chunks": [1] * axes, "dtype": "|u1"}
    return metadata if separator == "." else metadata | {"dimension_separator": separator}


def v3(name: str, separator: str, axes: int) -> dict[str, Any]:
    encoding = {"name": name, "configuration": {"separator": separator}}
    grid = {"name": "regular", "configuration": {"chunk_shape": [1] * axes}}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [9] * axes,
        "data_type": "uint8",
        "chunk_grid": grid,
        "chunk_key_encoding": encoding,
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
    }


def metadata(axes: int) -> st.SearchStrategy[dict[str, Any]]:
    separator = st.sampled_from("./")
    return st.one_of(
        st.builds(v2, separator, st.just(axes)),
        st.builds(v3, st.sampled_from(["default", "v2"]), separator, st.just(axes)),
    )


def link(number: int, codec: int = cids.RAW) -> bytes:
    return cids.make(codec, hashes.sha2_256(number.to_bytes(8)))


def arrays(chosen: list[tuple[int, ...]], seed: int, axes: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    binary = b"".join(link(seed + at, cids.DAG_PB if at % 7 == 3 else cids.RAW) for at in range(len(chosen)))
    return np.array(chosen, np.int64).reshape(len(chosen), axes), np.frombuffer(binary, np.uint8).reshape(-1, 36)


def dataset(limits: Any) -> Dataset:
    return Dataset(MappingCAStore(), limits=limits)


def put_document(data: Dataset, path: str, found: dict[str, Any], *, exact: bool = False) -> None:
    name = ".zarray" if found["zarr_format"] == 2 else "zarr.json"
    if exact:  # with NaN it is kept as exact bytes
        found = found | {"fill_value": float("nan")}
    data.write(f"{path}/{name}" if path else name, json.dumps(found).encode())


def set_singly(data: Dataset, path: str, found: dict[str, Any], given: tuple[Any, Any]) -> None:
    form = chunk_form(found, given[0].shape[1])
    for numbers, own in zip(given[0].tolist(), given[1], strict=True):
        data.tree.apply({(f"{path}/" if path else "") + form.key(numbers): own.tobytes()})


@st.composite
def programs(draw: st.DrawFn) -> tuple[Any, ...]:
    axes = draw(st.integers(0, 4))
    number = st.one_of(st.integers(0, 3), st.integers(0, 12), st.sampled_from([99, 10**6, 10**18 - 1]))
    chosen = st.lists(st.tuples(*[number] * axes), max_size=40)
    steps = draw(
        st.lists(st.tuples(st.sampled_from(["single", "bulk", "delete", "freeze", "other"]), chosen), max_size=6)
    )
    path = draw(st.sampled_from(["", "a", "a/b", "a/0"]))
    return axes, draw(metadata(axes)), path, steps, draw(st.booleans()), draw(st.booleans())


@given(programs())
def test_the_root_is_that_of_single_sets(program: tuple[Any, ...]) -> None:
    """Whatever was set, deleted and frozen before, in both formats, all encodings of keys, and with arrays above."""
    axes, found, path, steps, exact, has_array_above = program
    one, other = dataset(SMALL), dataset(SMALL)
    form = chunk_form(found, axes)
    prefix = f"{path}/" if path else ""
    for data in (one, other):
        if has_array_above and "/" in path:
            put_document(data, path.partition("/")[0], v2("/", 1))
        put_document(data, path, found, exact=exact)
    for seed, (kind, chosen) in enumerate([*steps, ("bulk", [])]):
        given = arrays(chosen, 1000 * seed, axes)
        if kind == "freeze":
            assert one.freeze() == other.freeze()
        elif kind == "other":  # keys of another form, and of another array below
            for data in (one, other):
                data.write(f"{prefix}c/7/7", b"other")
                data.write(f"{prefix}0/.zarray", b'{"zarr_format": 2}')
                data.write(f"{prefix}0/3", b"below")
        elif kind == "delete":
            for data in (one, other):
                for numbers in chosen:
                    data.delete(prefix + form.key(numbers))
        else:
            set_singly(one, path, found, given)
            set_links(other, path, *given) if kind == "bulk" else set_singly(other, path, found, given)
        assert dict(one.items()) == dict(other.items())
    assert one.freeze() == other.freeze()
    back = links(other, path)
    expected = {
        numbers
        for key, _ in one.items(prefix)
        if (numbers := tuple(form.numbers(key[len(prefix) :]) or ())) or form.key([]) == key[len(prefix) :]
    }
    assert set(map(tuple, back.coordinates.tolist())) >= expected - {()}
    assert back.coordinates.tolist() == sorted(back.coordinates.tolist())
    again = dataset(SMALL)
    put_document(again, path, found, exact=exact)
    set_links(again, path, *back)
    assert links(again, path).cids.tobytes() == back.cids.tobytes()


@pytest.mark.parametrize("found", [v2(".", 3), v2("/", 3), v3("default", "/", 3), v3("default", ".", 3)], ids=str)
def test_real_sizes(found: dict[str, Any]) -> None:
    """With the numbers of the format, in pieces, over contents, and with chunks deleted."""
    grid = np.stack(np.meshgrid(range(30), range(25), range(40), indexing="ij"), -1).reshape(-1, 3)
    binary = np.frombuffer(b"".join(link(at) for at in range(len(grid))), np.uint8).reshape(-1, 36)
    one, other = dataset(LIMITS), dataset(LIMITS)
    for data in (one, other):
        put_document(data, "a", found)
    set_singly(one, "a", found, (grid, binary))
    for start, stop in ((9_000, 20_000), (0, 9_000), (19_000, 30_000)):
        set_links(other, "a", grid[start:stop], binary[start:stop])
    assert one.freeze() == other.freeze()
    for data in (one, other):
        data.delete("a/" + chunk_form(found, 3).key([3, 4, 5]))
    set_links(other, "a", grid[:5000][::-1], binary[5000:10_000])
    set_singly(one, "a", found, (grid[:5000][::-1], binary[5000:10_000]))
    assert one.freeze() == other.freeze()


@given(st.lists(st.lists(st.integers(0, 10**18 - 1) | st.integers(0, 9), min_size=3, max_size=3), min_size=1))
def test_codes_and_splits(chosen: list[list[int]]) -> None:
    """The numbers of :mod:`ipldstore._format.bulk.codes` are those of the codes in bytes."""
    form = ChunkForm("c/", "/", 3)
    unique = sorted({tuple(numbers) for numbers in chosen}, key=lambda numbers: chunk_code(form.key(numbers)))
    words = codes_of(np.array(unique))
    found = [int.from_bytes(chunk_code(form.key(numbers))[1:25]) for numbers in unique]
    assert [Codes(words)[at] for at in range(len(unique))] == found
    counts = np.arange(len(unique) + 1)
    expected = split([chunk_code(form.key(numbers)) for numbers in unique], range(len(unique) + 1), 3)
    assert split_codes(Codes(words), counts, 3) == expected


def test_zarr_reads_what_links_name() -> None:
    """Sharded arrays too: a link is that of a shard."""
    store = IPLDStore()
    data = np.arange(64 * 64, dtype="i4").reshape(64, 64)
    array = zarr.create_array(store, name="a", shape=data.shape, chunks=(2, 2), shards=(4, 4), dtype="i4")
    array[:] = data
    given = store.links("a")
    assert given.coordinates.shape == (256, 2)
    copy = IPLDStore(store.castore)
    copy["a/zarr.json"] = store["a/zarr.json"]
    copy.set_links("a", *given)
    assert np.array_equal(np.asarray(zarr.open_array(copy, path="a", mode="r")[:]), data)
    copy.mapping.update({key: store[key] for key in store if key.endswith("zarr.json")})
    assert copy.freeze() == store.freeze()


GOOD = np.frombuffer(link(1), np.uint8).reshape(1, 36)


@pytest.mark.parametrize(
    ("coordinates", "given", "message"),
    [
        ([[0, -1]], GOOD, "from 0"),
        ([[0, 10**18]], GOOD, "below 10"),
        ([[0.5, 1]], GOOD, "integers"),
        ([0, 1], GOOD, "shape"),
        ([[0, 1, 2]], GOOD, "2 coordinates"),
        ([[0, 1], [1, 1]], GOOD, "as many"),
        ([[0, 1]], GOOD[:, :35], "36"),
        ([[0, 1]], GOOD.astype("i8"), "uint8"),
        ([[0, 1]], np.frombuffer(link(1, cids.DAG_CBOR), np.uint8).reshape(1, 36), "raw or dag-pb"),
        ([[0, 1]], np.zeros((1, 36), np.uint8), "version 1"),
    ],
)
def test_what_is_wrong_changes_nothing(coordinates: Any, given: Any, message: str) -> None:
    store = IPLDStore()
    store["a/.zarray"] = json.dumps(v2(".", 2)).encode()
    root = store.freeze()
    with pytest.raises(ValueError, match=message):
        store.set_links("a", coordinates, given)
    assert store.root_cid == root


def test_where_links_cannot_be_set() -> None:
    store = IPLDStore()
    store["a/.zarray"] = json.dumps(v2(".", 2)).encode()
    store["b/zarr.json"] = json.dumps(v3("fanout", "/", 2)).encode()
    store.freeze()
    for path, message in (("", "array at ''"), ("c", "array at 'c'"), ("b", "fanout")):
        with pytest.raises(ValueError, match=message):
            store.set_links(path, [[0, 0]], GOOD)
    with pytest.raises(ValueError, match="read-only"):
        store.with_read_only(True).set_links("a", [[0, 0]], GOOD)
    store.close()
    with pytest.raises(IPLDStoreError, match="closed"):
        store.set_links("a", [[0, 0]], GOOD)


@pytest.mark.parametrize(
    ("found", "form"),
    [
        ({"zarr_format": 2}, ("", ".")),
        ({"zarr_format": 2, "dimension_separator": "/"}, ("", "/")),
        ({}, ("c/", "/")),
        ({"chunk_key_encoding": "default"}, ("c/", "/")),
        ({"chunk_key_encoding": "v2"}, ("", ".")),
        ({"chunk_key_encoding": {"name": "default"}}, ("c/", "/")),
        ({"chunk_key_encoding": {"name": "default", "configuration": None}}, ("c/", "/")),
        ({"chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}}, ("c.", ".")),
        ({"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}}}, ("", "/")),
    ],
)
def test_form_of_chunk_keys(found: dict[str, Any], form: tuple[str, str]) -> None:
    made = chunk_form(found, 2)
    assert made == (*form, 2)
    assert made.numbers(made.key([3, 4])) == [3, 4]
    scalar = chunk_form(found, 0)
    assert scalar.numbers(scalar.key([])) == []
    assert scalar.numbers("1") is None
    with pytest.raises(ValueError, match="expected 3 coordinates"):
        chunk_form({**found, "shape": [1, 2, 3]}, 2)


def test_a_separator_that_zarr_has_not() -> None:
    with pytest.raises(ValueError, match=r"expected '/' or '\.' between the numbers of a chunk key, found '-'"):
        chunk_form({"zarr_format": 2, "dimension_separator": "-"}, 2)


def test_forks_take_links() -> None:
    store = IPLDStore()
    store["a/.zarray"] = json.dumps(v2(".", 2)).encode()
    fork = store.fork()
    fork.set_links("a", [[0, 1], [3, 4]], np.concatenate([GOOD, GOOD]))
    store.castore.put_raw((1).to_bytes(8))
    store.merge(fork)
    assert store.links("a").coordinates.tolist() == [[0, 1], [3, 4]]
    assert store["a/3.4"] == (1).to_bytes(8)
