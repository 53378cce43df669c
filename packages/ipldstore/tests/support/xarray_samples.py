"""Datasets of every kind that xarray writes, and the ways back from a root. Needs xarray."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore

pytest.importorskip("xarray", reason="xarray is an extra of this package: pip install 'ipldstore[xarray]'")

xr: Any = importlib.import_module("xarray")
"""xarray, untyped as it is optional."""


def numbers() -> Any:
    return xr.Dataset(
        {
            "t2m": (
                ("time", "y", "x"),
                np.arange(60.0).reshape(4, 3, 5) / 7,
                {"units": "K", "valid_range": [0.5, 1.5]},
            ),
            "mask": (("y", "x"), np.arange(15).reshape(3, 5) % 4 == 1),
            "count": (("time",), np.array([1, -2, 3, 2**62])),
            "small": (("x",), np.array([0, 1, 254, 255, 3], "u1")),
            "half": (("x",), np.array([0.5, -0.0, np.inf, -np.inf, np.nan], "f2")),
            "wave": (("x",), np.array([1 + 2j, -3j, 0, 1, np.nan], "c16")),
            "swapped": (("x",), np.arange(5, dtype=">i4")),
        },
        coords={"time": ("time", np.arange(4) * 6), "x": ("x", np.linspace(0, 1, 5))},
        attrs={"title": "numbers", "version": 3, "flags": [1, 2.5, "three", None, True]},
    )


def strings() -> Any:
    return xr.Dataset(
        {
            "fixed": ("n", np.array(["", "a", "æøå", "日本語"], "U")),
            "variable": ("n", np.array(["", "a" * 300, "æøå", "日本語 𝄞"], object)),
            "bytes": ("n", np.array([b"", b"a", b"\xff\x01", b"abc"], "S3")),
        },
        coords={"n": ["north", "south", "east", "west"]},
    )


def times() -> Any:
    start = np.datetime64("2001-02-03T04:05:06", "ns")
    when = start + np.arange(4) * np.timedelta64(1500, "ms")
    holes = when.copy()
    holes[2] = np.datetime64("NaT", "ns")
    return xr.Dataset(
        {
            "when": ("time", when),
            "holes": ("time", holes),
            "lead": ("time", np.array([0, 1, -5, 86400], "m8[s]").astype("m8[ns]")),
            "old": ("time", np.array(["1700-01-01", "1788-07-14", "1900-02-28", "1969-12-31"], "M8[ns]")),
        },
        coords={"time": start.astype("M8[D]").astype("M8[ns]") + np.arange(4) * np.timedelta64(1, "D")},
    )


def odd_attributes() -> Any:
    """What JSON as zarr writes it can say and DAG-CBOR cannot, or what only just is one or the other."""
    attrs = {
        "nan": float("nan"),
        "infinite": [float("inf"), -float("inf")],
        "huge": 2**70,
        "least": -(2**64),
        "most": 2**64 - 1,
        "one more": 2**64,
        "minus zero": -0.0,
        "whole": 1.0,
        "tiny": 5e-324,
        "nested": {"a": [{"b": [[[]]]}], "": {}},
        "text": 'quotes " and \\ and \x01\x7f\u2028 and 𝄞',
        "__ipld_chunks__": "a name of the format's own",
        ".zarray": {"dimension_separator": "."},
    }
    inner = {"a": ("x", [1, 2, 3], attrs)}
    return xr.Dataset(inner, attrs=attrs)


def empty() -> Any:
    return xr.Dataset(
        {
            "none": ("n", np.zeros(0)),
            "no rows": (("n", "x"), np.zeros((0, 3), "i2")),
            "scalar": ((), 42.5),
            "scalar text": ((), "text"),
            "all fill": ("x", np.full(3, np.nan)),
        }
    )


def nothing() -> Any:
    return xr.Dataset(attrs={"only": "attributes"})


def unicode_names() -> Any:
    return xr.Dataset(
        {
            "température": (("größe", "名前"), np.arange(6.0).reshape(2, 3), {"ключ": "значение"}),
            "café": ("größe", [1, 2]),  # composed ...
            "cafe\u0301": ("größe", [3, 4]),  # ... and decomposed: two names
            "with space": ("größe", [5, 6]),
            "0": ("größe", [7, 8]),
            "c": ("größe", [9, 10]),
        },
        coords={"名前": ["一", "二", "三"]},
    )


def many_chunks() -> Any:
    """So many chunks that they have an index."""
    return xr.Dataset({"a": (("y", "x"), np.arange(30 * 40).reshape(30, 40))}).chunk({"y": 2, "x": 3})


def large_chunk() -> Any:
    """A chunk of more than one block."""
    return xr.Dataset({"a": ("x", np.arange(300_000) / 7)})


SAMPLES: dict[str, Callable[[], Any]] = {
    sample.__name__: sample
    for sample in (
        numbers,
        strings,
        times,
        odd_attributes,
        empty,
        nothing,
        unicode_names,
        many_chunks,
        large_chunk,
    )
}


def other_backend(castore: ContentAddressableStore, folder: Path) -> ContentAddressableStore:
    """An empty store of the other kind."""
    if isinstance(castore, MappingCAStore):
        return FileSystemCAStore(folder / "other", fsync=False)
    return MappingCAStore()


def ways_back(store: IPLDStore, folder: Path) -> Iterator[IPLDStore]:
    """New stores with the frozen contents: over the same blocks, and from a CAR over another backend."""
    root = store.freeze()
    for read_only in (False, True):
        yield IPLDStore(store.castore, root=root, read_only=read_only)
    other = IPLDStore(other_backend(store.castore, folder))
    archive = io.BytesIO()
    assert store.to_car(archive) is None
    other.import_car(io.BytesIO(archive.getvalue()))
    assert other.root_cid == root
    yield IPLDStore(other.castore, root=str(root))
    assert other.to_car() == archive.getvalue()


def assert_comes_back(store: IPLDStore, expected: Any, folder: Path, **options: Any) -> None:
    """From the root alone a dataset is read that is identical to the expected one."""
    options.setdefault("chunks", None)
    for new in ways_back(store, folder):
        with xr.open_zarr(new, **options) as found:
            xr.testing.assert_identical(found.load(), expected)


def example(offset: int = 0) -> Any:
    return xr.Dataset(
        {"t": (("time", "x"), np.arange(12.0).reshape(3, 4) + offset, {"units": "K"})},
        coords={"time": np.arange("2020-01-01", "2020-01-04", dtype="M8[D]").astype("M8[ns]"), "x": [1, 2, 3, 4]},
        attrs={"title": "example"},
    )


def tree() -> Any:
    return xr.DataTree.from_dict({"/": example(), "/a": example(1), "/a/b": example(2)})
