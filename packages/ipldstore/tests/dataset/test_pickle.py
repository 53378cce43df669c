"""Copies by pickle: the same store in its own process, a reader that refuses to write in any other."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from copy import copy, deepcopy
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
from ipld_car.terminal.testing import Run
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore, SupportsJournal
from ipldstore import IPLDStore

from ..support.processes import FRESH
from ..support.processes.copies import (
    describe,
    give_back,
    hold_and_read,
    pickle_on,
    read,
    read_an_array,
    refusals,
    write_one_of_its_own,
)
from ..support.store_samples import block_file, contents, through_pickle, written, zarr

SOME = {"zarr.json": b"{}", "a/zarr.json": b'{"node_type":"array"}', "a/c/0": b"zero", "a/c/1": b"one"}
MANY = SOME | {f"a/c/{number}": b"%d" % number for number in range(500)}


# -- in the same process --


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("copied", [through_pickle, copy, deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_a_copy_is_the_same_store(
    castore: ContentAddressableStore, copied: Callable[[IPLDStore], IPLDStore], *, frozen: bool
) -> None:
    store = written(SOME, castore)
    if frozen:
        store.freeze()
    again = copied(store)
    assert again == store
    assert again.read_only == store.read_only
    again["a/c/2"] = b"from the copy"
    store["a/c/3"] = b"from the original"
    assert contents(again) == contents(store)
    assert again == store
    assert len(store) == 6
    del store["a/c/2"]
    assert "a/c/2" not in again
    assert again.freeze() == store.freeze()


@pytest.mark.parametrize("copied", [copy, deepcopy])
def test_a_copy_writes_nothing(copied: Callable[[IPLDStore], IPLDStore]) -> None:
    """Only a pickle has to write the tree: its reader may be in another process."""
    blocks: dict[str, bytes] = {}
    store = written(SOME, MappingCAStore(blocks))
    before = dict(blocks)
    again = copied(store)
    assert blocks == before
    assert again.root_cid is None
    assert again.has_changes
    again.close()
    store["a/c/2"] = b"two"  # closing a copy closes nothing else


@pytest.mark.parametrize("copied", [copy, deepcopy])
def test_a_copy_begins_no_session(tmp_path: Path, copied: Callable[[IPLDStore], IPLDStore]) -> None:
    with ipldstore.open(tmp_path / "data", "a") as store:
        store["a/c/0"] = b"zero"
        assert copied(store)["a/c/0"] == b"zero"
        assert ipldstore.sessions(store) == []


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(protocol: int) -> None:
    store = written(SOME)
    store.freeze()
    assert pickle.loads(pickle.dumps(store, protocol)) == store  # noqa: S301  # made here


def test_read_only_stays_read_only() -> None:
    store = written(SOME)
    reader = through_pickle(store.with_read_only(True))
    assert reader.read_only
    with pytest.raises(ValueError, match="read-only mode"):
        reader["a"] = b""
    store["a/c/2"] = b"two"
    assert reader["a/c/2"] == b"two"


def test_unfrozen_changes_go_along(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    pickled = pickle.dumps(store)
    store["a/c/9"] = b"later"
    again = pickle.loads(pickled)  # noqa: S301  # made here
    assert again == store
    assert again["a/c/9"] == b"later"  # it is the same store, not what it was


def test_after_the_original_is_gone(castore: ContentAddressableStore) -> None:
    """Then a pickle is what was pickled, with the changes that were not frozen, and it can be written to."""
    store = written(MANY, castore)
    pickled = pickle.dumps(store)
    del store
    gc.collect()
    again, other = pickle.loads(pickled), pickle.loads(pickled)  # noqa: S301  # made here
    assert contents(again) == MANY
    again["a/c/new"] = b"new"
    assert other["a/c/new"] == b"new"
    assert again == other
    assert contents(IPLDStore(again.castore, root=again.freeze())) == MANY | {"a/c/new": b"new"}


class Elsewhere(MappingCAStore):
    """Blocks that do not travel with a pickle."""

    def __reduce__(self) -> Any:
        return Elsewhere, ()


def test_a_pickle_of_a_root_is_small() -> None:
    """Frozen contents do not travel with a store whose blocks are elsewhere."""

    store = written(MANY, Elsewhere())
    store.freeze()
    assert len(pickle.dumps(store)) < 2000


def test_a_cid_read_from_the_store_pickles() -> None:
    store = written(SOME)
    root = store.freeze()
    assert through_pickle(root) == root
    assert str(through_pickle(store.root_cid)) == str(root)


def test_zarr_arrays_pickle_with_their_store(castore: ContentAddressableStore) -> None:
    array = zarr.create_array(IPLDStore(castore), name="a", shape=(4,), chunks=(2,), dtype="i4")
    again = through_pickle(array)
    again[:] = [1, 2, 3, 4]
    assert array[:].tolist() == [1, 2, 3, 4]
    assert again.store == array.store


def test_pickling_while_others_write(castore: ContentAddressableStore) -> None:
    """Dask pickles stores on one thread while its workers write on others."""
    store = written(SOME, castore)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            store[f"a/c/{number % 3000}"] = b"%d" % number
            number += 1

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            assert through_pickle(store) is not store
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert store.freeze() == written(contents(store)).freeze()


# -- in another process --


def _contexts() -> list[Any]:
    forks = "fork" in multiprocessing.get_all_start_methods()
    forking = [pytest.param(multiprocessing.get_context("fork"), id="fork")] if forks else []
    return [*forking, pytest.param(FRESH, id="fresh")]


@pytest.fixture(params=_contexts(), scope="module")
def elsewhere(request: pytest.FixtureRequest) -> Any:
    """Runs a function with arguments in another process."""
    with ProcessPoolExecutor(1, mp_context=request.param) as pool:

        def run(action: Callable[..., Any], *arguments: Any) -> Any:
            future: Future[Any] = pool.submit(action, *arguments)
            return future.result(60)

        yield run


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")  # threads of zarr: that is how users fork
class TestElsewhere:
    def test_it_reads(self, elsewhere: Any, castore: ContentAddressableStore) -> None:
        store = written(MANY, castore)
        assert elsewhere(read, store) == MANY  # with changes that were not frozen
        store["a/c/2"] = b"another"
        assert elsewhere(read, store) == MANY | {"a/c/2": b"another"}
        root = store.freeze()
        assert elsewhere(describe, store) == (str(root), False, len(store.to_car()), str(root))
        assert elsewhere(describe, store.with_read_only(True))[1] is True

    def test_a_newer_pickle_is_newer(self, elsewhere: Any, castore: ContentAddressableStore) -> None:
        """A newer pickle has the newer root, even where the older copy is still in use."""
        store = written(SOME, castore)
        assert elsewhere(hold_and_read, store) == SOME
        store["a/c/0"] = b"newer"
        assert elsewhere(hold_and_read, store) == SOME | {"a/c/0": b"newer"}
        store.freeze()
        del store["a/c/0"]
        store.freeze()
        assert "a/c/0" not in elsewhere(hold_and_read, store)

    def test_zarr_reads(self, elsewhere: Any, castore: ContentAddressableStore) -> None:
        store = IPLDStore(castore)
        zarr.create_array(store, name="a", data=np.arange(12).reshape(3, 4), chunks=(1, 2))
        assert np.array_equal(elsewhere(read_an_array, store), np.arange(12).reshape(3, 4))

    @pytest.mark.parametrize("frozen", [False, True])
    def test_it_refuses_to_write_where_nobody_would_see_it(self, elsewhere: Any, *, frozen: bool) -> None:
        """Blocks in memory are in one process."""
        store = written(SOME)
        if frozen:
            store.freeze()
        said = elsewhere(refusals, store)
        assert len(said) == 15
        for message in said:
            assert "another process" in message
            assert "would be lost" in message
        assert contents(store) == SOME

    def test_a_copy_of_a_copy_refuses_too(self, elsewhere: Any) -> None:
        store = written(SOME)
        said, root = elsewhere(pickle_on, store)
        assert all("another process" in message for message in said)
        assert root == str(store.freeze())

    def test_it_can_begin_a_store_of_its_own(self, elsewhere: Any, castore: ContentAddressableStore) -> None:
        store = written(SOME, castore)
        store.freeze()
        data, root = elsewhere(write_one_of_its_own, store)
        assert data == b"mine"
        if not isinstance(castore, MappingCAStore):  # the blocks are in the folder, for all to see
            assert contents(IPLDStore(castore, root=root)) == SOME | {"a/c/9": b"mine"}


def test_a_copy_that_comes_home_is_the_store_again(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    with ProcessPoolExecutor(1, mp_context=FRESH) as pool:
        again = pool.submit(give_back, store).result(60)
    again["a/c/2"] = b"two"
    assert store["a/c/2"] == b"two"
    assert again == store


def _in_a_fork(store: IPLDStore, results: Any) -> None:
    """No pickle on the way: the store is in the memory that was forked."""
    results.put((contents(store), refusals(store)))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_a_fork_reads_and_refuses_to_write(castore: ContentAddressableStore) -> None:
    context: BaseContext = multiprocessing.get_context("fork")
    store = written(SOME, castore)  # with changes that are not frozen
    results = context.Queue()
    process = context.Process(target=_in_a_fork, args=(store, results))  # type: ignore[attr-defined]  # a context that can fork has it
    process.start()
    found, said = results.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    assert found == SOME
    assert all("another process" in message for message in said)
    assert contents(store) == SOME
    if isinstance(castore, SupportsJournal):
        assert all("pickle.dumps(store) before a fork" in message for message in said)


def _write_out_of_a_pickle(pickled: bytes) -> None:
    pickle.loads(pickled)["b"] = b"b"  # noqa: S301  # made by the test


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_a_fork_writes_out_of_a_pickle(tmp_path: Path) -> None:
    """The way that the error of the others names."""
    store = written(SOME, FileSystemCAStore(tmp_path / "blocks", fsync=False))
    context: BaseContext = multiprocessing.get_context("fork")
    process = context.Process(target=_write_out_of_a_pickle, args=(pickle.dumps(store),))  # type: ignore[attr-defined]  # as above
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert contents(store) == SOME | {"b": b"b"}


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_a_fork_while_a_thread_holds_the_store(castore: ContentAddressableStore) -> None:
    """A lock that another thread held when the process forked is never given back in the child."""
    context: BaseContext = multiprocessing.get_context("fork")
    store = written(SOME, castore)
    held, stop = threading.Event(), threading.Event()

    def hold() -> None:
        with store._data.tree.lock:
            held.set()
            stop.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        held.wait()
        results = context.Queue()
        process = context.Process(target=_in_a_fork, args=(store, results))  # type: ignore[attr-defined]  # a context that can fork has it
        process.start()
        process.join(60)
        assert process.exitcode == 0, "the child waits for a lock whose holder is gone"
        assert results.get(timeout=60)[0] == SOME
    finally:
        stop.set()
        thread.join()
        if process.is_alive():
            process.kill()


def test_a_block_that_cannot_be_read_is_an_error_of_the_task(tmp_path: Path) -> None:
    """A pickle reads nothing: an error of unpickling would end a process of the pool, and with it all tasks."""
    castore = FileSystemCAStore(tmp_path / "blocks", fsync=False)
    store = written(SOME, castore)
    file, aside = block_file(castore, store.freeze()), tmp_path / "aside"
    file.rename(aside)
    with ProcessPoolExecutor(1, mp_context=FRESH) as pool:
        with pytest.raises(ipldstore.IPLDStoreError, match="no block"):
            pool.submit(contents, store).result(60)
        assert "over <FileSystemCAStore" in pool.submit(repr, store).result(60)
        aside.rename(file)
        assert pool.submit(contents, store).result(60) == SOME


def test_threads_that_use_a_fork_first_at_once_use_one(tmp_path: Path) -> None:
    """What one of them has written the other reads."""
    fork = through_pickle(written(SOME, FileSystemCAStore(tmp_path / "blocks", fsync=False)).fork())
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        fork[f"b/{number}"] = b"%d" % number

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert set(fork.changes().keys) == {f"b/{number}" for number in range(8)}


def test_a_pickle_that_a_new_process_loads(castore: ContentAddressableStore, tmp_path: Path, python: Run) -> None:
    """Another process, started by nobody here: it writes where a journal tells of it, and else refuses."""
    store = written(SOME, castore)
    file = tmp_path / "store.pickle"
    file.write_bytes(pickle.dumps(store))
    load = (
        "import pickle, sys; from ipldstore import IPLDStoreError\n"
        "store = pickle.load(open(sys.argv[1], 'rb')); print(store.root_cid, store['a/c/1'])\n"
        "try: store['b'] = b''\n"
        "except IPLDStoreError: print('refused')\n"
        "else: print('written')"
    )
    lines = python(load, file).lines
    root = written(SOME).freeze()
    in_memory = isinstance(castore, MappingCAStore)
    assert lines == [f"{root} {b'one'!r}", "refused" if in_memory else "written"]
    assert contents(store) == (SOME if in_memory else SOME | {"b": b""})
