"""The order in which the notes of one writer count, where threads end and give up groups at the same moment."""

from __future__ import annotations

import threading

import pytest
from ipldstore._writers.notes import Note
from ipldstore._writers.noting.sequence import NoteGroup, NoteSequence

NOTE = Note(0, "a/c/0", None, b"", was_read=False, confirmed=0)


def begun(sequence: NoteSequence) -> NoteGroup:
    """Return a group whose record and whose block are under way."""
    group = NoteGroup()
    group.add([NOTE])
    sequence.begin(group)
    return group


@pytest.mark.parametrize("given_up", [0, 1])
def test_a_group_that_is_given_up_while_it_arrives(monkeypatch: pytest.MonkeyPatch, given_up: int) -> None:
    """Its note is put again, which voids all behind it: they must not have been told that they are there."""
    sequence = NoteSequence()
    groups = [begun(sequence) for _ in range(3)]
    for group in groups[1:]:
        group.record_arrived()
    settle = NoteGroup.settle
    threads: list[threading.Thread] = []

    def settle_late(group: NoteGroup, is_there: bool, error: str | None = None) -> None:
        if is_there and not threads:
            threads.append(threading.Thread(target=groups[given_up].fail))
            threads[0].start()
            threads[0].join(0.1)
        settle(group, is_there, error)

    monkeypatch.setattr(NoteGroup, "settle", settle_late)
    groups[0].record_arrived()
    threads[0].join()
    told = [group.is_known_to_be_there for group in groups]
    assert told == sorted(told, reverse=True), "none behind one that is put again"


def test_groups_behind_one_that_is_given_up() -> None:
    sequence = NoteSequence()
    groups = [begun(sequence) for _ in range(3)]
    groups[1].fail("refused")
    for group in groups:
        group.record_arrived()
    assert [group.is_known_to_be_there for group in groups] == [True, False, False]
    assert not groups[2].wait()
    assert sequence.is_settled()


def test_each_group_waits_for_records_alone() -> None:
    """A later record confirms those whose blocks are there too, up to the first one of which one is missing."""
    sequence = NoteSequence()
    first, second, third = (begun(sequence) for _ in range(3))
    second.record_arrived()
    second.block_arrived()
    assert not second.is_known_to_be_there
    first.record_arrived()
    assert first.is_known_to_be_there
    assert second.is_known_to_be_there
    assert sequence.begin(NoteGroup()) == 0
    first.block_arrived()
    assert sequence.begin(NoteGroup()) == 2
    third.block_arrived()
    assert sequence.begin(NoteGroup()) == 2


def test_an_id_of_which_a_block_has_failed() -> None:
    """Groups that have begun go on. The next id waits for their records: its notes may repeat some of them."""
    sequence = NoteSequence()
    groups = [begun(sequence) for _ in range(2)]
    groups[1].record_arrived()
    sequence.end()
    assert sequence.has_ended
    assert not sequence.is_settled()
    assert not groups[1].is_known_to_be_there
    groups[0].record_arrived()
    assert sequence.is_settled()
    assert groups[1].is_known_to_be_there
    late = begun(sequence)
    assert not late.wait()


def test_very_many_ids_in_a_row() -> None:
    """As when each of many groups is given up behind a request that hangs: their line is followed without recursion."""
    sequence = first = NoteSequence()
    hanging = begun(first)
    begun(first).fail()
    for _ in range(5000):
        sequence = NoteSequence(sequence)
        begun(sequence).fail()
    assert not first.is_settled()
    sequence.fail_stopped(None)
    hanging.record_arrived()
    assert first.is_settled()
    sequence.wait_for_predecessor()
    assert sequence.predecessor is None
