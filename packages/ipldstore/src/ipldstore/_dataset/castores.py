"""Block stores as callers give them."""

from __future__ import annotations

from typing import Protocol

from ipld_castore import ContentAddressableStore


class HasCAStore(Protocol):
    """Something over a block store, such as an :class:`ipldstore.IPLDStore`."""

    @property
    def castore(self) -> ContentAddressableStore:
        """Where the blocks are."""
        ...


AnyCAStore = ContentAddressableStore | HasCAStore
"""A block store, or a dataset over one."""


def castore_of(store: AnyCAStore) -> ContentAddressableStore:
    """Return a block store, or that of a dataset.

    :raises TypeError: if it is neither
    """
    castore = store if isinstance(store, ContentAddressableStore) else getattr(store, "castore", None)
    if not isinstance(castore, ContentAddressableStore):
        raise TypeError(
            f"expected a ContentAddressableStore or an IPLDStore, found {type(store).__name__}: MappingCAStore(...) "
            f"makes one of a mapping, FileSystemCAStore(...) of a folder"
        )
    return castore
