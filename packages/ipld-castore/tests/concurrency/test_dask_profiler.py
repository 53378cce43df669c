"""That a worker of dask that can be stopped by dask's profiler is warned, and only such a worker."""

from __future__ import annotations

import sys
import warnings

import pytest
from ipld_castore import ObjectCAStore
from ipld_castore.concurrency import dask_profiler

memory = pytest.importorskip("obstore.store", reason="the extra object is not installed").MemoryStore
dask = pytest.importorskip("dask", reason="dask is optional")
distributed = pytest.importorskip("distributed", reason="distributed is optional")


def warned_in_a_worker(*, profiled: bool) -> list[str]:
    """Return what a new store over a bucket warns of in a process that has a worker, the second store included."""
    with (
        dask.config.set({"distributed.worker.profile.enabled": profiled}),
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0", silence_logs=50),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        ObjectCAStore(memory())
        ObjectCAStore(memory())
    return [str(each.message) for each in caught if "profiler" in str(each.message)]


@pytest.fixture(autouse=True)
def _not_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_profiler, "_warned", False)


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="other versions of Python cannot be stopped")
def test_a_profiled_worker_is_warned_once() -> None:
    """Such workers have been seen to stop for ever, one in some ten thousand puts; see CPython issue 106883."""
    (message,) = warned_in_a_worker(profiled=True)
    assert "'distributed.worker.profile.enabled' to False" in message


@pytest.mark.skipif(sys.version_info[:2] == (3, 11), reason="it is warned of in Python 3.11")
def test_newer_versions_of_python_are_not_warned() -> None:
    assert warned_in_a_worker(profiled=True) == []


def test_a_worker_without_the_profiler_is_not_warned() -> None:
    assert warned_in_a_worker(profiled=False) == []
