"""Freeing blocks that no name of a repository needs any more."""

from __future__ import annotations

from datetime import datetime, timedelta

from ipld_castore import SupportsAge, SupportsHead

from ipldstore._exchange.exchange import Exchange
from ipldstore._garbage.collect import Compacted, collect
from ipldstore._garbage.collect_here import collect_here
from ipldstore._garbage.in_files import own_part
from ipldstore.errors import IPLDStoreError


def garbage_collect(
    exchange: Exchange, older_than: timedelta | datetime, *, dry_run: bool, progress: bool | None
) -> Compacted:
    """Free the blocks that the state does not reach; see :meth:`Repository.garbage_collect`.

    :raises IPLDStoreError: if the block store collects its garbage itself, as an IPFS node does, or cannot free blocks
    """
    castore = exchange.history.castore
    if not isinstance(castore, SupportsHead):
        raise IPLDStoreError(
            f"expected a block store that frees blocks, found {castore!r}: an IPFS node collects what no pin reaches, "
            f"and the state of this repository is pinned"
        )
    run = collect if isinstance(own_part(castore), SupportsAge) else collect_here
    return run(castore, older_than, dry_run=dry_run, progress=progress)
