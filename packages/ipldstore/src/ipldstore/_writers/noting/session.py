"""Whether the session of a writer is open: what is noted when it has ended, its coordinator does not see."""

from __future__ import annotations

from ipld_castore import Journal

from ipldstore._writers.session_state import decode_state
from ipldstore.errors import IPLDStoreError, store_errors


class SessionLook:
    """Looks at the state of a session.

    :param journal: the journal of the session
    :param name: the name of the session
    """

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self._name = name
        self._open_state: bytes | None = None
        """The state when it was last found to be open."""
        self._is_closed = False
        """Whether its state says so, which holds."""

    def is_open(self) -> bool:
        """Return whether the coordinator has not ended the session, so that it will see what was noted before.

        :raises IPLDStoreError: if that cannot be found out
        """
        with store_errors("looking at the session"):
            state = self._journal.state
        is_open = state is not None and (state == self._open_state or not decode_state(state).ended)
        self._open_state = state if is_open else None
        self._is_closed = self._is_closed or (state is not None and not is_open)
        return is_open

    def check(self, key: str) -> None:
        """Raise IPLDStoreError if the session is known to be closed, without a look.

        Notes that are put nevertheless may be taken in while the session ends, and conflict with each other: each goes
        on from what the key had before it failed.
        """
        if self._is_closed:
            raise self.closed_error(key)

    def is_known_to_be_closed(self) -> bool:
        """Return whether an append failed as the session has ended; False if that cannot be found out."""
        try:
            return not self.is_open()
        except IPLDStoreError:
            return False

    def closed_error(self, key: str) -> IPLDStoreError:
        """Return the error of a set in a session that has ended."""
        return IPLDStoreError(
            f"writing {key!r}: expected the session {self._name} to be open, found that its coordinator has closed it: "
            f"open the dataset again to write to it"
        )
