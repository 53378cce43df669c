"""The process that owns a dataset, and so may change it."""

from __future__ import annotations

import weakref
from typing import Final

from ipld_castore import ContentAddressableStore, MappingCAStore, SupportsJournal
from ipld_castore.concurrency import process_id

from ipldstore.errors import IPLDStoreError

REGISTRY: Final[weakref.WeakValueDictionary[str, object]] = weakref.WeakValueDictionary()
"""The datasets of this process, by the token that their pickles carry."""

CLOSED: Final = (
    "this store was closed, and what is written now would be lost: open it again, or go on with "
    "IPLDStore(store.castore, root=store.root_cid)"
)
"""The error of changing a closed store."""


_THREADS: Final = "from threads of one process (for example dask.config.set(scheduler='threads'))"
_JOURNALS: Final = (
    "over a folder, a bucket or an IPFS node (FileSystemCAStore, ObjectCAStore, IPFSStore), where copies write"
)
_PICKLED: Final = (
    "to a copy out of a pickle of the open store: what a pool sends to its processes, and what processes are given "
    "that are started by spawn or forkserver, is one; pickle.dumps(store) before a fork is another"
)
_FORKS: Final = "to a fork() of the store in each process, whose changes() the first process takes in by merge()"


NOT_FROZEN_HERE: Final = (
    "expected the process that the store was copied from to freeze it: this is a copy, whose changes that process "
    "takes in, or a fork, whose changes() it merges"
)
"""The error of freezing a copy or fork that has changes."""


def require_owner(owner: str, castore: ContentAddressableStore) -> None:
    """Refuse a change that the owner of a dataset would never see.

    :param owner: the :func:`~ipld_castore.concurrency.process_id` of the process that made the dataset
    :param castore: the block store of the copy, in this process
    :raises IPLDStoreError: if this is another process; the error names the ways to write that work
    """
    if owner == process_id():
        return
    ways: tuple[str, ...] = (_THREADS, _JOURNALS)
    if isinstance(castore, SupportsJournal) and castore.writable:
        reason, ways = "it came with the memory of a forked process, or as the pickle of a closed store", (_PICKLED,)
    elif isinstance(castore, MappingCAStore):
        reason = f"{castore!r} has its blocks in the memory of one process"
    elif not castore.writable:
        reason = f"{castore!r} takes no blocks from this process"
    else:
        reason, ways = f"{castore!r} has no journal that tells of changes", (_FORKS, *ways)
    raise IPLDStoreError(
        f"this store was copied into another process, where it can only be read, as {reason}: what is "
        f"written here would be lost to the store it was copied from. Write {', or '.join(ways)}"
    )
