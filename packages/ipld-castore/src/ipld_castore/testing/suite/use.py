"""Tests of a store as an object: threads, flush, head, close, pickle, equality."""
# ruff: noqa: S101  # assert is how pytest speaks

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Barrier

import pytest
from ipld_car import cids
from multiformats import CID

from ipld_castore._core.capabilities import SupportsHead, SupportsList
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.errors import BlockNotFoundError, HeadMovedError

from .blocks import DATA
from .harness import Harness

_THREADS = 8


def _swap(castore: SupportsHead, start: Barrier, expected: CID | None, new: CID) -> CID | None:
    """Move the head when all threads are ready; return the found head if it is not the expected one."""
    start.wait()
    try:
        castore.swap_head(expected, new)
    except HeadMovedError as error:
        return error.found
    return None


class UseTests(Harness):
    """Tests of a store as an object."""

    def test_threads_put_and_get_at_once(self, castore: ContentAddressableStore) -> None:
        """Threads put blocks of their own and the same blocks, and never read a part of one."""
        start = Barrier(_THREADS)
        common = [self.make_cid(b"common %d" % number) for number in range(25)]

        def work(thread: int) -> list[tuple[CID, bytes]]:
            start.wait()
            own = []
            for number in range(25):
                data = b"%d of %d" % (number, thread) * 100
                own.append((castore.put_raw(data), data))
                castore.put_raw(b"common %d" % ((number + thread) % 25))
                with suppress(BlockNotFoundError):  # no thread may have put it yet
                    assert castore.get_raw(common[number]) == b"common %d" % number
                assert castore.get_raw(own[number // 2][0]) == own[number // 2][1]
            return own

        with ThreadPoolExecutor(_THREADS) as pool:
            done = list(pool.map(work, range(_THREADS)))
        for cid, data in (pair for own in done for pair in own):
            assert castore.get_raw(cid) == data
        for number, cid in enumerate(common):
            assert castore.get_raw(cid) == b"common %d" % number
        if isinstance(castore, SupportsList):
            assert len(list(castore)) == _THREADS * 25 + 25

    def test_threads_read_one_graph(self, castore: ContentAddressableStore) -> None:
        """Walks over one graph at the same time give the same archive."""
        root = self.chain(castore, 50)
        with ThreadPoolExecutor(_THREADS) as pool:
            archives = set(pool.map(castore.to_car, [root] * _THREADS))
        assert len(archives) == 1

    def test_flush_keeps_all(self, castore: ContentAddressableStore) -> None:
        """A flush keeps all blocks, also a flush of nothing."""
        castore.flush()
        cid = castore.put_raw(DATA)
        castore.flush()
        castore.flush()
        assert castore.get_raw(cid) == DATA

    def test_the_head_moves_from_what_it_is(self, castore: ContentAddressableStore) -> None:
        """The head moves only from the expected one. The error for another has both heads, and nothing changes."""
        if not isinstance(castore, SupportsHead):
            pytest.skip("the backend has no head")
        assert castore.head is None
        first, second, third = (castore.put_raw(data) for data in (b"first", b"second", b"third"))
        castore.swap_head(None, first)
        assert castore.head == first
        for expected in (None, second):
            with pytest.raises(HeadMovedError) as caught:
                castore.swap_head(expected, third)
            assert (caught.value.expected, caught.value.found) == (expected, first)
            assert castore.head == first
        castore.swap_head(first, second)
        castore.swap_head(second, first)  # back, as a user may want it
        castore.swap_head(first, first)
        castore.flush()
        assert castore.head == first

    def test_one_of_many_moves_the_head(self, castore: ContentAddressableStore) -> None:
        """Of threads that expect the same head one succeeds; the errors of the others have its head."""
        if not isinstance(castore, SupportsHead):
            pytest.skip("the backend has no head")
        head = None
        for turn in range(3):
            roots = [castore.put_raw(b"%d in turn %d" % (thread, turn)) for thread in range(_THREADS)]
            start = Barrier(_THREADS)

            swap = partial(_swap, castore, start, head)
            with ThreadPoolExecutor(_THREADS) as pool:
                found = list(pool.map(swap, roots))
            assert found.count(None) == 1
            head = roots[found.index(None)]
            assert castore.head == head
            assert all(each is None or each == head for each in found)

    def test_a_store_is_a_context(self, castore: ContentAddressableStore) -> None:
        """A ``with`` statement closes the store, and closing it again changes nothing."""
        with castore as entered:
            assert entered is castore
            cid = castore.put_raw(DATA)
            assert castore.get_raw(cid) == DATA
        castore.close()

    def test_an_error_in_the_context_comes_through(self, castore: ContentAddressableStore) -> None:
        """Closing the store does not hide the error of the ``with`` block."""
        with pytest.raises(ZeroDivisionError), castore:
            raise ZeroDivisionError

    def test_a_pickle_has_the_same_blocks(self, castore: ContentAddressableStore) -> None:
        """A pickle is how dask sends a store to its workers. Its copy has what was put before, flushed or not."""
        if not self.can_pickle:
            pytest.skip("the subclass sets can_pickle = False")
        cid = castore.put_raw(DATA)
        with pickle.loads(pickle.dumps(castore)) as copy:  # noqa: S301  # our own
            assert copy.get_raw(cid) == DATA
            assert copy.put_raw(b"by the copy") == self.make_cid(b"by the copy")

    def test_the_cids_it_gives_can_be_pickled(self, castore: ContentAddressableStore) -> None:
        """A CID that multiformats makes of bytes cannot be pickled; those of a store can."""
        cid = castore.put(DATA)
        assert pickle.loads(pickle.dumps(cid)) == cid  # noqa: S301  # our own
        assert cids.to_bytes(cid) == bytes(cid)

    def test_equality_and_text(self, castore: ContentAddressableStore) -> None:
        """A store equals itself, and no object of another class. Its repr is short and has no blocks."""
        castore.put_raw(b"secret bytes " * 100)
        assert castore == castore  # noqa: PLR0124  # that it does is the point
        assert castore != object()
        assert type(castore).__name__ in repr(castore)
        assert len(repr(castore)) < 500
        assert castore.address == castore.address  # dask takes it for the store
        assert len(castore.address) < 500
        assert isinstance(castore.blocking, bool)
        assert isinstance(castore.local, bool)
        assert castore.writable is True
