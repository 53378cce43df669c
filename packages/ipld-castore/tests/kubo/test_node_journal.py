"""The journal of a session on a node: pins that keep blocks, and the state that moves with one winner."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from ipld_car import cids
from ipld_castore import BackendUnavailableError, Entry, IPFSStore, Journal, SupportsJournal
from ipld_castore._kubo import pins
from ipld_castore.testing import BlockServer, JournalTests

from ..support.fault_proxy import Exchange, FaultProxy, Request, right
from ..support.proxy_faults import lost_answer, lost_request

SESSION = "5e55"
A = "aa"


@pytest.fixture
def served() -> Iterator[IPFSStore]:
    """A store over the test server."""
    with BlockServer() as server, IPFSStore(server.url) as store:
        yield store


@pytest.fixture
def node(kubo: Any) -> Iterator[IPFSStore]:
    """A store over a real node, which has no session."""
    with IPFSStore(kubo.url) as store:
        yield store
    kubo.empty()


class TestServed(JournalTests):
    processes, exchanges, appends = 2, 2, 5

    @pytest.fixture
    def castore(self, served: IPFSStore) -> SupportsJournal:
        return served


@pytest.mark.slow
@pytest.mark.kubo
class TestNode(JournalTests):
    exchanges, appends = 5, 20

    @pytest.fixture
    def castore(self, node: IPFSStore) -> SupportsJournal:
        return node


@pytest.fixture
def journal(node: IPFSStore) -> Journal:
    journal = node.journal(SESSION)
    assert journal.exchange(None, b"begun")
    return journal


@pytest.mark.kubo
def test_one_of_many_moves_the_state(node: IPFSStore) -> None:
    """The probe of the node itself: 32 that expect one state."""
    start = Barrier(32)

    def move(number: int) -> bool:
        journal = node.journal(SESSION)
        state = journal.state
        start.wait()
        return journal.exchange(state, b"%d %d" % (number, turn))

    assert node.journal(SESSION).exchange(None, b"begun")
    with ThreadPoolExecutor(32) as pool:
        for turn in range(3):
            won = list(pool.map(move, range(32)))
            assert won.count(True) == 1
            assert node.journal(SESSION).state == b"%d %d" % (won.index(True), turn)


@pytest.mark.kubo
def test_of_those_who_begin_a_session_at_once_one_at_most_succeeds(node: IPFSStore) -> None:
    start = Barrier(8)

    def begin(number: int) -> bool:
        start.wait()
        return node.journal(SESSION).exchange(None, b"%d" % number)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(begin, range(8)))
    state = node.journal(SESSION).state
    assert won.count(True) <= 1
    assert state == (b"%d" % won.index(True) if any(won) else None)


@pytest.mark.kubo
def test_a_node_that_is_killed_while_it_moves_the_state(node: IPFSStore) -> None:
    """It has pinned the new state, and not unpinned the one before: all see the new one, and the other goes."""
    mover, knows = node.journal(SESSION), node.journal(SESSION)
    assert mover.exchange(None, b"begun")
    assert knows.state == b"begun"
    ((before, name),) = node.pins()
    assert mover.exchange(b"begun", b"moved")
    node.pin(before, name)  # what is left then
    assert node.journal(SESSION).state == b"moved"
    assert knows.state == b"moved"
    assert not knows.exchange(b"begun", b"lost")
    assert knows.exchange(b"moved", b"on")
    ((_, left),) = node.pins()
    assert left == name


@pytest.mark.kubo
@pytest.mark.usefixtures("node")
def test_a_move_of_the_state_that_is_not_answered(kubo: Any) -> None:
    """It is looked up, and taken neither for another's nor for a success; if that fails too, the next look tells."""

    def call(command: str) -> Callable[[Request], bool]:
        return lambda request: request.path.endswith(command)

    with FaultProxy(kubo.url) as proxy, IPFSStore(proxy.url) as store:
        journal = store.journal(SESSION)
        assert journal.exchange(None, b"0")
        proxy.inject(lost_answer, when=call("pin/update"))
        assert journal.exchange(b"0", b"1")
        proxy.inject(lost_request, when=call("pin/update"))
        with pytest.raises(BackendUnavailableError):
            journal.exchange(b"1", b"2")
        assert journal.exchange(b"1", b"2")
        proxy.inject(lost_answer, when=call("pin/update"))
        with pytest.raises(BackendUnavailableError):
            _lose_looks_after_a_move(proxy, lambda: journal.exchange(b"2", b"3"))
        assert journal.state == b"3"
        assert not journal.exchange(b"2", b"4")
        assert len(list(store.pins())) == 1


def _lose_looks_after_a_move(proxy: FaultProxy, action: Callable[[], object]) -> None:
    """Let no listing of pins be answered once a state is moved."""

    async def lose(exchange: Exchange) -> None:
        moved = any(request.path.endswith("pin/update") for request in proxy.requests)
        await (lost_request if moved and exchange.request.path.endswith("pin/ls") else right)(exchange)

    proxy.requests.clear()
    proxy.inject_always(lose)
    try:
        action()
    finally:
        proxy.clear()


@pytest.mark.kubo
def test_records_keep_the_blocks_that_they_name(node: IPFSStore, kubo: Any, journal: Journal) -> None:
    """From the node's collection, until they are deleted."""
    named = node.put(random.Random(5).randbytes(3 << 20))  # a UnixFS file
    other = node.put_raw(b"not named")
    node.flush()
    below = [bytes(cid) for cid, _ in node.get_dag(named)]
    assert len(below) > 2
    journal.append(A, 1, [b"one"], [bytes(named)])
    kubo.run("repo", "gc", "--quiet")
    assert all(node.has_blocks(map(cids.from_validated, below)))
    assert other not in node
    assert list(journal.entries({})) == [Entry(A, 1, b"one")]
    journal.delete({A: 1})
    kubo.run("repo", "gc", "--quiet")
    assert named not in node


@pytest.mark.kubo
@pytest.mark.usefixtures("node")
def test_a_record_whose_block_is_missing_is_an_error(kubo: Any) -> None:
    """As one that was collected before its record was there: the writer is told, and nothing counts."""
    with IPFSStore(kubo.url, timeout=1) as impatient:
        lost = impatient.put_raw(b"lost")
        impatient.flush()
        impatient.delete_block(lost)
        journal = impatient.journal(SESSION)
        with pytest.raises(BackendUnavailableError, match=r"one is lost|could not find"):
            journal.append(A, 1, [b"one"], [bytes(lost)])
    assert list(journal.entries({})) == []


def test_records_of_many_threads_are_put_together(served: IPFSStore) -> None:
    """Those that wait while others are put; and all are there, whatever the order in which they came."""
    journal = served.journal(SESSION)
    assert journal.exchange(None, b"begun")
    numbers = itertools.count(1)
    start = Barrier(16)

    def append(_: int) -> None:
        start.wait()
        number = next(numbers)
        journal.append(A, number, [b"%d" % number])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(append, range(16)))
    assert list(journal.entries({})) == [Entry(A, number, b"%d" % number) for number in range(1, 17)]
    assert list(served.journal(SESSION).entries({A: 14})) == [Entry(A, 15, b"15"), Entry(A, 16, b"16")]


def test_one_record_that_fails_takes_no_other_with_it(served: IPFSStore) -> None:
    """Of those that were put together; those before the gap count."""
    journal = served.journal(SESSION)
    lost = served.put_raw(b"lost")
    served.flush()
    served.delete_block(lost)
    start = Barrier(8)

    def append(number: int) -> Exception | None:
        start.wait()
        try:
            journal.append(A, number, [b"%d" % number], [bytes(lost)] if number == 5 else [])
        except BackendUnavailableError as error:
            return error
        return None

    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(append, range(1, 9)))
    assert [error is None for error in errors] == [number != 5 for number in range(1, 9)]
    assert [entry.number for entry in journal.entries({})] == [1, 2, 3, 4]
    assert [entry.number for entry in journal.entries({A: 5})] == [6, 7, 8]


def test_leftovers_of_a_deleted_session(served: IPFSStore) -> None:
    """A writer that did not know appends: its record is unpinned when it is old; those of a session stay."""
    journal, other = served.journal(SESSION), served.journal("07e4")
    for each in (journal, other):
        assert each.exchange(None, b"begun")
        each.append(A, 1, [b"one"])
    journal.remove()
    journal.append(A, 2, [b"two"])
    assert list(served.sessions()) == ["07e4"]
    served.delete_leftovers(served.now() - 60)
    assert list(journal.entries({A: 1})) == [Entry(A, 2, b"two")]
    served.delete_leftovers(served.now() + 60)
    assert list(journal.entries({A: 1})) == []
    assert list(other.entries({})) == [Entry(A, 1, b"one")]


def test_a_session_that_listings_leave_out_is_there(served: IPFSStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node's listing lacks a state that moves meanwhile, time after time on a node with many pins."""
    journal = served.journal(SESSION)
    assert journal.exchange(None, b"begun")
    journal.append(A, 1, [b"one"])
    list_pins = pins.all_pins

    def moving(rpc: Any, name_part: str = "") -> Iterator[pins.Pin]:
        there = list(list_pins(rpc, name_part))
        return (pin for pin in there if not (pin.name.endswith("/state") and next(left, 0)))

    monkeypatch.setattr(pins, "all_pins", moving)
    left = iter([True] * 6)
    assert list(served.sessions()) == [SESSION]
    left = iter([True] * 6)
    assert served.journal(SESSION).state == b"begun"
