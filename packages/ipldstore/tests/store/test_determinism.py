"""The same data give the same bytes: what zarr's compressors do is watched, and threads of Blosc are warned of."""

from __future__ import annotations

import textwrap

import numcodecs  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
from ipld_car.terminal.testing import Run
from ipldstore import IPLDStore
from ipldstore._store import determinism

from ..support.store_samples import zarr

WARNED = """
    import warnings
    import numcodecs.blosc
    import numpy as np
    import zarr
    from ipldstore import IPLDStore
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        zarr.create_array(IPLDStore(), name="a", data=np.arange(10))
        print(sum("use_threads" in str(warning.message) for warning in caught))
        for setting in (True, None):
            numcodecs.blosc.use_threads = setting
            zarr.create_array(IPLDStore(), name="a", data=np.arange(10))
        print(sum("use_threads" in str(warning.message) for warning in caught))
"""


def test_threads_of_blosc_are_warned_of_once(python: Run) -> None:
    assert python(textwrap.dedent(WARNED)).lines == ["0", "1"]


def test_writes_as_to_a_dict_are_warned_of_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside zarr numcodecs has threads, and what it has compressed is written as to a dict."""
    monkeypatch.setattr(numcodecs.blosc, "use_threads", None)
    store = IPLDStore()
    for target in (store, store.mapping):
        monkeypatch.setattr(determinism, "_warned", False)
        with pytest.warns(RuntimeWarning, match="use_threads") as caught:
            target["a/0"] = b"chunk"
        assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_blosc_gives_the_same_bytes_each_time(zarr_format: int) -> None:
    """Data that provoke the differences that threads make: letters and digits in one chunk of a megabyte."""
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz0123456789", "u1")
    data = letters[np.random.default_rng(1).integers(0, len(letters), 10**6)]
    codec = numcodecs.Blosc("zstd") if zarr_format == 2 else zarr.codecs.BloscCodec(cname="zstd")
    roots = set()
    for _ in range(100):
        store = IPLDStore()
        zarr.create_array(store, name="a", data=data, chunks=(10**6,), compressors=codec, zarr_format=zarr_format)
        roots.add(store.freeze())
    assert len(roots) == 1
