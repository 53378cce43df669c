"""Which operations need a whole dataset."""

from __future__ import annotations

import click

from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore


def require_whole(store: IPLDStore) -> None:
    """Require that a store is no group of a dataset, whose root has what is beside the group, too.

    :raises click.UsageError: if it is one
    """
    if isinstance(store, GroupStore):
        raise click.UsageError(
            f"expected a whole dataset, found the group {store.path!r}: `ipldstore import` copies a group into a CAR "
            f"file of its own"
        )
