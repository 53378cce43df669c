"""Writing the canonical root of any contents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_car.messages import Message, Term
from ipld_castore import ContentAddressableStore
from ipld_castore.concurrency import in_order
from multiformats import CID

from ipldstore._dataset import processes
from ipldstore._dataset.dataset import Dataset
from ipldstore._dataset.roots import set_root
from ipldstore._display.bars import open_bar
from ipldstore._format.nodes import NodeStore
from ipldstore._links.batch import LinkBatch
from ipldstore._read.reader import reader_of
from ipldstore._tree.lookup import AnyTarget, KeyTarget
from ipldstore.errors import IPLDStoreError, store_errors

from .values import CanonicalValues, Outcome

_THREADS: Final = 32
"""Values that are converted at a time where the blocks are far away."""


class Canonicalized(NamedTuple):
    """What canonicalizing has done; the numbers are of keys."""

    root: CID
    """The canonical root; with kept links, the root that a conforming writer gives them."""
    linked: int = 0
    """Keys whose links were taken over, without copying a chunk."""
    copied: int = 0
    """Keys whose bytes were read and put anew."""
    kept: int = 0
    """Keys whose links are not canonical, and were kept as they are."""
    documents: int = 0
    """Keys of metadata, which stands in the nodes."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


def canonicalize(
    data: Dataset,
    into: ContentAddressableStore | None,
    *,
    copy: bool,
    progress: bool | None,
    holder: Dataset | None = None,
) -> Canonicalized:
    """Write the root that a conforming writer gives the contents.

    :param into: where nodes and copies are written; None for the block store of the contents, which then go on from
        the new root
    :param holder: the dataset that moves the head of ``into``; an empty one goes on from the new root
    :param copy: whether values with links that are not canonical are copied; else their links are kept
    :param progress: whether to show a bar; by default in a notebook, and where standard error is a terminal
    :raises IPLDStoreError: if a block cannot be read or written; the contents are then what they were
    """
    target = _target(data, into)
    # The head that moves, if there is one, goes on from where it is; the contents do not.
    fresh = Dataset(target, limits=data.limits)
    convert = CanonicalValues(data, NodeStore(target, reader_of(target)), target, copy=copy).convert
    batch = LinkBatch(fresh)
    counts = dict.fromkeys(Outcome, 0)
    with open_bar("canonicalizing", unit=" keys", progress=progress) as bar:
        for key, content, outcome in _converted(data, convert):
            try:
                batch.add(key, content)
            except ValueError as error:
                raise IPLDStoreError(
                    f"canonicalizing {key[:200]!r}: the block format has no such key: {error}"
                ) from error
            counts[outcome] += 1
            bar.update()
        batch.flush()
        root = fresh.freeze() if holder is None or not target.persist_moves_head else _hand_over(fresh, holder)
    if into is None:
        set_root(
            data, root, "canonicalizing", discard_changes=True, is_complete=True
        )  # the new root has the changes too
    return Canonicalized(cids.from_validated(root), *(counts[each] for each in Outcome))


def _hand_over(fresh: Dataset, holder: Dataset) -> bytes:
    """Write a dataset, which an empty one over the same block store becomes; return the root.

    A head that moved without the holder would be a conflict for it, or lose its contents.
    """
    root = fresh.write_root()
    if next(iter(holder.items()), None) is None:
        set_root(holder, root, "canonicalizing", discard_changes=True)
        holder.freeze()
    else:
        with store_errors("writing the blocks"):
            fresh.castore.flush()
    return root


def _target(data: Dataset, into: ContentAddressableStore | None) -> ContentAddressableStore:
    """Return where to write.

    :raises IPLDStoreError: if that cannot be written, or the contents are not to be changed and would be
    """
    if into is None and data.tree.foreign is None:
        data.check_home()
    elif into is None and data.closed:
        raise IPLDStoreError(processes.CLOSED)
    target = data.castore if into is None else into
    if not target.writable:
        other = Message(Term("canonicalize(into=castore)"), " writes into another")
        advice = "pass one that is" if into is not None else other
        raise IPLDStoreError(
            Message(f"canonicalizing: expected a block store that can be written, found {target!r}; ", advice)
        )
    return target


def _converted(
    data: Dataset, convert: Callable[[str, AnyTarget], tuple[KeyTarget, Outcome]]
) -> Iterator[tuple[str, KeyTarget, Outcome]]:
    """Yield all keys with what a canonical root has for them."""

    def action(item: tuple[str, AnyTarget]) -> tuple[KeyTarget, Outcome]:
        return convert(*item)

    items = data.items()
    results = ((item, action(item)) for item in items)
    for (key, _), (content, outcome) in results if data.castore.local else in_order(action, items, threads=_THREADS):
        yield key, content, outcome
