"""Blocks on their way: nothing is lost, nothing waits for ever, and memory has a bound.

What sends is a function here: when it fails, and how long it takes, is what these tests are about.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from ipld_car import cids, hashes
from ipld_castore import BackendUnavailableError, BlockCorruptError, CAStoreError
from ipld_castore._core.upload_queue import Pairs, UploadQueue


class Place:
    """A dict that receives blocks, counts requests, and can be down."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}
        self.batches: list[int] = []
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()
        self.under_way = self.most = 0
        self.lock = threading.Lock()

    def send(self, pairs: Pairs) -> None:
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            assert self.open.wait(30)
            if self.error is not None:
                raise self.error
            for cid, data in pairs:
                hashes.verify_digest(cid, data)
            with self.lock:
                self.blocks.update(pairs)
                self.batches.append(len(pairs))
        finally:
            with self.lock:
                self.under_way -= 1


def put(queue: UploadQueue, data: bytes) -> bytes:
    cid = cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, data))
    queue.put(cids.multihash_of(cid), cid, data)
    return cid


def get(queue: UploadQueue, cid: bytes) -> bytes | None:
    return queue.get(cids.multihash_of(cid))


@pytest.fixture
def place() -> Place:
    return Place()


def test_batches_go_while_others_are_put(place: Place) -> None:
    """A full batch is sent at once, the rest by a flush. Blocks that have arrived are not held any more."""
    queue = UploadQueue(place.send, 10_000, 2)
    sent = [put(queue, b"%d" % number * 500) for number in range(30)]
    queue.flush()
    assert sorted(place.blocks) == sorted(sent)
    assert len(place.batches) > 2
    assert len(queue) == 0
    assert get(queue, sent[0]) is None
    queue.flush()
    assert sum(place.batches) == 30


def test_what_is_under_way_can_be_read(place: Place) -> None:
    queue = UploadQueue(place.send, 1000, 2)
    place.open.clear()
    sent = {put(queue, data): data for data in (bytes([number]) * 600 for number in range(3))}
    assert {cid: get(queue, cid) for cid in sent} == sent
    place.open.set()
    queue.flush()
    assert place.blocks == sent


def test_a_block_is_sent_once(place: Place) -> None:
    queue = UploadQueue(place.send, 1 << 20, 2)
    for _ in range(5):
        put(queue, b"again")
    queue.flush()
    assert place.batches == [1]


def test_a_put_without_waiting_returns_whether_there_was_room(place: Place) -> None:
    """A block that finds no room is not held, and an error is raised by the next put."""
    queue = UploadQueue(place.send, 1000, 1)
    place.open.clear()
    blocks = [(cids.make(cids.RAW, hashes.sha2_256(data)), data) for data in (bytes([n]) * 600 for n in range(9))]
    taken = [queue.put(cid[2:], cid, data, wait=False) for cid, data in blocks]
    count = taken.index(False)
    assert 2 <= count <= 3  # one batch under way, one more
    assert not any(taken[count:])
    assert [queue.get(cid[2:]) is not None for cid, _ in blocks] == taken
    place.error = BackendUnavailableError("away")
    place.open.set()
    with pytest.raises(BackendUnavailableError, match="away"):
        queue.flush()
    place.error = None
    queue.flush()
    assert sorted(place.blocks.items()) == sorted(blocks[:count])
    assert all(queue.put(cid[2:], cid, data, wait=False) for cid, data in blocks[:1])


def test_no_more_is_under_way_and_held_than_allowed(place: Place) -> None:
    """A put beyond the capacity waits until a batch has arrived."""
    queue = UploadQueue(place.send, 10_000, 3)
    place.open.clear()
    most = 0

    def held() -> int:
        return sum(len(data) + 200 for _, data in queue._held.copy().values())

    def fill() -> None:
        nonlocal most
        for number in range(200):
            put(queue, b"%d" % number * 300)
            most = max(most, held())

    thread = threading.Thread(target=fill)
    thread.start()
    while place.under_way < 3 or held() < 38_000:
        time.sleep(0.001)
    assert thread.is_alive()
    place.open.set()
    thread.join(30)
    queue.flush()
    assert len(place.blocks) == 200
    assert place.most == 3
    assert most <= 40_000


def test_a_block_larger_than_a_batch(place: Place) -> None:
    """A block larger than a batch is sent."""
    queue = UploadQueue(place.send, 1000, 1)
    for size in (10, 5000, 900, 5000, 10):
        put(queue, bytes(size))
    queue.flush()
    assert sorted(map(len, place.blocks.values())) == [10, 900, 5000]


def test_what_failed_is_kept_for_the_next_flush(place: Place) -> None:
    """Blocks that could not be sent are kept for the next flush, however often it fails."""
    queue = UploadQueue(place.send, 10_000, 2)
    place.error = BackendUnavailableError("away")
    sent = {put(queue, data): data for data in (bytes([number]) * 300 for number in range(5))}
    for _ in range(3):
        with pytest.raises(BackendUnavailableError, match="away"):
            queue.flush()
        assert {cid: get(queue, cid) for cid in sent} == sent
    place.error = None
    queue.flush()
    assert place.blocks == sent
    put(queue, b"and on")


def test_what_failed_is_raised_by_the_next_put_too(place: Place) -> None:
    """An error is raised by one put. Later puts succeed while there is room, and each takes its block or not."""
    queue = UploadQueue(place.send, 1000, 1)
    place.error = BackendUnavailableError("away")
    taken: list[bytes] = []
    errors = 0
    for number in range(100):
        data = bytes([number]) * 300
        try:
            taken.append(put(queue, data))
        except BackendUnavailableError:
            errors += 1
            assert get(queue, cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, data))) is None
    assert errors > 90
    assert len(queue) == len(taken) < 6
    place.error = None
    queue.flush()
    assert sorted(place.blocks) == sorted(taken)


def test_an_error_of_the_sender_is_an_error_of_the_store(place: Place) -> None:
    """Any error of the sender becomes a CAStoreError. No call waits for ever, and no block is lost."""
    queue = UploadQueue(place.send, 1000, 2)
    place.error = ZeroDivisionError("bug")
    cid = put(queue, b"x")
    with pytest.raises(CAStoreError, match="ZeroDivisionError") as caught:
        queue.flush()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert get(queue, cid) == b"x"


def test_bytes_that_are_not_their_cids_do_not_hold_up_others(place: Place) -> None:
    """Blocks that are not what their CIDs name are dropped with an error that names them. The others arrive."""
    queue = UploadQueue(place.send, 1 << 20, 2)
    good = [put(queue, b"%d" % number) for number in range(5)]
    bad = cids.make(cids.RAW, bytes(32))
    queue.put(cids.multihash_of(bad), bad, b"evil")
    with pytest.raises(BlockCorruptError, match=f"{cids.to_text(bad)}, found others: 1 of the blocks"):
        queue.flush()
    assert get(queue, bad) is None
    queue.flush()
    assert sorted(place.blocks) == sorted(good)


def test_threads_put_and_flush_at_once(place: Place) -> None:
    """The blocks of a thread have arrived when its flush returns, though some requests fail."""
    queue = UploadQueue(place.send, 5000, 2)
    dice = random.Random(1)

    def flaky(pairs: Pairs) -> None:
        if dice.random() < 0.2:
            raise BackendUnavailableError("away for a moment")
        place.send(pairs)

    queue._send = flaky

    def insist(action: Callable[[], object]) -> None:
        while True:
            try:
                action()
            except BackendUnavailableError:
                continue
            return

    def work(thread: int) -> None:
        for number in range(60):
            data = b"%d of %d " % (number, thread) * 30
            insist(partial(put, queue, data))
            if number % 20 == 19:
                insist(queue.flush)
                assert cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, data)) in place.blocks

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    insist(queue.flush)
    assert len(place.blocks) == 480
    assert len(queue) == 0
    assert queue._bytes == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # it is what is tested
def test_a_fork_sends_what_was_under_way(place: Place) -> None:
    """The child of a fork sends the blocks of the parent, though the parent's threads are gone and held a lock."""
    queue = UploadQueue(place.send, 1000, 2)
    place.open.clear()
    sent = {put(queue, data): data for data in (bytes([number]) * 600 for number in range(3))}
    while place.under_way < 1:
        time.sleep(0.01)
    queue._lock.acquire()
    child = os.fork()
    if not child:
        place.open, place.lock = threading.Event(), threading.Lock()
        place.open.set()
        queue.flush()
        os._exit(0 if place.blocks == sent and len(queue) == 0 else 1)
    queue._lock.release()
    assert os.waitpid(child, 0)[1] == 0
    assert place.blocks == {}
    place.open.set()
    queue.flush()
    assert place.blocks == sent


# -- each block on its own, as buckets take them --


def test_each_block_is_sent_on_its_own_within_the_capacity(place: Place) -> None:
    """Blocks are sent one by one, many at a time. A put beyond the capacity waits."""
    queue = UploadQueue(place.send, 1, 8, capacity=20_000)
    place.open.clear()
    blocks = [b"%d" % number * 300 for number in range(100)]
    cid_of = {data: cids.make(cids.RAW, hashes.sha2_256(data)) for data in blocks}
    taken = 0
    while queue.put(cid_of[blocks[taken]][2:], cid_of[blocks[taken]], blocks[taken], wait=False):
        taken += 1
    assert 20_000 - 1000 < sum(len(data) + 200 for _, data in queue._held.values()) <= 20_000
    while place.under_way < 8:
        time.sleep(0.01)
    place.open.set()
    for data in blocks[taken:]:
        put(queue, data)
    queue.flush()
    assert place.blocks == {cid: data for data, cid in cid_of.items()}
    assert place.batches == [1] * 100
    assert place.most == 8


def test_a_place_that_is_down_is_not_asked_for_each_block(place: Place) -> None:
    """After as many failures as may be under way no more requests are made until the next flush."""
    queue = UploadQueue(place.send, 1, 4, capacity=1 << 20)
    place.open.clear()
    sent = [put(queue, b"%d" % number) for number in range(300)]
    place.error = BackendUnavailableError("away")
    tries = 0
    send = place.send

    def counted(pairs: Pairs) -> None:
        nonlocal tries
        tries += 1
        send(pairs)

    queue._send = counted
    place.open.set()
    for _ in range(3):
        tries = 0
        with pytest.raises(BackendUnavailableError, match="away"):
            queue.flush()
        # Threads of before the flush may still try: twice the 3 that failed and the 4 that are under way then.
        assert tries <= 14
    place.error = None
    queue.flush()
    assert sorted(place.blocks) == sorted(sent)
    assert len(queue) == 0


def test_puts_that_find_no_room_try_again_once_the_place_is_back(place: Place) -> None:
    queue = UploadQueue(place.send, 1, 4, capacity=10_000)
    place.error = BackendUnavailableError("away")

    def fill() -> None:
        for number in range(1000):
            put(queue, b"%d" % number * 100)

    with pytest.raises(BackendUnavailableError, match="away"):
        fill()
    with pytest.raises(BackendUnavailableError, match="away"):
        queue.flush()  # what was under way has failed too: no error of it is left for the puts below
    held = len(queue)
    place.error = None
    for number in range(2000, 2200):
        put(queue, b"%d" % number * 100)
    queue.flush()
    assert len(place.blocks) == held + 200


def test_a_flush_of_some_blocks_waits_for_these_alone() -> None:
    """And has those sent again that failed, and no others."""
    blocks = {data: cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, data)) for data in (b"held", b"1", b"2", b"3")}
    sent: list[bytes] = []
    broken = {b"1", b"2"}
    begin, hold = threading.Event(), threading.Event()

    def send(pairs: Pairs) -> None:
        ((_, data),) = pairs
        assert begin.wait(30)
        sent.append(data)
        if data in broken:
            raise BackendUnavailableError(f"no {data!r}")
        assert data != b"held" or hold.wait(30)

    queue = UploadQueue(send, batch_bytes=1, in_flight=8, capacity=1 << 20)
    for data, cid in blocks.items():
        queue.put(cid, cid, data)
    begin.set()
    queue.flush([blocks[b"3"]])
    for data in (b"1", b"2"):
        with pytest.raises(BackendUnavailableError, match=repr(data)):
            queue.flush([blocks[data]])
    broken.clear()
    sent.clear()
    queue.flush([blocks[b"2"], b"unknown"])
    assert sent == [b"2"]
    hold.set()
    queue.flush()
    assert sent == [b"2", b"1"]
    assert len(queue) == 0
