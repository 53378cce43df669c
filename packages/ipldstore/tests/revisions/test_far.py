"""A long history in a bucket: what goes over all of it waits for many blocks at a time, and reads none in vain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from ipldstore import Repository
from multiformats import CID

obstore = pytest.importorskip("obstore")

from ipld_castore import ObjectCAStore  # noqa: E402  # of the extra

COMMITS = 60
AT_ONCE = 8
LARGE = 90
"""Commits with messages of 65,000 bytes, of which a history caches 64."""


class Held(ObjectCAStore):
    """A bucket that counts, and gives some blocks only once several of them are under way."""

    calls = rounds = 0
    """Blocks that were read, and how often somebody waited: for one of them, or for many."""
    _waiting_for_each_other: frozenset[CID] = frozenset()

    def hold(self, held: Iterable[CID] = ()) -> None:
        """Count anew.

        :param held: the blocks that wait for each other
        """
        self.calls = self.rounds = self._under_way = 0
        self._waiting_for_each_other = frozenset(held)
        self._changed = threading.Condition()

    def get_block(self, cid: CID) -> bytes:
        self.calls += 1
        self.rounds += threading.current_thread() is threading.main_thread()
        if cid in self._waiting_for_each_other:
            with self._changed:
                self._under_way += 1
                self._changed.notify_all()
                if not self._changed.wait_for(lambda: self._under_way >= AT_ONCE, timeout=20):
                    raise TimeoutError(f"{self._under_way} calls were under way, expected {AT_ONCE}")
        return super().get_block(cid)

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        many = list(wanted)
        self.rounds += len(many) > 1  # one is read in the calling thread
        return super().get_blocks(many)


@pytest.fixture(scope="module")
def written() -> Repository:
    """Give a repository with a long history, whose commits have one value of their own."""
    repo = Repository.create({})
    session = repo.writable_session()
    for number in range(COMMITS):
        session.store[f"a/{number % 5}"] = b"%d" % number
        session.commit(f"commit {number}")
    return repo


@pytest.fixture
def bucket(written: Repository) -> Held:
    """Give its copy in a bucket."""
    castore = Held(obstore.store.MemoryStore())
    castore.local = False
    written.push(castore)
    return castore


def since_the_middle(repo: Repository) -> Any:
    return repo.to_car(since=repo.lookup(f"main~{COMMITS // 2}").cid)


ACTIONS: dict[str, Callable[[Repository], Any]] = {
    "verify": lambda repo: repo.verify(),
    "to_car": lambda repo: repo.to_car(),
    "to_car since": since_the_middle,
    "collect": lambda repo: repo.garbage_collect(timedelta(days=1), dry_run=True).kept_blocks > 2 * COMMITS,
    "log": lambda repo: list(repo.log()),
    "graph": lambda repo: repo.graph(),
}


@pytest.mark.parametrize("name", [*ACTIONS][:4])
def test_many_blocks_are_under_way(written: Repository, bucket: Held, name: str) -> None:
    """One after the other, 1,000 commits took a minute behind 20 ms."""
    repo = Repository.open(bucket)
    bucket.hold(commit.data for commit in written.log())
    assert ACTIONS[name](repo) == ACTIONS[name](written)


@pytest.mark.parametrize("name", ["log", "graph", "verify"])
def test_commits_are_read_many_at_a_time(written: Repository, bucket: Held, name: str) -> None:
    repo = Repository.open(bucket)
    bucket.hold()
    assert ACTIONS[name](repo) == ACTIONS[name](written)
    assert bucket.rounds < COMMITS // 2


@pytest.mark.parametrize("name", ["verify", "to_car", "log", "collect"])
def test_no_block_is_read_in_vain(bucket: Held, name: str) -> None:
    repo = Repository.open(bucket)
    blocks = len(list(bucket))
    bucket.hold()
    ACTIONS[name](repo)
    most = {"log": COMMITS + 4, "verify": blocks + COMMITS + 4}
    assert bucket.calls <= most.get(name, blocks + 4)


def test_a_log_that_ends_early_reads_little(bucket: Held) -> None:
    log = Repository.open(bucket).log()
    bucket.hold()
    next(log), next(log)
    assert bucket.calls <= 10


def test_large_commits_are_read_once_too() -> None:
    """More of them than the cache holds were read ahead, and each again when the walk came to it, with others ahead."""
    written = Repository.create({})
    session = written.writable_session()
    for number in range(LARGE):
        session.store["a"] = b"%d" % number
        session.commit(f"{number:>65000}")
    castore = Held(obstore.store.MemoryStore())
    castore.local = False
    written.push(castore)
    repo = Repository.open(castore)
    for name, most in ("log", LARGE + 4), ("verify", len(list(castore)) + LARGE + 20):
        castore.hold()
        ACTIONS[name](repo)
        assert castore.calls <= most, name
