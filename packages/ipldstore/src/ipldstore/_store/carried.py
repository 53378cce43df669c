"""A dataset as the pickle of a store carries it."""

from __future__ import annotations

from ipldstore._dataset import pickling
from ipldstore._dataset.dataset import Dataset, make_dataset


class CarriedDataset:
    """A dataset as a pickle carries it. Pickling it again is the same pickle, without any I/O.

    :param shared: whether copies in other processes are to write
    """

    __slots__ = ("_state",)

    def __init__(self, data: Dataset, *, shared: bool) -> None:
        self._state = pickling.pickled(data, shared=shared)

    def dataset(self) -> Dataset:
        """Return what the pickle becomes in this process; see :func:`pickling.restore`."""
        return pickling.restore(make_dataset, self._state)

    def __getstate__(self) -> pickling.Pickled:
        return self._state

    def __setstate__(self, state: pickling.Pickled) -> None:
        self._state = state
