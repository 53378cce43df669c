"""Copies of a store as other processes have them, each in the role of a process of its own."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch
from weakref import WeakValueDictionary

from ipld_castore import BackendUnavailableError
from ipld_castore._backends.folder_journal import FolderJournal
from ipld_castore._kubo.journal import NodeJournal
from ipld_castore.concurrency import ForkLocal
from ipldstore import IPLDStore
from ipldstore._dataset import pickling, processes
from ipldstore._writers import copies


class Process:
    """What one process has of a session: its writer, and its copies."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._writers = ForkLocal(copies._Writers)

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Run as that process: with another identity, and what its modules hold."""
        with (
            patch.object(copies, "_writers", self._writers),
            patch.object(pickling, "process_id", lambda: self.name),
            patch.object(processes, "REGISTRY", WeakValueDictionary()),
        ):
            yield

    def open(self, pickled: bytes) -> IPLDStore:
        """Unpickle a store as this process."""
        with self._running():
            store: IPLDStore = pickle.loads(pickled)  # noqa: S301  # made by the test
            assert store._data.origin is not None, "a copy that writes notes"
            return store


@contextmanager
def failing_appends(*, arriving: bool) -> Iterator[None]:
    """Let appending to the journal of a folder or node fail, before or after it was done."""
    with ExitStack() as stack:
        for kind in (FolderJournal, NodeJournal):
            stack.enter_context(patch.object(kind, "append", _failing(kind.append, arriving=arriving)))
        yield


def _failing(append: Callable[..., object], *, arriving: bool) -> Callable[..., object]:
    def fail(*arguments: object) -> object:
        if arriving:
            append(*arguments)
        raise BackendUnavailableError("the journal does not answer")

    return fail
