"""The coordinator of a session: takes the notes of its writers into the tree that it holds."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

from ipld_car import cids
from ipld_castore import Journal, SupportsJournal

from ipldstore.errors import ConflictError, store_errors

from .notes import Note, decode_note
from .session_state import SessionState, decode_state, encode_state
from .shared import SharedDataset
from .take_in import OnConflict, resolve_notes

_NAME_BYTES: Final = 16


class Coordinator:
    """One session, held by the process whose dataset it is. The caller sees to it that one thread at a time calls.

    :param journal: the journal of the session
    :param name: the name of the session
    :param state: what the session has come to
    """

    def __init__(self, journal: Journal, name: str, state: SessionState) -> None:
        self.name = name
        self._journal = journal
        self._state = state
        self._taken = dict(state.positions)
        """Of each writer, up to which number its notes are in the tree."""
        self._mark: object = None
        self._choices: dict[str, str] = {}

    @classmethod
    def begin(cls, castore: SupportsJournal, root: bytes) -> Coordinator:
        """Begin a session.

        :param root: binary CID of the contents that copies begin with
        """
        name = secrets.token_hex(_NAME_BYTES)
        state = SessionState(root, {}, secrets.token_hex(_NAME_BYTES), ended=False)
        journal = castore.journal(name)
        with store_errors("beginning a session of several writers"):
            if not journal.exchange(None, encode_state(state)):
                raise ConflictError(f"expected no session {name}, found one")
        return cls(journal, name, state)

    @classmethod
    def recover(cls, castore: SupportsJournal, name: str) -> Coordinator:
        """Take over a session whose coordinator is gone; if it is not, its next freeze fails.

        :raises KeyError: if there is no such session
        """
        journal = castore.journal(name)
        with store_errors(f"recovering the session {name}"):
            while True:
                found = journal.state
                if found is None:
                    raise KeyError(name)
                state = decode_state(found)._replace(owner=secrets.token_hex(_NAME_BYTES))
                if journal.exchange(found, encode_state(state)):
                    return cls(journal, name, state)

    @property
    def root(self) -> bytes:
        """Binary CID of the root that copies begin with, which has the notes up to :attr:`positions`."""
        return self._state.root

    @property
    def positions(self) -> dict[str, int]:
        """Of each writer, up to which number its notes are in :attr:`root`."""
        return self._state.positions

    def choose(self, key: str, writer: str) -> None:
        """Decide a conflict of a key: the content that a writer gave it counts."""
        self._choices[key] = writer

    def take_in(self, target: SharedDataset, on_conflict: OnConflict = "raise") -> None:
        """Take in what writers have noted since the last time.

        :raises ConflictError: if notes of a key do not follow each other; then nothing has changed
        :raises IPLDStoreError: if the journal cannot be read
        """
        with store_errors("reading the notes of writers"):
            mark = self._journal.mark()
            if mark == self._mark:
                return
            taken = resolve_notes(self._notes(), target.content_of, on_conflict, self._choices)
        target.apply(taken.changes)
        self._taken.update(taken.positions)
        self._mark = mark

    def _notes(self) -> Iterator[tuple[str, Note]]:
        return ((entry.writer, decode_note(entry.record)) for entry in self._journal.entries(self._taken))

    def publish(self, root: bytes) -> None:
        """Move the session to a root that has all that was taken in, and delete the notes that are in it.

        :raises ConflictError: if somebody else has taken the session over
        """
        state = self._state._replace(root=root, positions=dict(self._taken))
        self._exchange(state)
        with store_errors("deleting notes that were taken in"):
            self._journal.delete(state.positions)

    def end(self) -> None:
        """Refuse writers from now on; what they have noted until now can still be taken in.

        The object of the session stays until it is compacted: copies find there which root has what they lack.
        """
        self._exchange(self._state._replace(ended=True))

    def remove(self) -> None:
        """Delete the session, which has ended, and of which all is taken in and frozen."""
        with store_errors("deleting a session that has ended"):
            self._journal.remove()

    def _exchange(self, state: SessionState) -> None:
        if state == self._state:
            return
        with store_errors("writing the state of a session"):
            done = self._journal.exchange(encode_state(self._state), encode_state(state))
        if not done:
            raise ConflictError(
                f"expected the session {self.name} as this process left it, at {cids.to_text(self._state.root)}; "
                f"found that another process has taken it over or deleted it. The changes are still here: freeze them "
                f"with another store, or set_root and write them again"
            )
        self._state = state
