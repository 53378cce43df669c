"""Every root that the original project could write opens, changes and becomes canonical.

Its rules, written down here again: one nested map of all keys; ``.zarray``, ``.zgroup``, ``.zattrs`` and
``.zmetadata`` are in it as the data that their JSON says; all other values are links to one raw block each,
of any size; the map is one dag-cbor block, hashed with sha2-256.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import dag_cbor
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore
from multiformats import CID, multihash

from ..support.store_samples import ObservedCAStore, contents, written, zarr

INLINED = {".zarray", ".zgroup", ".zmetadata", ".zattrs"}


def put(castore: ContentAddressableStore, codec: str, block: bytes) -> CID:
    cid = CID("base32", 1, codec, multihash.digest(block, "sha2-256"))
    castore.put_block(cid, block)
    return cid


def write_as_then(castore: ContentAddressableStore, keys: dict[str, bytes]) -> CID:
    """The root that the original project gave."""
    top: dict[str, Any] = {}
    for key, data in keys.items():
        *above, name = key.split("/")
        directory = top
        for part in above:
            directory = directory.setdefault(part, {})
        directory[name] = json.loads(data) if name in INLINED else put(castore, "raw", data)
    return put(castore, "dag-cbor", dag_cbor.encode(top))


def v2(*, shape: list[int], chunks: list[int], **more: Any) -> bytes:
    metadata = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": chunks,
        "dtype": "<i4",
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
        **more,
    }
    return json.dumps(metadata).encode()


def as_data(found: dict[str, bytes]) -> dict[str, Any]:
    """Keys with their bytes, or with what they say where they are documents."""
    read: dict[str, Any] = {
        key: json.loads(data) if key.rpartition("/")[2] in INLINED else data for key, data in found.items()
    }
    for key, value in read.items():
        if key.endswith(".zarray") and value.get("dimension_separator") == ".":
            del value["dimension_separator"]  # the default, which the format does not keep
    return read


FLAT = {".zgroup": b'{"zarr_format": 2}', "a/.zarray": v2(shape=[100, 100], chunks=[1, 1]), "a/.zattrs": b"{}"} | {
    f"a/{row}.{column}": (row * 100 + column).to_bytes(4, "little") for row in range(100) for column in range(100)
}
"""Ten thousand chunks, all links of them in one map in the root."""

ATTRIBUTES = b"""{
  "minus zero": -0.0, "zero": 0.0, "whole": 1.0, "float": 0.1, "tiny": 5e-324, "big": 1.7976931348623157e308,
  "least": -18446744073709551616, "most": 18446744073709551615, "exponent": 1E5, "none": null, "true": true,
  "text": "\\u00e9\\u65e5\\ud834\\udd1e \\u0000\\u001f\\u007f", "key \\u00e9": 1, "": {}, "deep": [[[[{"a": [-0.0]}]]]]
}"""

SMALL = {
    ".zgroup": b'{"zarr_format": 2}',
    ".zattrs": ATTRIBUTES,
    "g/.zgroup": b'{"zarr_format": 2}',
    "g/.zattrs": ATTRIBUTES,
    "g/h/i/j/a/.zarray": v2(shape=[4], chunks=[2], dimension_separator="."),
    "g/h/i/j/a/.zattrs": b'{"_ARRAY_DIMENSIONS": ["x"]}',
    "g/h/i/j/a/0": bytes(8),
    "g/h/i/j/a/1": bytes(range(8)),
    "température/日本/.zarray": v2(shape=[1], chunks=[1]),
    "température/日本/0": b"\1\2\3\4",
    "/".join(["deep"] * 60) + "/0": b"below sixty directories",
    "empty/0": b"",
    "large/0": bytes(3 << 20),
    "no array/123": b"only numbers",
}


@pytest.fixture(scope="module")
def flat() -> tuple[CID, dict[str, bytes]]:
    """The root of the flat array, and its blocks; encoding so many links takes a while."""
    backend: dict[str, bytes] = {}
    return write_as_then(MappingCAStore(backend), FLAT), backend


Old = tuple[ContentAddressableStore, CID, dict[str, bytes]]


@pytest.fixture(params=["small", "small in a folder", "flat", "empty"])
def old(request: pytest.FixtureRequest, flat: tuple[CID, dict[str, bytes]], tmp_path: Path) -> Old:
    """Blocks, root and contents as they were."""
    if request.param == "flat":
        return MappingCAStore(dict(flat[1])), flat[0], FLAT
    folder = request.param.endswith("folder")
    castore = FileSystemCAStore(tmp_path / "blocks", fsync=False) if folder else MappingCAStore()
    keys = {} if request.param == "empty" else SMALL
    return castore, write_as_then(castore, keys), keys


def test_it_opens(old: Old) -> None:
    castore, root, keys = old
    store = IPLDStore(castore, root=root)
    assert store.root_cid == root
    assert store.freeze() == root  # nothing has changed
    assert as_data(contents(store)) == as_data(keys)
    assert len(store) == len(keys)
    assert set(IPLDStore.from_car(store.to_car())) == set(keys)


def test_canonicalize_gives_the_root_of_the_same_written_now(old: Old) -> None:
    castore, root, keys = old
    store = IPLDStore(castore, root=root)
    expected = written(contents(store)).freeze()
    assert store.canonicalize() == expected
    assert as_data(contents(store)) == as_data(keys)


def test_minus_zero_survives(castore: ContentAddressableStore) -> None:
    """... reading, a change beside it, a change far away, and all being written anew."""

    def zeros(store: IPLDStore) -> None:
        for key in (".zattrs", "g/.zattrs"):
            found = json.loads(store[key])
            assert [math.copysign(1, found[name]) for name in ("minus zero", "zero")] == [-1, 1]
            assert math.copysign(1, found["deep"][0][0][0][0]["a"][0]) == -1
            assert isinstance(found["whole"], float)

    root = write_as_then(castore, SMALL)
    zeros(IPLDStore(castore, root=root))
    for key in ("beside", "g/beside", "g/h/i/j/a/0", "température/日本/0"):
        store = IPLDStore(castore, root=root)
        store[key] = b"new"
        zeros(store)
        zeros(IPLDStore(castore, root=store.freeze()))
        assert as_data(contents(store)) == as_data(SMALL | {key: b"new"})
    store = IPLDStore(castore, root=root)
    zeros(IPLDStore(castore, root=store.canonicalize()))


def test_changing_it(old: Old) -> None:
    castore, root, keys = old
    store = IPLDStore(castore, root=root)
    wanted = dict(keys)
    for at, key in enumerate(sorted(keys)):
        if at % (1 + len(keys) // 7) == 1 and key.rpartition("/")[2] not in INLINED:
            wanted[key] = b"changed"
            store[key] = b"changed"
        elif at % (1 + len(keys) // 5) == 2:
            del wanted[key]
            del store[key]
    wanted["new/.zarray"] = v2(shape=[200], chunks=[1])
    wanted |= {f"new/{number}": b"%d" % number for number in range(200)}
    for key in wanted.keys() - keys.keys():
        store[key] = wanted[key]
    assert as_data(contents(store)) == as_data(wanted)
    again = IPLDStore(castore, root=store.freeze())
    assert as_data(contents(again)) == as_data(wanted)
    assert again.canonicalize() == written(contents(again)).freeze()
    assert as_data(contents(again)) == as_data(wanted)


def test_what_changes_becomes_canonical(flat: tuple[CID, dict[str, bytes]]) -> None:
    """The flat array gets its index with the first change in it: the root is that of a new store."""
    store = IPLDStore(MappingCAStore(dict(flat[1])), root=flat[0])
    store["a/100.0"] = b"\0\0\0\1"
    assert store.freeze() == written(FLAT | {"a/100.0": b"\0\0\0\1"}).freeze()
    del store["a/100.0"]
    assert store.freeze() == written(FLAT).freeze()


def test_reading_one_chunk_reads_the_root_and_the_chunk(flat: tuple[CID, dict[str, bytes]]) -> None:
    castore = ObservedCAStore(MappingCAStore(flat[1]))
    assert IPLDStore(castore, root=flat[0])["a/99.99"] == (9999).to_bytes(4, "little")
    assert len(castore.got) == 2


def test_zarr_reads_and_writes_it(flat: tuple[CID, dict[str, bytes]], castore: ContentAddressableStore) -> None:
    blocks = MappingCAStore(dict(flat[1]))
    store = IPLDStore(blocks, root=flat[0])
    array = zarr.open_array(store, path="a", zarr_format=2)
    assert np.array_equal(array[40:60, 7], np.arange(40, 60) * 100 + 7)
    array[50, 7] = -1
    again = zarr.open_array(IPLDStore(blocks, root=store.freeze()), path="a", zarr_format=2, mode="r")
    assert again[49:52, 7].tolist() == [4907, -1, 5107]
    group = zarr.open_group(IPLDStore(castore, root=write_as_then(castore, SMALL)), mode="r", zarr_format=2)
    assert group.attrs["text"] == json.loads(ATTRIBUTES)["text"]
    assert "g" in group
    assert np.array_equal(group["g/h/i/j/a"], np.frombuffer(bytes(8) + bytes(range(8)), "<i4"))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4), below, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.text(max_size=4), JSON, max_size=4).map(lambda value: json.dumps(value).encode())
PARTS = st.text("ab01.é", min_size=1, max_size=3).filter(lambda part: part not in (".", ".."))


@given(
    documents=st.dictionaries(
        st.tuples(st.lists(PARTS, max_size=3), st.sampled_from(sorted(INLINED))).map(
            lambda pair: "/".join([*pair[0], pair[1]])
        ),
        DOCUMENTS,
        max_size=6,
    ),
    values=st.dictionaries(st.lists(PARTS, min_size=1, max_size=4).map("/".join), st.binary(max_size=5), max_size=10),
    change=PARTS,
)
def test_any_old_root(documents: dict[str, bytes], values: dict[str, bytes], change: str) -> None:
    directories = {key.rpartition("/")[0] for key in [*documents, *values]}
    above = {"/".join(path.split("/")[:end]) for path in directories for end in range(1, path.count("/") + 2)}
    # What was both a value and a directory made the original project fail.
    keys = documents | {key: data for key, data in values.items() if key not in above}
    castore = MappingCAStore()
    root = write_as_then(castore, keys)
    store = IPLDStore(castore, root=root)
    assert as_data(contents(store)) == as_data(keys)
    fresh = written(contents(store)).freeze()
    store[change] = b"changed"
    assert as_data(contents(IPLDStore(castore, root=store.freeze()))) == as_data(keys | {change: b"changed"})
    assert store.canonicalize() == written(contents(store)).freeze()
    assert IPLDStore(castore, root=root).canonicalize() == fresh
