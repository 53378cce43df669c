"""Processes that write one dataset: what one has written no other misses, and no race is lost without a word."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from ipld_car import cids
from ipld_castore import FileSystemCAStore
from ipldstore import ConflictError, IPLDStore, compact, recover, sessions

from ..support.store_samples import contents, written, zarr
from . import elsewhere

pytestmark = pytest.mark.slow

BASE = {"zarr.json": b"{}", "a/c/0": b"zero"}
METHODS = [method for method in multiprocessing.get_all_start_methods() if method != "fork"]


@pytest.fixture(params=METHODS, scope="module")
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(request.param)) as pool:
        yield pool


@pytest.fixture
def store(tmp_path: Path) -> IPLDStore:
    return written(BASE, FileSystemCAStore(tmp_path / "blocks", fsync=False))


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


def test_plain_processes(store: IPLDStore) -> None:
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


@pytest.mark.alone
@pytest.mark.parametrize("role", ["worker", "coordinator"])
@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=pytest.mark.soak)])
def test_processes_killed_in_mid_write(tmp_path: Path, role: str, rounds: int) -> None:
    """Rules 4 and 5: what was noted stays, nothing half written is read, what is left is found and freed."""
    folder = tmp_path / "blocks"
    said: list[str] = []
    store: IPLDStore | None = None
    if role == "worker":
        store = ipldstore.open(folder, "a", fsync=False)
        store["base"] = b"base"
        (tmp_path / "pickled").write_bytes(pickle.dumps(store))
    for number in range(rounds):
        with subprocess.Popen(
            [sys.executable, "-m", elsewhere.__name__, str(tmp_path), role], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            said += [process.stdout.readline().strip() for _ in range(number % 7 + 1)]
            process.kill()
            said += [line.strip() for line in process.stdout if line.endswith("\n")]
        if store is None:
            (session,) = [each for each in sessions(folder) if not each.ended]
            assert session.keys == (), "a coordinator's own changes are in no note"
            recover(folder, session.name)
    if store is not None:
        store.close()
    with ipldstore.open(folder) as found:
        keys = set(found)
        for key in keys - {"base"}:
            assert found[key] == b"%d " % int(key.rpartition("/")[2]) * 300, "whole"
    assert keys >= set(said), "what was said to be written is there"
    assert len(said) >= rounds
    assert all(session.ended for session in sessions(folder))
    castore = FileSystemCAStore(folder)
    compact(folder, timedelta(seconds=-3600))
    assert sessions(folder) == []
    with ipldstore.open(folder) as found:
        assert set(found) == keys
        needed = {cid.raw_digest for cid, _ in found.castore.get_dag(found.freeze())}
    assert {cid.raw_digest for cid in castore} == needed
    assert not list(folder.rglob("put-*"))


@pytest.mark.alone
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_many_freeze_into_one_head_at_once(tmp_path: Path) -> None:
    """Each success is in the chain of heads, and each loser was told."""
    folder = tmp_path / "blocks"
    with ipldstore.open(folder, "a", fsync=False) as store:
        store.mapping.update(BASE)
    subprocess.run([sys.executable, "-m", elsewhere.__name__, str(folder), "freeze"], check=True, timeout=120)
    results = [json.loads(Path(f"{folder}-result-{number}").read_text()) for number in range(20)]
    done = [each for each in results if each is not None]
    assert done
    steps = dict(done)
    assert len(steps) == len(done), "no two went on from one head"
    root = str(written(BASE).freeze())
    chain = []
    while root in steps:
        root = steps.pop(root)
        chain.append(root)
    assert steps == {}, "none that succeeded is lost"
    assert str(ipldstore.open(folder).root_cid) == chain[-1]
