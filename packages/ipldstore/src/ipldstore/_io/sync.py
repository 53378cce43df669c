"""Whole datasets from one place to another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ipld_car import cids
from ipld_castore import AnyCID, ContentAddressableStore, Transferred, transfer

from ipldstore._dataset.castores import AnyCAStore, castore_of, moving_head
from ipldstore._store.ipld_store import IPLDStore
from ipldstore.errors import IPLDStoreError, store_errors


def push(root: AnyCID, src: AnyCAStore, dst: AnyCAStore, *, progress: bool | None = None) -> Transferred:
    """Bring a dataset to another block store, and have it kept there: an IPFS node pins the root.

    Only the blocks are sent that ``dst`` lacks, so what was broken off is resumed by calling this again, and a new
    version costs what changed. At the end ``dst`` is found to have every block below the root.

    :param root: the root, as :meth:`IPLDStore.freeze` gives it
    :param src: where its blocks are: a block store, or a dataset over one
    :param dst: where they should be, likewise
    :param progress: whether to show a bar on standard error; by default where that is a terminal
    :returns: how many blocks and bytes were sent
    :raises IPLDStoreError: if a block is lost, or one of the two stores cannot be reached; what was sent stays. Also if
        the head of ``dst`` would move away from under changes that are not frozen

    >>> from ipldstore import IPLDStore, MappingCAStore
    >>> store, there = IPLDStore(), MappingCAStore()
    >>> store["a/0"] = b"chunk"
    >>> push(store.freeze(), store.castore, there)
    Transferred(blocks=2, bytes=52)
    >>> push(store.freeze(), store.castore, there)
    Transferred(blocks=0, bytes=0)
    """
    target = castore_of(dst)
    if isinstance(dst, IPLDStore) and target.persist_moves_head and dst.has_changes:
        raise IPLDStoreError(
            f"pushing to {target!r}, whose head moves to the root: expected a store without changes that are not "
            f"frozen, found some, which could not be frozen after it: freeze() first"
        )
    sent = _transfer("pushing", root, castore_of(src), target, progress)
    head = moving_head(target)
    with store_errors("pushing"):
        target.persist(cids.from_bytes(cids.to_bytes(root)), head)
    return sent


def pull(root: AnyCID, src: AnyCAStore, dst: AnyCAStore, *, progress: bool | None = None) -> Transferred:
    """Get a dataset from another block store: as :func:`push`, but ``dst`` is only given the blocks.

    The arguments are those of :func:`push`: ``src`` is the far one here.

    >>> from ipldstore import IPLDStore, MappingCAStore
    >>> far, here = IPLDStore(), MappingCAStore()
    >>> far["a/0"] = b"chunk"
    >>> pull(far.freeze(), far.castore, here)
    Transferred(blocks=2, bytes=52)
    >>> IPLDStore(here, root=far.root_cid)["a/0"]
    b'chunk'
    """
    return _transfer("pulling", root, castore_of(src), castore_of(dst), progress)


def _transfer(
    what: str, root: AnyCID, src: ContentAddressableStore, dst: ContentAddressableStore, progress: bool | None
) -> Transferred:
    visible = sys.stderr.isatty() if progress is None else progress
    with store_errors(what), _bar(what, visible=visible) as bar:
        return transfer(root, src, dst, bar)


@contextmanager
def _bar(what: str, *, visible: bool) -> Iterator[Any]:
    """Yield what shows the progress of :func:`ipld_castore.transfer`; None where no bar is shown."""
    if not visible:
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=what, unit=" blocks", file=sys.stderr, mininterval=0.2) as bar:

        def show(blocks: int, known: int, size: int) -> None:
            bar.total = known
            bar.set_postfix_str(f"{size / 1e6:.1f} MB", refresh=False)
            bar.update(blocks - bar.n)

        yield show
