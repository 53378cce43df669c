"""Processes that write one dataset: what one has written no other misses, and no race is lost without a word."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ipld_car import cids
from ipld_castore import FileSystemCAStore, IPFSStore
from ipldstore import ConflictError, IPLDStore, sessions

from ..support.processes import FRESH
from ..support.store_samples import contents, written, zarr
from .workers import elsewhere
from .workers.copies import Process

BASE = {"zarr.json": b"{}", "a/c/0": b"zero"}


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=FRESH) as pool:
        yield pool


@pytest.fixture(params=["folder", pytest.param("node", marks=[pytest.mark.slow, pytest.mark.kubo])])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IPLDStore]:
    if request.param == "folder":
        yield written(BASE, FileSystemCAStore(tmp_path / "blocks", fsync=False))
        return
    kubo = request.getfixturevalue("kubo")
    with IPFSStore(kubo.url) as castore:
        yield written(BASE, castore)
    kubo.empty()


def test_what_a_worker_wrote_is_read_before_any_freeze(pool: ProcessPoolExecutor, store: IPLDStore) -> None:
    """Rules 6 and 7: in the coordinator, in a worker, and from an old pickle."""
    pool.submit(elsewhere.write, store, {"a/c/1": b"one", "a/c/0": None}).result(60)
    assert contents(store) == {"zarr.json": b"{}", "a/c/1": b"one"}
    found = [pool.submit(elsewhere.read, store, "a/c/1") for _ in range(4)]
    assert [each.result(60) for each in found] == [b"one"] * 4
    assert store.freeze() == written({"zarr.json": b"{}", "a/c/1": b"one"}).freeze()
    assert pool.submit(elsewhere.write_and_read, store, {"a/c/2": b"two"}, "a/c/1").result(60) == b"one"
    assert store["a/c/2"] == b"two"


def test_the_coordinator_and_workers_take_turns(pool: ProcessPoolExecutor, store: IPLDStore) -> None:
    """Rule 3: one after another, in the program's order, is no conflict; nor is a task that runs twice."""
    for number in range(3):
        store["a/c/0"] = b"coordinator %d" % number
        pool.submit(elsewhere.write, store, {"a/c/0": b"worker %d" % number}).result(60)
        again = pool.submit(elsewhere.write, store, {"a/c/0": b"worker %d" % number}).result(60)
        assert again
        assert store["a/c/0"] == b"worker %d" % number
    assert store.freeze() == written(BASE | {"a/c/0": b"worker 2"}).freeze()


@pytest.mark.slow
def test_plain_processes(store: IPLDStore) -> None:
    """That are spawned, while those of the other tests may be forked from one that has imported what they need."""
    context: Any = multiprocessing.get_context("spawn")
    processes = [context.Process(target=elsewhere.write, args=(store, {f"a/c/{n}": b"%d" % n})) for n in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert contents(store) == BASE | {"a/c/1": b"1", "a/c/2": b"2"}


def test_a_race_over_one_chunk_is_an_error_that_names_it(
    pool: ProcessPoolExecutor, store: IPLDStore, tmp_path: Path
) -> None:
    """Rules 2 and 3: two workers read a chunk, both write what they made of it. Neither is lost without a word."""
    files = [tmp_path / "first-read", tmp_path / "second-read"]
    racing = [
        pool.submit(elsewhere.change_in_step, store, "a/c/0", b"racer %d" % number, files[number], files[1 - number])
        for number in range(2)
    ]
    assert [each.result(60) for each in racing] == [b"zero", b"zero"]
    with pytest.raises(ConflictError) as caught:
        store.freeze()
    links = [cids.to_text(bytes(store.castore.put_raw(data))) for data in (b"zero", b"racer 0", b"racer 1")]
    assert all(word in str(caught.value) for word in ["a/c/0", *links])
    assert "with changes" not in repr(store), "printing it raises nothing"
    (session,) = sessions(store)
    assert all(writer in str(caught.value) for writer in session.writers)
    store.resolve_conflict("a/c/0", session.writers[0])
    store.freeze()
    assert store["a/c/0"].startswith(b"racer")


def test_a_worker_that_changes_what_the_coordinator_has_read(
    pool: ProcessPoolExecutor, store: IPLDStore, tmp_path: Path
) -> None:
    """Rule 3, the other way round: the coordinator is told before it overwrites what it has not seen."""
    files = tmp_path / "worker-read", tmp_path / "read-here"
    future = pool.submit(elsewhere.change_in_step, store, "a/c/0", b"worker", *files)
    elsewhere.wait_for(files[0])
    assert store["a/c/0"] == b"zero"
    files[1].touch()
    assert future.result(60) == b"zero"
    with pytest.raises(ConflictError, match="a/c/0"):
        store["a/c/0"] = b"coordinator"
    assert store["a/c/0"] == b"worker"
    store["a/c/0"] = b"coordinator"
    assert store["a/c/0"] == b"coordinator"


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("elsewhere_too", [False, True], ids=["coordinator", "copies"])
def test_an_array_that_is_replaced_after_it_was_read(tmp_path: Path, zarr_format: int, elsewhere_too: bool) -> None:
    """What was read of keys that were deleted together is of no account: nothing that follows depends on it."""
    store = IPLDStore(FileSystemCAStore(tmp_path / "blocks", fsync=False))
    made = partial(zarr.create_array, name="a", shape=(4,), chunks=(2,), dtype="i4", zarr_format=zarr_format)
    made(store)[:] = 1
    pickled = pickle.dumps(store)
    here = Process("one").open(pickled) if elsewhere_too else store
    other = Process("two").open(pickled)
    zarr.open_array(other, path="a")[:] = 2
    assert zarr.open_array(here, path="a")[:].tolist() == [2] * 4
    if elsewhere_too:
        del zarr.open_group(other)["a"]
    made(here, overwrite=True)[:] = 3
    zarr.open_array(store, path="a")[:]
    if not elsewhere_too:
        store.move("a", "b")
        made(store)[:] = 4
        zarr.open_array(store, path="a")[:]
        store.graft("a", store.subtree("b"), overwrite=True)
    store.freeze()
    alone = IPLDStore()
    made(alone)[:] = 3
    if not elsewhere_too:
        alone.graft("b", alone.subtree("a"))
    assert store.freeze() == alone.freeze()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_regions_of_one_array(pool: ProcessPoolExecutor, tmp_path: Path, zarr_format: int) -> None:
    def begun(store: IPLDStore) -> IPLDStore:
        zarr.create_array(store, name="a", shape=(40,), chunks=(2,), dtype="i4", zarr_format=zarr_format)
        return store

    store = begun(IPLDStore(FileSystemCAStore(tmp_path / "blocks", fsync=False)))
    parts = [(start, start + 10, start) for start in range(0, 40, 10)]
    for future in [pool.submit(elsewhere.region, store, "a", *part) for part in parts]:
        future.result(60)
    alone = begun(IPLDStore())
    for part in parts:
        elsewhere.region(alone, "a", *part)
    assert zarr.open_array(store, path="a")[...].tolist() == zarr.open_array(alone, path="a")[...].tolist()
    assert store.freeze() == alone.freeze()
