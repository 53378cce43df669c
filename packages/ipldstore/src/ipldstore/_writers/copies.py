"""A dataset out of a pickle, in another process: it notes what it changes, and sees what others note."""

from __future__ import annotations

from ipldstore.errors import store_errors

from .chain import Conflict
from .notes import Content, decode_note
from .session_state import decode_state
from .shared import SharedDataset
from .take_in import resolve_notes
from .writer import SessionWriter


class CopySharing:
    """The sharing of a copy that writes through the journal of its session.

    :param writer: of this process
    :param positions: of each writer, up to which number its notes are in the root that the copy began with
    """

    notes_changes = True

    def __init__(self, writer: SessionWriter, positions: dict[str, int]) -> None:
        self.writer = writer
        self._positions = dict(positions)
        self._mark: object = None

    def catch_up(self, dataset: SharedDataset, *, reading: bool) -> None:
        """See :meth:`Sharing.catch_up`. Where notes conflict, any of their ends counts; the coordinator will tell."""
        with store_errors("reading the notes of writers"):
            if self._look() == self._mark:
                return
            with self.writer.lock:
                while True:
                    mark = self._look()
                    self._take_in(dataset, mark[0])
                    if self._look()[0] == mark[0]:  # else notes may have been deleted before they were read
                        break
                self._mark = mark

    def _look(self) -> tuple[bytes | None, object]:
        """Return the state of the session, and what changes with each note."""
        return self.writer.journal.state, self.writer.journal.mark()

    def _take_in(self, dataset: SharedDataset, state: bytes | None) -> None:
        if state is not None:
            session = decode_state(state)
            if session.done:
                dataset.rebase(session.root)
                return
            if any(number > self._positions.get(writer, 0) for writer, number in session.positions.items()):
                # Notes that were not read here are in a newer root, and may be deleted.
                dataset.rebase(session.root)
                self._positions = dict(session.positions)
        notes = ((entry.writer, decode_note(entry.record)) for entry in self.writer.journal.entries(self._positions))
        taken = resolve_notes(notes, dataset.content_of, _last_end)
        dataset.apply(taken.changes)
        self._positions |= taken.positions

    def remember_read(self, key: str, content: Content) -> None:
        """See :meth:`Sharing.remember_read`."""
        self.writer.remember_read(key, content)

    def record(self, dataset: SharedDataset, key: str, content: Content) -> None:
        """See :meth:`Sharing.record`."""
        self.catch_up(dataset, reading=False)
        self.writer.record(dataset, key, content)

    def renew_locks(self) -> None:
        """See :meth:`Sharing.renew_locks`: the child of a process is another writer."""
        self.writer.renew()


def _last_end(conflict: Conflict) -> Content:
    return list(conflict.ends.values())[-1]
