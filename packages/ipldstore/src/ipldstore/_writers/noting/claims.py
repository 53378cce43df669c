"""The keys whose changes are under way: the changes of one key follow each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from ipldstore._writers.notes import Note
from ipldstore.errors import IPLDStoreError

from . import loops
from .loops import Loop, is_stopped, running_loop
from .sequence import Noted, NoteGroup

Make = Callable[[Noted], object]
"""Makes a change that was noted."""


class Claim:
    """A key whose change is under way.

    :param group: that its notes were added to in an event loop; None for what is done in a thread
    """

    __slots__ = ("group", "has_block", "make", "notes")

    def __init__(self, group: NoteGroup | None = None, notes: Sequence[Note] = (), make: Make | None = None) -> None:
        self.group = group
        self.notes = list(notes)
        self.make = make
        self.has_block = False
        """Whether the group was told that the block is there."""

    @property
    def loop(self) -> Loop:
        """The event loop in which the change is made; None in a thread."""
        return None if self.group is None else self.group.loop


class Claims:
    """The keys whose changes are under way: those of one key follow each other. The caller holds the lock.

    :param lock: of the writer
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._idle = threading.Condition(lock)
        self._by_key: dict[str, Claim] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def wait_for(self, key: str, give_up: Callable[[str, Claim], None], fail_stopped: Callable[[Loop], None]) -> None:
        """Return when the next change of a key may begin.

        :param give_up: gives up the change in an event loop that does not run any more
        :param fail_stopped: see :meth:`NoteSequence.fail_stopped`; a thread that makes the change may wait for the
            caller's loop
        """
        blocked = running_loop()
        while (claim := self._by_key.get(key)) is not None:
            fail_stopped(blocked)
            if is_stopped(claim.loop, blocked):
                give_up(key, claim)
                del self._by_key[key]
            else:
                self._idle.wait(loops.LOOK_SECONDS)

    def take(self, key: str, *begun: Any) -> Claim:
        """Begin the change of a key; see :class:`Claim`."""
        claim = self._by_key[key] = Claim(*begun)
        return claim

    def has(self, key: str, claim: Claim) -> bool:
        """Return whether the change of a key is under way, and was not given up."""
        return self._by_key.get(key) is claim

    def check(self, key: str, claim: Claim) -> None:
        """Raise IPLDStoreError if the change of a key was given up."""
        if not self.has(key, claim):
            raise IPLDStoreError(
                f"writing {key!r}: expected its event loop to run on, found that it was stopped, and that the key was "
                f"written by another call since"
            )

    def release(self, key: str, claim: Claim) -> None:
        """Let the next change of a key begin, unless this one was given up. Takes the lock."""
        with self._lock:
            if self.has(key, claim):
                del self._by_key[key]
                self._idle.notify_all()
