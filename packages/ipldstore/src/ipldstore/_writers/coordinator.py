"""The coordinator of a session: takes the notes of its writers into the tree that it holds."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from ipld_car import cids
from ipld_castore import Journal, SupportsJournal

from ipldstore.errors import ConflictError, store_errors

from .attempts import CLOSED
from .chain import Conflict
from .looking import Look, look_at, look_with_repeated
from .moments import Moment
from .notes import WHOLE_SECONDS
from .session_state import SessionState, decode_state, encode_state
from .shared import SharedDataset
from .take_in import OnConflict, TakenIn, resolve_notes, take_in_twice

_NAME_BYTES: Final = 16
_POLL_SECONDS: Final = 0.05
_DELETING: Final = "deleting notes that were taken in"
"""What is done, for errors."""


def stop_writers(journal: Journal, taken: Mapping[str, int]) -> object:
    """Stop the writers of a session that has ended: their next notes fail.

    :param taken: by writer, the number of its last note that was taken in
    :returns: the mark of the journal with all notes that count; None if it is not known
    """
    known = {writer: number for writer, number in taken.items() if number < CLOSED}
    with store_errors("stopping the writers of a session"):
        return journal.stop_writers(known)


class Coordinator:
    """One session, held by the process whose dataset it is. Not safe with threads: the caller holds a lock.

    :param journal: the journal of the session
    :param name: the name of the session
    :param state: what the session has come to
    """

    def __init__(self, journal: Journal, name: str, state: SessionState) -> None:
        self.name = name
        self._journal = journal
        self._state = state
        self._taken = dict(state.positions)
        """By writer, the number of its last record that was taken in."""
        self._late = state.late
        """Writers and their notes up to there whose blocks were not there."""
        self._mark: object = None
        self._mark_at_stop: object = None
        """The mark when all writers had been stopped, until it has been looked at."""
        self._deleting: Future[None] | None = None
        """The deletion of the notes that the last root has."""
        self._unanswered: list[SessionState] = []
        """States that failed calls were to move the session to: whether they did is unknown."""
        self._choices: dict[str, str] = {}
        self._stopped: Moment | None = None
        """When all writers had been stopped by their numbers; blocks of their notes may still be on their way."""
        self.is_lost = False
        """Whether another process has taken the session over."""

    @classmethod
    def begin(
        cls,
        castore: SupportsJournal,
        root: bytes,
        head: bytes | None,
        *,
        moves_head: bool,
        head_name: str | None = None,
    ) -> Coordinator:
        """Begin a session.

        :param root: binary CID of the contents that copies begin with
        :param head: binary CID of the head that the coordinator moves on when it freezes
        :param moves_head: whether it moves one
        :param head_name: see :attr:`SessionState.head_name`
        """
        name = secrets.token_hex(_NAME_BYTES)
        state = SessionState(root, {}, secrets.token_hex(_NAME_BYTES), False, head, moves_head, head_name=head_name)
        journal = castore.journal(name)
        with store_errors("beginning a session of several writers"):
            if not journal.exchange(None, encode_state(state)):
                raise ConflictError(f"expected no session {name}, found one")
        return cls(journal, name, state)

    @classmethod
    def recover(cls, castore: SupportsJournal, name: str) -> Coordinator | None:
        """Take over a session whose coordinator is gone. If the coordinator still runs, its next freeze fails.

        :returns: the coordinator; None if the session does not exist
        """
        journal = castore.journal(name)
        with store_errors(f"recovering the session {name}"):
            while True:
                found = journal.state
                if found is None:
                    return None
                state = decode_state(found)._replace(owner=secrets.token_hex(_NAME_BYTES))
                if journal.exchange(found, encode_state(state)):
                    return cls(journal, name, state)

    @property
    def is_remote(self) -> bool:
        """Whether looking for notes is a request to a server."""
        return self._journal.is_remote

    def choose(self, key: str, writer: str) -> None:
        """Decide a conflict of a key: the content that a writer gave it counts."""
        self._choices[key] = writer

    def take_in(self, target: SharedDataset, on_conflict: OnConflict = "raise") -> None:
        """Take in what writers have noted since the last time.

        :raises ConflictError: if notes of a key do not follow each other; then nothing has changed
        :raises IPLDStoreError: if the journal cannot be read
        """
        mark: object = None

        def look() -> Look | None:
            nonlocal mark
            while True:
                is_last = not self._waits_for_blocks
                mark = self._look()
                if (mark == self._mark and not self._late) or self._state.done:
                    return None
                found = look_at(self._journal.entries(self._taken, mark), self._late, target.has_blocks)
                if is_last or not found.late:
                    return found
                time.sleep(_POLL_SECONDS)

        def resolve(found: Look, known: list[Conflict] | None) -> TakenIn:
            with target.lock:  # no key changes between the look at its content and the change
                there, late = found
                content_of, choices = target.content_of, self._choices
                taken = resolve_notes(
                    there, content_of, on_conflict, choices, late=late, taken=self._taken, known=known
                )
                if not taken.doubtful:
                    target.apply(taken.changes)
            return taken

        with store_errors("reading the notes of writers"):
            taken = take_in_twice(lambda: look_with_repeated(look, self._taken), resolve)
        if taken is not None:
            self._taken.update(taken.positions)
            self._late, self._mark = taken.late, mark

    def _look(self) -> object:
        """Return the mark of the journal, without a request where stopping the writers has just told it."""
        mark, self._mark_at_stop = self._mark_at_stop, None
        return self._journal.mark() if mark is None else mark

    @property
    def _waits_for_blocks(self) -> bool:
        """Whether a block may still arrive whose writer does not look at the session any more; see WHOLE_SECONDS."""
        return self._stopped is not None and self._stopped.age <= WHOLE_SECONDS

    @property
    def state(self) -> SessionState:
        """The state of the session."""
        return self._state

    def publish(self, root: bytes, head: bytes | None) -> None:
        """Move the session to a root that has all that was taken in, and delete the notes that are in it.

        Where that is a request, and the session has ended, :meth:`finish` waits for the end of that.

        :param head: the head that freezing moves on, as it is now
        :raises ConflictError: if another process has taken the session over
        """
        state = self._state._replace(root=root, positions=dict(self._taken), late=self._late, head=head)
        self._exchange(state)
        if self.is_remote and state.ended:
            pool = ThreadPoolExecutor(1)
            self._deleting = pool.submit(self._journal.delete, state.positions)
            pool.shutdown(wait=False)
        else:
            with store_errors(_DELETING):
                self._journal.delete(state.positions)

    def end(self, target: SharedDataset) -> None:
        """Refuse writers from now on; what they have noted until now can still be taken in.

        Where looking for notes is a request, notes are taken in meanwhile; those that conflict are left to the next
        call. The object of the session stays until it is compacted: copies find there which root has what they lack.

        :raises ConflictError: if another process has taken the session over
        """
        if self.is_remote:
            self._mark_at_stop = self._refuse_beside_take_in(target)
        else:
            self._refuse_notes(self._taken)
        if self._stopped is None and self._journal.refuses_stopped:
            self._stopped = Moment.now()

    def _refuse_beside_take_in(self, target: SharedDataset) -> object:
        with ThreadPoolExecutor(1) as pool:
            refusing = pool.submit(self._refuse_notes, dict(self._taken))
            try:
                with suppress(ConflictError):
                    self.take_in(target)
                return refusing.result()
            finally:
                del refusing  # it may hold an error, whose traceback holds this frame

    def _refuse_notes(self, taken: Mapping[str, int]) -> object:
        """End the session; return the mark with all notes that count, if it is known."""
        self._exchange(self._state._replace(ended=True))
        return stop_writers(self._journal, taken)

    def finish(self) -> None:
        """Mark the session as finished: the root has all notes, and notes since then were refused.

        :raises ConflictError: if another process has taken the session over
        """
        self._exchange(self._state._replace(ended=True, done=True))
        deleting, self._deleting = self._deleting, None
        if deleting is not None:
            with store_errors(_DELETING):
                deleting.result()

    def _exchange(self, state: SessionState) -> None:
        if state == self._state:
            return
        with store_errors("writing the state of a session"):
            done = self._try_exchange(state) or (
                self._has_moved() and (state == self._state or self._try_exchange(state))
            )
        if not done:
            self.is_lost = True
            raise ConflictError(
                f"expected the session {self.name} as this process left it, at {cids.to_text(self._state.root)}; "
                f"found that another process has taken it over or deleted it. The changes are still "
                f"here: this store goes on without the session, and freezing it again gives its contents a root of "
                f"their own"
            )

    def _try_exchange(self, state: SessionState) -> bool:
        """Move the session on; return whether it was where this process left it."""
        self._unanswered.append(state)
        if not self._journal.exchange(encode_state(self._state), encode_state(state)):
            self._unanswered.pop()
            return False
        self._state, self._unanswered = state, []
        return True

    def _has_moved(self) -> bool:
        """Return whether a call that has failed, or was interrupted, has moved the session nevertheless."""
        found = self._journal.state
        for state in self._unanswered:
            if encode_state(state) == found:
                self._state, self._unanswered = state, []
                return True
        return False
