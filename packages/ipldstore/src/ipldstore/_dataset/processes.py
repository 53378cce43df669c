"""Which process this is: the changes of a dataset belong to the one that made them."""

from __future__ import annotations

import os
import uuid
import weakref
from typing import Protocol

from ipldstore.errors import IPLDStoreError


class ProcessBound(Protocol):
    """What has locks that a fork leaves without their holders."""

    def renew_locks(self) -> None:
        """Replace the locks."""


_here = uuid.uuid4().hex

LIVE: weakref.WeakValueDictionary[str, ProcessBound] = weakref.WeakValueDictionary()
"""The datasets of this process, by what their pickles carry."""


def here() -> str:
    """This process; another, a fork too, has another."""
    return _here


def check(home: str) -> None:
    """Refuse to change what another process would never see.

    :raises IPLDStoreError: if this is not the process ``home``
    """
    if home != _here:
        raise IPLDStoreError(
            "this store was copied into another process, where it can only be read: what is written here would "
            "be lost to the store it was copied from. Write from threads of one process (for example "
            "dask.config.set(scheduler='threads')), or to a store of its own in each process"
        )


def _renew() -> None:
    """In the child of a fork: it is another process, and the threads that held a lock are not there to release it."""
    global _here  # noqa: PLW0603  # it is what the whole process is
    _here = uuid.uuid4().hex
    for dataset in list(LIVE.values()):
        dataset.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
