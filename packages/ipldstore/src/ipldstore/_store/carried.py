"""A dataset as the pickle of a store carries it."""

from __future__ import annotations

import threading
from typing import Final

from ipld_car import cids
from ipld_castore.concurrency import ForkLocal, process_id

from ipldstore._dataset import pickling
from ipldstore._dataset.dataset import Dataset, make_dataset

_lock: Final = ForkLocal(threading.RLock)
"""Held while a dataset is made of a pickle, so that threads that use one store make one dataset."""


class CarriedDataset:
    """A dataset as a pickle carries it. Pickling it again gives the same pickle, without I/O.

    :param shared: whether copies in other processes are to write
    """

    __slots__ = ("_state",)

    def __init__(self, data: Dataset, *, shared: bool) -> None:
        self._state = pickling.pickled(data, shared=shared)

    @property
    def is_home(self) -> bool:
        """Whether this is the process that has the dataset itself."""
        return self._state.home == process_id()

    def dataset_of(self, owner: dict[str, object]) -> Dataset:
        """Return the dataset of the pickle in this process, and keep it in a store; see :func:`pickling.restore`.

        :param owner: the attributes of the store, which two threads may use at once
        """
        with _lock.value:
            found = owner.get("_data")
            if not isinstance(found, Dataset):
                found = pickling.restore(make_dataset, self._state)
                owner.update(_data=found, _changes_when_pickled=found.own_changes)
            return found

    def __repr__(self) -> str:
        root = self._state.root
        return f"{'without keys' if root is None else cids.to_text(root)} over {self._state.castore!r}"

    def __getstate__(self) -> pickling.Pickled:
        return self._state

    def __setstate__(self, state: pickling.Pickled) -> None:
        self._state = state
