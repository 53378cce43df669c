"""Tests of a journal: records of several writers, the state of a session, processes that race or are killed."""
# ruff: noqa: S101  # assert is how pytest speaks

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
from contextlib import ExitStack

import pytest

from ipld_castore._core.journal import Entry, Journal, SupportsJournal
from ipld_castore.errors import BackendUnavailableError

SESSION = "5e55"
A, B = "aa", "bb"
EVERYTHING = [
    Entry(A, 1, b"one"),
    Entry(A, 2, b"two"),
    Entry(A, 3, b"three"),
    Entry(B, 1, b""),
    Entry(B, 2, bytes(5000)),
]

_EXCHANGE = """
    import pickle, sys
    journal = pickle.loads(sys.stdin.buffer.read()).journal(sys.argv[1])
    for _ in range(int(sys.argv[2])):
        while True:
            state = journal.state
            if journal.exchange(state, b"%d" % (int(state) + 1)):
                break
"""

_APPEND = """
    import pickle, sys
    journal = pickle.loads(sys.stdin.buffer.read()).journal(sys.argv[1])
    number = 0
    while True:
        number += 1
        journal.append("cc", number, [b"%d" % number * 1000])
        print(number, flush=True)
"""


def _start(program: str, castore: SupportsJournal, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a process that gets the store as a pickle."""
    command = [sys.executable, "-c", textwrap.dedent(program), SESSION, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  # our own
    assert process.stdin is not None
    process.stdin.write(pickle.dumps(castore))
    process.stdin.close()
    return process


class JournalTests:
    """The conformance suite of every :class:`~ipld_castore.SupportsJournal`. Subclass it; pytest collects that.

    The subclass overrides the fixture ``castore``, which gives a new, empty store. Other processes get pickles of it.
    """

    processes: int = 4
    """Processes that exchange the state at the same time."""
    exchanges: int = 20
    """How often each process exchanges the state; set smaller numbers where an exchange takes long."""
    appends: int = 200
    """Records that a process has appended before it is killed."""

    @pytest.fixture
    def castore(self) -> SupportsJournal:
        """Return a new, empty store."""
        raise NotImplementedError(
            "expected the subclass to override the fixture castore, which returns a new, empty store"
        )

    @pytest.fixture
    def journal(self, castore: SupportsJournal) -> Journal:
        """Return the journal of a session that has begun."""
        made = castore.journal(SESSION)
        assert made.exchange(None, b"begun")
        return made

    def test_the_store_has_journals(self, castore: SupportsJournal) -> None:
        """``isinstance`` tells so, of a copy too."""
        assert isinstance(castore, SupportsJournal)
        assert isinstance(pickle.loads(pickle.dumps(castore)), SupportsJournal)  # noqa: S301  # our own
        assert list(castore.sessions()) == []
        assert castore.journal(SESSION).state is None

    def test_records_of_several_writers(self, castore: SupportsJournal, journal: Journal) -> None:
        """Those of a writer are in order; what one reader knows is not lost to the next."""
        before = journal.mark()
        journal.append(A, 1, [b"one", b"two"])
        journal.append(B, 1, [b"", bytes(5000)])
        journal.append(A, 3, [b"three"])
        after = journal.mark()
        assert after != before
        assert after == castore.journal(SESSION).mark()
        for reader in (journal, castore.journal(SESSION)):
            assert list(reader.entries({})) == EVERYTHING
            assert list(reader.entries({A: 2, B: 2}, after)) == [Entry(A, 3, b"three")]
            assert list(reader.entries({}, after)) == EVERYTHING

    def test_a_reader_that_stopped_goes_on(self, castore: SupportsJournal, journal: Journal) -> None:
        """From where ``after`` says, not from where it stopped."""
        journal.append(A, 1, [b"one", b"two", b"three"])
        journal.append(B, 1, [b"", bytes(5000)])
        for reader in (journal, castore.journal(SESSION)):
            assert next(iter(reader.entries({A: 3}))) == Entry(B, 1, b"")
            assert list(reader.entries({A: 3})) == EVERYTHING[3:]

    def test_records_that_are_known_may_be_deleted(self, castore: SupportsJournal, journal: Journal) -> None:
        """Those that are not known stay, and appending goes on."""
        journal.append(A, 1, [b"one", b"two", b"three"])
        journal.append(B, 1, [b"", bytes(5000)])
        journal.delete({A: 2})
        reader = castore.journal(SESSION)
        assert list(reader.entries({A: 2})) == EVERYTHING[2:]
        journal.delete({A: 3, B: 2})
        journal.append(A, 4, [b"four"])
        assert list(reader.entries({A: 3, B: 2})) == [Entry(A, 4, b"four")]

    def test_a_record_that_is_too_large(self, journal: Journal) -> None:
        """Its writer may go on with smaller ones."""
        with pytest.raises(ValueError, match="at most 1048576 bytes"):
            journal.append(A, 1, [bytes((1 << 20) + 1)])
        journal.append(A, 1, [bytes(1 << 20)])
        assert list(journal.entries({})) == [Entry(A, 1, bytes(1 << 20))]

    def test_the_state_moves_by_exchange_alone(self, castore: SupportsJournal, journal: Journal) -> None:
        """Only from the expected one; a session that begins expects none."""
        other = castore.journal(SESSION)
        assert not other.exchange(None, b"also begun")
        assert not other.exchange(b"something else", b"x")
        assert other.exchange(b"begun", b"one")
        assert not journal.exchange(b"begun", b"two")
        assert journal.state == b"one"
        assert 0 <= journal.age() < 3600
        assert list(castore.sessions()) == [SESSION]

    def test_a_session_that_was_removed(self, castore: SupportsJournal, journal: Journal) -> None:
        """Neither its state nor a record is there, and no exchange begins it again."""
        journal.append(A, 1, [b"one"])
        journal.remove()
        assert journal.state is None
        assert list(castore.sessions()) == []
        for each in (journal, castore.journal(SESSION)):
            assert not each.exchange(b"begun", b"two")
            assert list(each.entries({})) == []
            with pytest.raises(BackendUnavailableError):
                each.age()

    def test_writers_that_were_stopped(self, castore: SupportsJournal, journal: Journal) -> None:
        """What they had appended is there. Where the journal refuses their next append, it fails; others look."""
        journal.append(A, 1, [b"one"])
        other = castore.journal(SESSION)
        other.stop_writers({})
        other.stop_writers({A: 1})
        if journal.refuses_stopped:
            with pytest.raises(BackendUnavailableError):
                journal.append(A, 2, [b"two"])
        for reader in (journal, other, castore.journal(SESSION)):
            assert list(reader.entries({})) == [Entry(A, 1, b"one")]
        journal.remove()
        assert journal.state is None
        assert list(castore.sessions()) == []

    def test_sessions_do_not_mix(self, castore: SupportsJournal, journal: Journal) -> None:
        """Records and states are those of one session."""
        other = castore.journal("07e4")
        assert other.state is None
        assert other.exchange(None, b"other")
        journal.append(A, 1, [b"one"])
        assert list(other.entries({})) == []
        assert sorted(castore.sessions()) == ["07e4", SESSION]
        other.remove()
        assert journal.state == b"begun"
        assert list(journal.entries({})) == [Entry(A, 1, b"one")]

    def test_one_of_many_processes_wins_an_exchange(self, castore: SupportsJournal, journal: Journal) -> None:
        """A counter that processes exchange at the same time has counted each exchange."""
        assert journal.exchange(b"begun", b"0")
        with ExitStack() as stack:
            running = [
                stack.enter_context(_start(_EXCHANGE, castore, str(self.exchanges))) for _ in range(self.processes)
            ]
            assert [process.wait() for process in running] == [0] * self.processes
        assert journal.state == b"%d" % (self.processes * self.exchanges)

    def test_a_killed_writer_has_lost_nothing_that_it_appended(
        self, castore: SupportsJournal, journal: Journal
    ) -> None:
        """All records whose append had returned are there and whole, and at most some more."""
        with _start(_APPEND, castore) as process:
            assert process.stdout is not None
            for _ in range(self.appends):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
            reported = [int(line) for line in process.stdout.read().split()]
        entries = list(journal.entries({}))
        assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
        assert len(entries) >= max(reported, default=self.appends)
        assert all(entry.record == b"%d" % entry.number * 1000 for entry in entries)
