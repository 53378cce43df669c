"""Whole datasets from one place to another."""

from __future__ import annotations

from ipld_car import cids
from ipld_car.messages import Message, Term
from ipld_castore import AnyCID, SupportsHead, Transferred

from ipldstore._dataset.castores import AnyCAStore, castore_of, moving_head
from ipldstore._exchange.exchange import Known
from ipldstore._exchange.head import head_of
from ipldstore._repository.creation import check_state
from ipldstore._repository.sync import Synced, push_state
from ipldstore._repository.transfers import transfer_all
from ipldstore._revisions.history import History
from ipldstore._revisions.verify import check_history
from ipldstore._store.ipld_store import IPLDStore
from ipldstore.errors import ConflictError, IPLDStoreError, store_errors


def push(
    root: AnyCID, src: AnyCAStore, dst: AnyCAStore, *, force: bool = False, progress: bool | None = None
) -> Transferred | Synced:
    """Bring a dataset to another block store, and have it kept there: an IPFS node pins the root.

    Only the blocks are sent that ``dst`` lacks, so what was broken off is resumed by calling this again, and a new
    version costs what changed. At the end ``dst`` is found to have every block below the root.

    The state of a repository goes with its whole history, and the head of ``dst``, if it has one, names it then. Names
    move forward only: those at ``dst`` must be in the past of the state. See :meth:`Repository.push`.

    :param root: the root, as :meth:`IPLDStore.freeze` gives it, or the state of a repository
    :param src: where its blocks are: a block store, or a dataset or repository over one
    :param dst: where they should be, likewise
    :param force: overwrite names that are not in the past of the state; the result says which. Also replace a
        repository by a root
    :param progress: whether to show a bar; by default in a notebook, and where standard error is a terminal
    :returns: how many blocks and bytes were sent
    :raises ConflictError: if a name, or the head, is not in the past of what is pushed
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
    binary, history = cids.to_bytes(root), History(castore_of(src))
    if isinstance(target, SupportsHead) and history.is_state(binary):
        state = Known(binary, history.load_state(binary))
        return push_state(history, state, target, head_of(target), force=force, progress=progress)
    head = moving_head(target)
    if head is not None and not force and History(target).is_state(cids.to_bytes(head)):
        raise ConflictError(
            Message(
                f"pushing to {target!r}: expected a dataset without history, found the repository {head}, which the "
                f"root {cids.to_text(binary)} would replace: ",
                Term("force=True"),
                " does that",
            )
        )
    sent = transfer_all("pushing", root, castore_of(src), target, progress)
    with store_errors("pushing"):
        target.persist(cids.from_bytes(cids.to_bytes(root)), head)
    return sent


def pull(root: AnyCID, src: AnyCAStore, dst: AnyCAStore, *, progress: bool | None = None) -> Transferred:
    """Get a dataset from another block store: as :func:`push`, but ``dst`` is only given the blocks.

    The arguments are those of :func:`push`: ``src`` is the far one here. Each commit that a state or a commit reaches
    is held against the format. :meth:`Repository.pull` also moves names.

    :raises NodeError: if a commit breaks a bound of the format; the blocks stay

    >>> from ipldstore import IPLDStore, MappingCAStore
    >>> far, here = IPLDStore(), MappingCAStore()
    >>> far["a/0"] = b"chunk"
    >>> pull(far.freeze(), far.castore, here)
    Transferred(blocks=2, bytes=52)
    >>> IPLDStore(here, root=far.root_cid)["a/0"]
    b'chunk'
    """
    target, binary = castore_of(dst), cids.to_bytes(root)
    sent = transfer_all("pulling", root, castore_of(src), target, progress)
    history = History(target)
    if history.is_state(binary):
        check_state(history, binary, reads_data=True)
    elif history.is_commit(binary):
        check_history(history, [binary], reads_data=True)
    return sent
