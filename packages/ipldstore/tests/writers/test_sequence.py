"""The order in which the notes of one writer count, where threads end and give up groups at the same moment."""

from __future__ import annotations

import threading

import pytest
from ipldstore._writers.notes import Note
from ipldstore._writers.noting.sequence import NoteGroup, NoteSequence

NOTE = Note(0, "a/c/0", None, b"", was_read=False, confirmed=0)


def begun(sequence: NoteSequence) -> NoteGroup:
    """Return a group whose record is there, but no block."""
    group = NoteGroup()
    group.add([NOTE])
    sequence.begin(group)
    group.part_arrived()
    return group


@pytest.mark.parametrize("given_up", [0, 1])
def test_a_group_that_is_given_up_while_it_arrives(monkeypatch: pytest.MonkeyPatch, given_up: int) -> None:
    """Its note is put again, which voids all behind it: they must not have been told that they are there."""
    sequence = NoteSequence()
    groups = [begun(sequence) for _ in range(3)]
    for group in groups[1:]:
        group.part_arrived()
    settle = NoteGroup.settle
    threads: list[threading.Thread] = []

    def settle_late(group: NoteGroup, is_there: bool, error: str | None = None) -> None:
        if is_there and not threads:
            threads.append(threading.Thread(target=groups[given_up].fail))
            threads[0].start()
            threads[0].join(0.1)
        settle(group, is_there, error)

    monkeypatch.setattr(NoteGroup, "settle", settle_late)
    groups[0].part_arrived()
    threads[0].join()
    told = [group.is_known_to_be_there for group in groups]
    assert told == sorted(told, reverse=True), "none behind one that is put again"


def test_groups_behind_one_that_is_given_up() -> None:
    sequence = NoteSequence()
    groups = [begun(sequence) for _ in range(3)]
    groups[1].fail("refused")
    for group in groups:
        group.part_arrived()
    assert [group.is_known_to_be_there for group in groups] == [True, False, False]
    assert not groups[2].wait()
    assert sequence.is_settled()


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
    hanging.part_arrived()
    assert first.is_settled()
    sequence.wait_for_predecessor()
    assert sequence.predecessor is None
