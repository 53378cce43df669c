"""Any program, split over a coordinator and up to five writers in any way, gives the root of a single writer.

Or the conflict that there is: a write that depends on what was read before another one wrote it.
"""

from __future__ import annotations

import pickle
import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ipld_castore import ContentAddressableStore, FileSystemCAStore, IPFSStore
from ipld_castore.testing import BlockServer
from ipldstore import ConflictError, IPLDStore, IPLDStoreError

from ..support.store_samples import contents, written
from .workers.copies import Process, failing_appends

BASE = {"zarr.json": b"{}", "a/c/0": b"zero"}
KEYS = ["a/c/0", "a/c/1", "b/c/0", "b/zarr.json"]
WRITERS = st.integers(-1, 4)
"""-1 is the coordinator."""
KEY = st.sampled_from(KEYS)
STEP = st.one_of(
    st.tuples(st.just("write"), WRITERS, KEY),
    st.tuples(st.just("write"), WRITERS, KEY),
    st.tuples(st.just("delete"), WRITERS, KEY),
    st.tuples(st.sampled_from(["lose note", "lose answer"]), st.integers(0, 4), KEY),
    st.tuples(st.just("read"), WRITERS, KEY),
    st.tuples(st.just("list"), WRITERS, st.none()),
    st.tuples(st.just("delete below"), WRITERS, st.sampled_from(["a", "b/c", ""])),
    st.tuples(st.just("reopen"), st.integers(0, 4), st.none()),
    st.tuples(st.just("pickle"), st.none(), st.none()),
    st.tuples(st.just("freeze"), st.none(), st.none()),
)


class Program:
    """A dataset, the processes that write it, and what it should have."""

    def __init__(self, castore: ContentAddressableStore) -> None:
        self.store = written(BASE, castore)
        self.looks_once = not castore.local
        """Whether a copy looks for notes of other processes once for each pickle."""
        self.model: dict[str, bytes] = dict(BASE)
        self.reads: dict[tuple[int, str], dict[bytes | None, bytes | None]] = {}
        """By writer and key, what it has read, by the root of the pickle through which it did."""
        self.history: dict[str, list[bytes | None]] = {key: [BASE.get(key)] for key in KEYS}
        self.processes = [Process(f"process {number}") for number in range(5)]
        self.pickled = pickle.dumps(self.store)
        self.pickles: dict[bytes | None, dict[str, bytes]] = {self.store._data.frozen_root: dict(BASE)}
        """The contents of the roots that pickles were made of."""
        self.copies: dict[int, IPLDStore] = {}
        self._numbers = iter(range(1_000_000))

    def of(self, writer: int) -> IPLDStore:
        if writer < 0:
            return self.store
        if writer not in self.copies or self.looks_once:
            self.copies[writer] = self.processes[writer].open(self.pickled)
        return self.copies[writer]

    def run(self, what: str, writer: int, key: str) -> str | None:
        """Take a step; return the key if it depends on what is no longer there."""
        if what == "freeze":
            assert self.store.freeze() == written(self.model).freeze()
            self.pickle(self.store)  # after a freeze, until then, what is read is of its root
            self.forget_reads_of_the_coordinator()
        elif what == "pickle":
            self.pickle(self.store.with_read_only(False))
            self.forget_reads_of_the_coordinator()
        elif what == "reopen":
            self.copies.pop(writer, None)
        elif what == "delete below":
            return self._delete_below(writer, key)
        elif what == "list":
            assert contents_without_reading(self.of(writer)) == set(self.model)
        elif what == "read":
            assert self.of(writer).mapping.get(key) == self.model.get(key)
            self.reads.setdefault((writer, key), {})[self.pickle_of(writer)] = self.model.get(key)
        else:
            return self._change(what, writer, key)
        return None

    def pickle(self, store: IPLDStore) -> None:
        """Make the pickle that writers open from now on."""
        self.pickled = pickle.dumps(store)
        self.pickles[store._data.frozen_root] = dict(self.model)

    def pickle_of(self, writer: int) -> bytes | None:
        """Return the root of the pickle that a writer has opened."""
        origin = self.of(writer)._data.origin
        return None if origin is None else origin.root

    def take_read(self, writer: int, key: str) -> bytes | None:
        """Return what the change of a key may depend on, and forget it; what the key has where nothing was read.

        What was read through another pickle is of no account, unless the root of this one has it.
        """
        reads, opened = self.reads.pop((writer, key), {}), self.pickle_of(writer)
        if opened in reads:
            return reads[opened]
        if opened is not None and (has := self.pickles[opened].get(key)) in reads.values():
            return has
        return self.model.get(key)

    def forget_reads_of_the_coordinator(self) -> None:
        """What it reads next is what it knows, and what it read before was the program's order."""
        self.reads = {at: content for at, content in self.reads.items() if at[0] >= 0}

    def _change(self, what: str, writer: int, key: str) -> str | None:
        now = self.model.get(key)
        after = None if what == "delete" else b'{"n":%d}' % next(self._numbers)
        read = self.take_read(writer, key)
        stale = read != now and after != now
        store = self.of(writer)
        if stale and writer < 0:
            with pytest.raises(ConflictError, match=key):
                self._apply(store, key, after)
            self.reads[writer, key] = {None: read}
            return None
        if what.startswith("lose"):
            with failing_appends(arriving=what == "lose answer"), pytest.raises(IPLDStoreError, match=key):
                self._apply(store, key, b'{"lost":%d}' % next(self._numbers))
        self._apply(store, key, after)
        if writer < 0:  # copies see what the coordinator has changed when it pickles or freezes
            self.run("pickle", -1, "")
        if stale:
            self.history[key].append(after)
            return key
        self.model = (
            {**self.model, key: after} if after is not None else {k: v for k, v in self.model.items() if k != key}
        )
        self.history[key].append(after)
        return None

    def _delete_below(self, writer: int, directory: str) -> str | None:
        """Delete all keys there: each that is there as by itself, and what was read of them is of no account then."""
        below = [key for key in KEYS if key.startswith(f"{directory}/" if directory else "")]
        if writer < 0:
            self.reads = {at: content for at, content in self.reads.items() if at[0] >= 0 or at[1] not in below}
        stale = [key for key in below if key in self.model and self.take_read(writer, key) != self.model[key]]
        self.of(writer)._data.delete_below(directory)
        if writer < 0:
            self.run("pickle", -1, "")
        for key in [key for key in self.model if key.startswith(f"{directory}/" if directory else "")]:
            if key in self.history:
                self.history[key].append(None)
            if key not in stale:
                del self.model[key]
        self.reads = {at: content for at, content in self.reads.items() if at[0] != writer or at[1] not in below}
        return stale[0] if stale else None

    @staticmethod
    def _apply(store: IPLDStore, key: str, after: bytes | None) -> None:
        if after is None:
            store._data.delete(key)
        else:
            store[key] = after

    def came_back(self, key: str) -> bool:
        """Return whether a key had some contents twice, so that the order of its changes cannot be told."""
        return len(set(self.history[key])) < len(self.history[key])


def contents_without_reading(store: IPLDStore) -> set[str]:
    return set(store)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=24))
@example([("write", 0, "a/c/1"), ("delete", -1, "a/c/1"), ("list", 0, "")])  # the root is the one before
@example(
    [
        ("read", 0, "a/c/0"),  # in an earlier task
        ("write", 1, "a/c/0"),
        ("pickle", -1, ""),
        ("reopen", 0, ""),
        ("write", 0, "a/c/0"),  # in one that was sent after the other had written
        ("freeze", -1, ""),
    ]
)
@example(
    [
        ("read", 0, "a/c/0"),
        ("write", 1, "a/c/1"),
        ("pickle", -1, ""),
        ("write", 1, "a/c/0"),
        ("reopen", 0, ""),
        ("write", 0, "a/c/0"),  # what it has read is what this pickle was made of, and not what the other has written
        ("freeze", -1, ""),
    ]
)
def test_any_split_of_any_program(steps: list[tuple[str, int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(FileSystemCAStore(folder, fsync=False), steps)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=20)
@given(st.lists(STEP, max_size=24))
def test_any_split_over_a_node(steps: list[tuple[str, int, str]]) -> None:
    """A node that is served: its journal is of pins."""
    with BlockServer() as server, IPFSStore(server.url) as castore:
        check(castore, steps)


@pytest.mark.slow
@pytest.mark.kubo
def test_any_split_over_a_real_node(kubo: Any) -> None:
    @settings(suppress_health_check=[HealthCheck.too_slow], max_examples=20, database=None)
    @given(st.lists(STEP, max_size=24))
    def split(steps: list[tuple[str, int, str]]) -> None:
        with IPFSStore(kubo.url) as castore:
            check(castore, steps)

    split()
    kubo.empty()


def check(castore: ContentAddressableStore, steps: list[tuple[str, int, str]]) -> None:
    """Run a program, and compare what comes of it with what a single writer gets, or expect the conflict."""
    program = Program(castore)
    try:
        for step in steps:
            stale = program.run(*step)
            if stale is not None:
                if program.came_back(stale):
                    return  # the same contents may stand for another order, in which it depends on what is there
                with pytest.raises(ConflictError, match=stale):
                    program.store.freeze()
                return
        assert contents(program.store) == program.model
        assert program.store.freeze() == written(program.model).freeze()
    except ConflictError as error:
        if not any(program.came_back(key) and repr(key) in str(error) for key in KEYS):
            raise  # a conflict that there is not
