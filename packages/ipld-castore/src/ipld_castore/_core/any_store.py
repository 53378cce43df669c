"""Block stores as callers give them: a store, or something over one."""

from __future__ import annotations

from typing import Protocol

from .store import ContentAddressableStore


class HasCAStore(Protocol):
    """Something over a block store, such as an ``ipldstore.IPLDStore``."""

    @property
    def castore(self) -> ContentAddressableStore:
        """Where the blocks are."""
        ...


AnyCAStore = ContentAddressableStore | HasCAStore
"""A block store, or something over one."""


def castore_of(store: AnyCAStore) -> ContentAddressableStore:
    """Return a block store itself, and of something over a block store the store below.

    :raises TypeError: if it is neither

    >>> from ipld_castore import MappingCAStore
    >>> store = MappingCAStore()
    >>> castore_of(store) is store
    True
    """
    castore = store if isinstance(store, ContentAddressableStore) else getattr(store, "castore", None)
    if not isinstance(castore, ContentAddressableStore):
        raise TypeError(
            f"expected a ContentAddressableStore or an IPLDStore, found {type(store).__name__}: MappingCAStore(...) "
            f"makes one of a mapping, FileSystemCAStore(...) of a folder"
        )
    return castore
