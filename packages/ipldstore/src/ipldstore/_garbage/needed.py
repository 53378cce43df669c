"""What a head needs: its root, or the states of a repository that are kept, and what stores of this process hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from ipld_car import CarError, binary_links, cids, walk_binary
from ipld_castore import (
    BlockMalformedError,
    BlockNotFoundError,
    ContentAddressableStore,
    HashRefusedError,
    SupportsHead,
)
from multiformats import CID

from ipldstore._dataset import processes
from ipldstore._dataset.dataset import Dataset
from ipldstore._display.bars import open_bar
from ipldstore._history.state import StateNode
from ipldstore._read.reach import is_node, reach
from ipldstore._revisions.history import History
from ipldstore._writers.coordinating import CoordinatorSharing
from ipldstore._writers.forks import ForkSharing
from ipldstore.errors import BlockMissingError, NodeError, store_errors

_NO_LINK: Final = (BlockNotFoundError, BlockMalformedError, HashRefusedError, CarError)
"""Errors of bytes that only look like a link. An error of a block store that cannot be reached is not among them."""

BAR: Final = "keeping"
"""What the bar of the blocks that are kept says."""

IsYoung = Callable[[bytes, StateNode], bool]
"""Returns whether a state, given by binary CID and fields, was written within the time that is kept."""


def states_of(castore: ContentAddressableStore, head: bytes) -> Iterator[tuple[bytes, StateNode]]:
    """Yield the states in the operation log of a repository, the present one first; nothing for another head.

    :raises IPLDStoreError: if a state cannot be read, for another reason than that its block is missing
    """
    history = History(castore)
    at: bytes | None = head
    while at is not None:
        try:
            state = history.load_state(at)
        except BlockMissingError:
            if at == head:
                raise
            return
        except NodeError:
            if at == head and not history.is_state(head):
                return
            raise
        yield at, state
        at = state.previous


def needed_roots(castore: ContentAddressableStore, head: bytes, is_young: IsYoung) -> list[bytes]:
    """Return the binary CIDs of the roots that a head needs: itself, and each state that was current until lately.

    :param is_young: a state is kept if the state after it is young
    """
    roots = [head]
    states = states_of(castore, head)
    after = next(states, None)
    while after is not None and is_young(*after):
        after = next(states, None)
        if after is not None:
            roots.append(after[0])
    return roots


def _open_datasets(castore: ContentAddressableStore) -> Iterator[Dataset]:
    """Yield the datasets of this process over a block store, but for copies of those of other processes."""
    for reference in processes.REGISTRY.valuerefs():  # at once: other threads add to it
        data = reference()
        if isinstance(data, Dataset) and data.castore.address == castore.address and data.is_home:
            yield data


def sessions_in_use(castore: ContentAddressableStore) -> set[str]:
    """Return the names of the sessions of writers whose coordinator is in this process."""
    return {
        data.sharing.coordinator.name
        for data in _open_datasets(castore)
        if isinstance(data.sharing, CoordinatorSharing) and not data.closed
    }


def reach_in_use(castore: ContentAddressableStore, seen: set[bytes]) -> None:
    """Find all blocks that open stores of this process have written, as their frozen roots may be in no head yet.

    Blocks that are not there are passed over: what a store has only read may have been collected before.

    :param seen: see :func:`reach`
    """
    for data in _open_datasets(castore):
        sharing = data.sharing
        if isinstance(sharing, ForkSharing):
            _reach_what_is_there(castore, sharing.root, seen)
            for notes in sharing.changes().notes.values():
                for note in notes:
                    if isinstance(note.after, bytes):
                        _reach_what_is_there(castore, note.after, seen)
        elif (sharing is None or not sharing.notes_changes) and not data.closed:
            if data.castore.writable and data.has_changes:  # changes left in a closed file get no root
                try:
                    root = data.write_root()
                except BlockMissingError:  # a closed dataset cannot be frozen
                    continue
                _reach_what_is_there(castore, root, seen)
            elif data.own_changes and data.frozen_root is not None:  # a dataset that only reads has no changes
                _reach_what_is_there(castore, data.frozen_root, seen)


def _reach_what_is_there(castore: ContentAddressableStore, root: bytes, seen: set[bytes]) -> None:
    """Find the blocks below a root, but for those that are not there, and what only they reach."""
    try:
        reach(castore, root, seen)
    except BlockNotFoundError:
        found: set[bytes] = set()
        lost: set[bytes] = set()
        for _ in walk_binary(partial(_node_of, castore), root, found, missing=lost.add):
            pass
        seen |= found
        seen -= lost  # those that were met on the way to the first of them


def _node_of(castore: ContentAddressableStore, cid: bytes) -> bytes:
    """Return the bytes of a node; of a block that links no others, empty bytes.

    :raises BlockNotFoundError: if it is not there
    """
    if is_node(cid):
        return castore.get_raw(cid)
    if cids.prefix_of(cid).hash_code != cids.IDENTITY and not castore.has_block(cids.from_validated(cid)):
        raise BlockNotFoundError(f"no block {cids.to_text(cid)} in {castore!r}")
    return b""


def reach_from_young(castore: ContentAddressableStore, young: Iterator[bytes], seen: set[bytes]) -> None:
    """Find all blocks that some blocks link whose codec is not known: those that are dag-cbor.

    Bytes that look like a link and lead to no block are passed over: a block of unknown codec may hold any bytes.

    :param seen: see :func:`reach`
    :raises CAStoreError: if a linked block cannot be read now, or is damaged: blocks that it links are not known, and
        must not be freed
    """
    for cid, data in castore.get_many_raw(map(cids.from_validated, young)):
        if data[:1] < b"\x80" or data[:1] >= b"\xc0":  # neither a list nor a map
            continue
        try:
            links = binary_links(cids.make(cids.DAG_CBOR, bytes(cid)[-32:]), data)
        except CarError:
            continue
        for link in links:
            try:
                reach(castore, link, seen)
            except _NO_LINK:
                continue


def reach_all(
    castore: ContentAddressableStore, roots: Iterable[bytes], seen: set[bytes], progress: bool | None
) -> None:
    """Find all blocks that roots reach, with a bar."""
    with open_bar(BAR, unit=" blocks", progress=progress) as bar:
        for root in roots:
            reach(castore, root, seen, count=bar.set if bar.is_shown else None)


def require_head(castore: SupportsHead) -> CID:
    """Return the head of a store.

    :raises ValueError: if there is none
    """
    with store_errors("reading the head"):
        head = castore.head
    if head is None:
        raise ValueError(
            f"expected a file or an object HEAD that names a root, found none in {castore!r}: without one it is not "
            f"known which blocks are needed"
        )
    return head
