"""CAR files that are written anew: what was put lately is kept, and all stores of the process go on."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ipld_car import CarFile, fs
from ipld_castore import BlockCorruptError, CarCAStore
from multiformats import CID


def test_copies_go_on_with_the_new_file(tmp_path: Path) -> None:
    """A dask scheduler in threads pickles stores, whose copies write what the first then commits."""
    with CarCAStore(tmp_path / "a.car", fsync=False) as store:
        kept, dropped = store.put(b"kept"), store.put(b"dropped" * 100)
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # made here
        for rewriting in (store, copy):
            rewriting.rewrite([(kept, b"kept")])
            for each in (store, copy):
                assert each.get(kept) == b"kept"
                assert dropped not in each
            assert store.get(copy.put(b"by the copy")) == b"by the copy"
            assert copy.get(store.put(b"by the first")) == b"by the first"


def test_blocks_that_overwrite_an_index_are_recent(tmp_path: Path) -> None:
    """The file is then longer than its blocks, and so the next one lies before the end of the file."""
    path = tmp_path / "a.car"
    with CarCAStore(path, fsync=False) as store:
        for number in range(100):
            store.put(b"%d" % number)
    with CarCAStore(path, fsync=False) as store:
        first = store.put(b"over the index")
        since = store.now()
        assert first not in store.recent(since)
        second = store.put(b"likewise")
        assert list(store.recent(since)) == [second]
        kept, _ = store.rewrite([], since)
        assert kept == 1
        assert store.get(second) == b"likewise"


def test_a_block_that_is_damaged_is_told_as_such(tmp_path: Path) -> None:
    def damaged() -> Iterator[tuple[CID, bytes]]:
        raise BlockCorruptError("a damaged block")
        yield

    with CarCAStore(tmp_path / "a.car", fsync=False) as store:
        cid = store.put(b"block")
        with pytest.raises(BlockCorruptError, match="a damaged block"):
            store.rewrite(damaged())
        assert store.get(cid) == b"block"
    assert [each.name for each in tmp_path.iterdir()] == ["a.car"]


@pytest.mark.parametrize(
    ("verb", "of_file"),
    [("has_block", "__contains__"), ("block_size", "location"), ("location", "location"), ("get_replica", "get")],
)
def test_a_read_goes_on_in_the_new_file(
    tmp_path: Path, verb: str, of_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread has rewritten the file between the look at it and the read."""
    with CarCAStore(tmp_path / "a.car", fsync=False) as store:
        cid = store.put(b"block")
        expected = getattr(store, verb)(cid)
        read, calls = getattr(CarFile, of_file), iter(range(10**9))

        def rewrite_first(file: CarFile, *args: Any, **options: Any) -> Any:
            if next(calls) == 0:
                store.rewrite([(cid, b"block")])
            return read(file, *args, **options)

        monkeypatch.setattr(CarFile, of_file, rewrite_first)
        found = getattr(store, verb)(cid)
        assert found == (store.location(cid) if verb == "location" else expected)
        assert next(calls) > 1


@pytest.mark.parametrize("act", [CarCAStore.flush, pickle.dumps], ids=["flush", "pickle"])
def test_a_flush_waits_for_the_new_file(
    tmp_path: Path, act: Callable[[CarCAStore], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the new file is in its place and is not open yet, the old one would be taken for replaced by somebody."""
    errors: list[Exception] = []
    threads: list[threading.Thread] = []
    begun = threading.Event()
    sync_folder = fs.sync_folder
    with CarCAStore(tmp_path / "a.car", fsync=False) as store:
        cid = store.put(b"block")

        def flush() -> None:
            begun.set()
            try:
                act(store)
            except Exception as error:  # noqa: BLE001  # the test shows it
                errors.append(error)

        def flush_beside(folder: Path) -> None:
            threads.append(threading.Thread(target=flush))
            threads[-1].start()
            begun.wait()
            threads[-1].join(0.05)  # what does not wait has ended by then
            sync_folder(folder)

        monkeypatch.setattr(fs, "sync_folder", flush_beside)
        store.rewrite([(cid, b"block")])
        monkeypatch.undo()
        for thread in threads:
            thread.join()
        assert len(threads) == 1
        assert errors == []
        assert store.get(cid) == b"block"


def test_threads_that_rewrite_a_file_do_so_one_after_the_other(tmp_path: Path) -> None:
    """The second removed the file that the first was writing."""
    errors: list[Exception] = []
    threads: list[threading.Thread] = []
    begun = threading.Event()
    with CarCAStore(tmp_path / "a.car", fsync=False) as store:
        cid = store.put(b"block")

        def rewrite() -> None:
            begun.set()
            try:
                store.rewrite([(cid, b"block")])
            except Exception as error:  # noqa: BLE001  # the test shows it
                errors.append(error)

        def blocks() -> Iterator[tuple[CID, bytes]]:
            threads.append(threading.Thread(target=rewrite))
            threads[-1].start()
            begun.wait()
            threads[-1].join(0.05)  # what does not wait has removed the new file by then
            yield cid, b"block"

        store.rewrite(blocks())
        for thread in threads:
            thread.join()
        assert len(threads) == 1
        assert errors == []
        assert store.get(cid) == b"block"
    assert [each.name for each in tmp_path.iterdir()] == ["a.car"]


def test_another_file_does_not_wait_for_one_that_is_rewritten(tmp_path: Path) -> None:
    """Rewriting a large file takes minutes."""
    swapped = threading.Event()

    def swap() -> None:
        other.swap_head(None, head)
        swapped.set()

    def blocks() -> Iterator[tuple[CID, bytes]]:
        threading.Thread(target=swap).start()
        assert swapped.wait(60), "the head of the other file waits"
        yield cid, b"block"

    with CarCAStore(tmp_path / "a.car", fsync=False) as store, CarCAStore(tmp_path / "b.car", fsync=False) as other:
        cid, head = store.put(b"block"), other.put([1])
        store.rewrite(blocks())
        assert other.head == head


def test_a_head_waits_for_its_own_file_to_be_rewritten(tmp_path: Path) -> None:
    """Also that of a copy of the store: else the new file would not have it."""
    moved: list[CID | None] = []

    def blocks() -> Iterator[tuple[CID, bytes]]:
        thread.start()
        thread.join(0.05)  # what does not wait has ended by then
        moved.append(copy.head)
        yield cid, b"block"

    with CarCAStore(tmp_path / "a.car", fsync=False) as store:
        cid, head = store.put(b"block"), store.put([1])
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # made here
        thread = threading.Thread(target=lambda: copy.swap_head(None, head))
        store.rewrite(blocks())
        thread.join()
        assert moved == [None]
        assert store.head == copy.head == head
