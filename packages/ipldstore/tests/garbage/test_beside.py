"""Collections beside threads that write: nothing is lost that was put and is not linked yet, whatever the age."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ipld_castore import ContentAddressableStore
from ipldstore import ConflictError, IPLDStore, MappingCAStore, NoChangesError, Repository
from ipldstore._dataset.in_flight import longest, putting

from ..support.repositories import KINDS, commit, contents_of, make, open_again, place_of

NOTHING = timedelta(0)


@pytest.fixture(params=KINDS)
def what(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return place_of(request.param, tmp_path)


def in_thread(action: Callable[[], object]) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def collect_once_after(castore: ContentAddressableStore, verb: str, repo: Repository) -> Callable[..., Any]:
    """Return a verb of a block store that has another thread collect garbage after its first call."""
    done, calls = getattr(type(castore), verb), iter(range(10**9))

    def then_collect(self: Any, *args: Any) -> Any:
        found = done(self, *args)
        if next(calls) == 0:
            in_thread(lambda: repo.garbage_collect(NOTHING))
        return found

    return then_collect


def collect_before(castore: ContentAddressableStore, verb: str, repo: Repository) -> Callable[..., Any]:
    """Return a verb of a block store that has another thread collect garbage before each call."""
    done = getattr(type(castore), verb)

    def collect_first(self: Any, *args: Any) -> Any:
        in_thread(lambda: repo.garbage_collect(NOTHING))
        return done(self, *args)

    return collect_first


@pytest.mark.parametrize("when", ["a chunk was put", "the head moves"])
def test_what_is_put_and_not_linked_yet_is_kept(what: Any, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = make(what)
    commit(repo, {"a/0": b"0" * 900})
    session = repo.writable_session()
    kind = type(session.store.castore)
    if when == "a chunk was put":
        monkeypatch.setattr(kind, "put_block", collect_once_after(session.store.castore, "put_block", repo))
    session.store["b/0"] = b"1" * 900
    if when == "the head moves":
        monkeypatch.setattr(kind, "swap_head", collect_before(session.store.castore, "swap_head", repo))
    session.commit("beside a collection")
    monkeypatch.undo()
    assert contents_of(repo) == {"a/0": b"0" * 900, "b/0": b"1" * 900}
    repo = open_again(repo, what)
    assert repo.verify() == 3
    repo.close()


def test_garbage_that_is_put_again_is_none(what: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its block is there already, and was put long before the operation began."""
    repo = make(what)
    commit(repo, {"a/0": b"0" * 900}, message="to be dropped")
    repo.reset_branch("main", "main~1")
    repo = open_again(repo, what)
    session = repo.writable_session()
    kind = type(session.store.castore)
    monkeypatch.setattr(kind, "put_block", collect_once_after(session.store.castore, "put_block", repo))
    session.store["a/0"] = b"0" * 900
    monkeypatch.undo()
    session.commit("again")
    assert contents_of(repo) == {"a/0": b"0" * 900}
    assert open_again(repo, what).verify() == 2


def test_a_pull_that_finds_garbage_keeps_it(what: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transfer sends nothing below a block that is there. A collection waits until the names have moved."""
    other = Repository.create({})
    commit(other, {"a/0": b"0" * 900})
    repo = make(what)
    repo.pull(other)
    repo.reset_branch("main", "main~1")
    repo = open_again(repo, what)
    threads = []

    def collect_beside(self: Any, *args: Any) -> Any:
        threads.append(threading.Thread(target=lambda: repo.garbage_collect(NOTHING)))
        threads[-1].start()
        return done(self, *args)

    kind = type(repo.castore)
    done = kind.swap_head  # type: ignore[attr-defined]  # the three kinds have one
    monkeypatch.setattr(kind, "swap_head", collect_beside)
    repo.pull(other)
    monkeypatch.undo()
    for thread in threads:
        thread.join()
    assert contents_of(repo) == {"a/0": b"0" * 900}
    assert open_again(repo, what).verify() == 2


@pytest.mark.parametrize("kind", ["dict", "file"])
def test_blocks_of_this_process_are_young(kind: str, tmp_path: Path) -> None:
    what = place_of(kind, tmp_path)
    repo = make(what)
    castore = repo.castore
    leaf = castore.put(b"a leaf")
    node = castore.put({"leaf": leaf})
    repo.garbage_collect(timedelta(hours=1))
    repo.garbage_collect(timedelta(hours=1))  # a file was written anew by the first
    assert castore.get(node) == {"leaf": leaf}
    assert castore.get(leaf) == b"a leaf"
    del castore
    if kind == "file":
        repo = open_again(repo, what)
        assert repo.garbage_collect(timedelta(hours=1)).freed_blocks == 2
    else:
        assert repo.garbage_collect(NOTHING).freed_blocks == 2
    repo.close()


def test_stores_over_one_dict_know_of_each_other() -> None:
    mapping: dict[str, bytes] = {}
    repo = Repository.create(mapping)
    other = MappingCAStore(mapping)
    cid = other.put(b"by the other")
    repo.garbage_collect(timedelta(hours=1))
    assert other.get(cid) == b"by the other"


def test_changes_in_a_file_that_was_closed_are_in_nobodys_way(tmp_path: Path) -> None:
    """A variable of a notebook may still have the session."""
    what = place_of("file", tmp_path)
    repo = make(what)
    session = repo.writable_session()
    session.store["a/0"] = b"never committed"
    repo = open_again(repo, what)
    commit(repo, {"b/0": b"1" * 900})
    assert repo.garbage_collect(NOTHING).freed_blocks > 0
    assert repo.verify() == 2
    repo.close()


def test_a_session_whose_commit_was_collected_is_in_nobodys_way(what: Any) -> None:
    """Another thread has reset its branch before it wrote. What it has written since is kept, as far as it can be."""
    repo = make(what)
    commit(repo, {"a/b/0": b"0" * 900})
    commit(repo, {"c/d/0": b"1" * 900})
    session = repo.writable_session()
    list(session.store)
    repo.reset_branch("main", "main~1")
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert repo.garbage_collect(later).freed_blocks > 0
    session.store["n/0"] = b"new"
    for _ in range(2):
        repo.garbage_collect(later)
        assert session.store["n/0"] == b"new"
    with pytest.raises(ConflictError):
        session.commit("too late")
    assert contents_of(repo) == {"a/b/0": b"0" * 900}
    assert open_again(repo, what).verify() == 2


def test_sessions_are_opened_while_another_thread_collects() -> None:
    repo = Repository.create({})
    commit(repo, {"a/0": b"0" * 900})
    kept = [repo.readonly_session() for _ in range(300)]  # which a collection looks at
    done = threading.Event()

    def open_sessions() -> None:
        while not done.is_set():
            more = [repo.readonly_session() for _ in range(100)]
            more.clear()

    thread = threading.Thread(target=open_sessions)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(100):
            repo.garbage_collect(NOTHING)
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert len(kept) == 300


def test_sessions_of_writers_of_this_process_are_no_garbage(tmp_path: Path) -> None:
    repo = make(place_of("folder", tmp_path))
    session = repo.writable_session()
    session.store["a/0"] = b"0" * 900
    pickle.dumps(session.store)  # a session begins
    before = list(repo.castore.sessions())  # type: ignore[attr-defined]  # a folder has them
    assert len(before) == 1
    repo.garbage_collect(NOTHING)
    assert list(repo.castore.sessions()) == before  # type: ignore[attr-defined]  # likewise
    session.commit("beside a collection")
    assert contents_of(repo) == {"a/0": b"0" * 900}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_a_child_that_is_forked_in_an_operation_ends_it() -> None:
    """A function that decides conflicts may fork."""
    castore = MappingCAStore()
    child = -1
    try:
        with putting(castore):
            child = os.fork()
        failed = child == 0 and longest(castore) is not None
    except BaseException:  # noqa: BLE001  # the child must not go on with the tests
        failed = True
    if child == 0:
        os._exit(failed)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not failed


def test_a_state_that_is_freed_while_it_is_read_is_looked_up_again(what: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = make(what)
    kind: Any = type(repo.castore)
    head, reads = kind.head, iter(range(10**9))
    other = Repository.open(repo.castore)
    other.create_branch("of another state")

    def move_and_collect() -> None:
        other.delete_branch("of another state")
        other.garbage_collect(NOTHING)

    def read(self: Any) -> Any:
        found = head.fget(self)
        if next(reads) == 0:
            in_thread(move_and_collect)
        return found

    monkeypatch.setattr(kind, "head", property(read))
    assert list(repo.branches) == ["main"]
    repo.close()


def test_a_block_that_is_being_put_is_not_taken_for_lost() -> None:
    """A mapping notes that a block was put before it is there."""
    asked, go = threading.Event(), threading.Event()

    class Held(dict[str, bytes]):
        def __setitem__(self, key: str, value: bytes) -> None:
            if value == b"held":
                asked.set()
                assert go.wait(60)
            super().__setitem__(key, value)

    with Repository.create(Held()) as repo:
        writer = threading.Thread(target=repo.castore.put, args=[b"held"])
        writer.start()
        assert asked.wait(60)
        repo.garbage_collect(NOTHING)
        go.set()
        writer.join()
        assert repo.castore.get(MappingCAStore().put(b"held")) == b"held"


@pytest.mark.parametrize("threads", [3])
def test_threads_commit_while_another_collects(what: Any, threads: int) -> None:
    repo = make(what)
    done = threading.Event()
    errors: list[BaseException] = []

    def guarded(action: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                action()
            except BaseException as error:  # noqa: BLE001  # the test shows it
                errors.append(error)

        return run

    def write(number: int) -> None:
        for turn in range(8):
            session = repo.writable_session()
            session.store[f"a{number}/{turn}"] = b"%d" % number * 300
            session.store["same/0"] = b"each writes it" * 30
            session.commit(f"{number} {turn}", rebase=True)
            with pytest.raises(NoChangesError):
                session.commit("nothing")

    def collect() -> None:
        while not done.is_set():
            repo.garbage_collect(NOTHING)

    collector = threading.Thread(target=guarded(collect))
    writers = [threading.Thread(target=guarded(partial(write, number))) for number in range(threads)]
    for thread in (collector, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    collector.join()
    assert errors == []
    found = contents_of(repo)
    assert {key for key in found if key != "same/0"} == {f"a{n}/{turn}" for n in range(threads) for turn in range(8)}
    repo = open_again(repo, what)
    assert repo.verify() == threads * 8 + 1
    IPLDStore(repo.castore, root=repo.lookup().data)
    repo.close()
