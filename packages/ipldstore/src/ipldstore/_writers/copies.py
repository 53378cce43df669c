"""A dataset out of a pickle, in another process: it notes what it changes, and sees what others note."""

from __future__ import annotations

from ipldstore.errors import store_errors

from .chain import is_same_content
from .changes import Change, Changes
from .notes import Content, decode_note
from .session_state import decode_state
from .shared import SharedDataset
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
        self._has_own = False
        """Whether notes of this process from before the copy have been taken in; later ones come without being read."""

    def catch_up(self, dataset: SharedDataset, *, reading: bool) -> None:
        """See :meth:`Sharing.catch_up`. Where notes conflict, the one read last counts; the coordinator will tell."""
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
            if any(number > self._positions.get(writer, 0) for writer, number in session.positions.items()):
                # Notes that were not read here are in a newer root, and may be deleted.
                dataset.rebase(session.root)
                self._positions, self._has_own = dict(session.positions), False
        changes: dict[str, Content] = {}
        for entry in self.writer.journal.entries(self._positions):
            self._positions[entry.writer] = entry.number
            if not (self._has_own and self.writer.is_own(entry.writer)):
                note = decode_note(entry.record)
                changes[note.key] = note.after
        dataset.apply(changes)
        self._has_own = True

    def remember_read(self, key: str, content: Content) -> None:
        """See :meth:`Sharing.remember_read`."""
        self.writer.remember_read(key, content)

    def record(self, dataset: SharedDataset, key: str, content: Content) -> None:
        """See :meth:`Sharing.record`."""
        self.catch_up(dataset, reading=False)
        self.writer.record(dataset, key, content)

    def renew_locks(self) -> None:
        """See :meth:`Sharing.renew_locks`: the child has other writers."""


class ForkSharing:
    """The sharing of a fork: it keeps its changes, which the task that made them returns.

    :param root: binary CID of the root that the fork began with
    :param changes: what it has changed already
    """

    notes_changes = True

    def __init__(self, root: bytes, changes: dict[str, Change] | None = None) -> None:
        self.root = root
        self._changes = dict(changes or {})
        self._reads: dict[str, Content] = {}

    def changes(self) -> Changes:
        """Return what the fork has changed."""
        return Changes(self.root, dict(self._changes))

    def recorded(self) -> dict[str, Change]:
        """Return the changes as a pickle carries them."""
        return dict(self._changes)

    def catch_up(self, dataset: SharedDataset, *, reading: bool) -> None:
        """See :meth:`Sharing.catch_up`: a fork does not see changes of others."""

    def remember_read(self, key: str, content: Content) -> None:
        """See :meth:`Sharing.remember_read`."""
        if key not in self._changes:
            self._reads[key] = content

    def record(self, dataset: SharedDataset, key: str, content: Content) -> None:
        """See :meth:`Sharing.record`."""
        known = self._changes.get(key)
        if known is not None:
            before, was_read = known.before, known.was_read
        else:
            was_read = key in self._reads
            before = self._reads.pop(key) if was_read else dataset.content_of(key)
        dataset.apply({key: content})
        if known is not None and not was_read and is_same_content(before, content):
            del self._changes[key]  # as if it had never been written
        else:
            self._changes[key] = Change(before, content, was_read)

    def renew_locks(self) -> None:
        """See :meth:`Sharing.renew_locks`: there are none."""
