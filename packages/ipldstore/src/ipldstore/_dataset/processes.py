"""The process that owns a dataset, and so may change it."""

from __future__ import annotations

import weakref
from typing import Final

from ipld_castore.concurrency import process_id

from ipldstore.errors import IPLDStoreError

REGISTRY: Final[weakref.WeakValueDictionary[str, object]] = weakref.WeakValueDictionary()
"""The datasets of this process, by the token that their pickles carry."""

CLOSED: Final = (
    "this store was closed, and what is written now would be lost: open it again, or go on with "
    "IPLDStore(store.castore, root=store.root_cid)"
)
"""The error of a change to a store that is closed."""


def require_owner(owner: str) -> None:
    """Refuse to change what the owner of a dataset would never see.

    :param owner: the :func:`~ipld_castore.concurrency.process_id` of the process that made the dataset
    :raises IPLDStoreError: if this is another process
    """
    if owner != process_id():
        raise IPLDStoreError(
            "this store was copied into another process, where it can only be read: what is written here would "
            "be lost to the store it was copied from. Write from threads of one process (for example "
            "dask.config.set(scheduler='threads')), over a folder or a bucket, or to a fork() in each process, whose "
            "changes merge() takes in"
        )
