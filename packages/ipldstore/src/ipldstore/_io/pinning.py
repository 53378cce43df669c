"""Whole datasets kept by others: pinning services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ipld_car.messages import Message, Term
from ipld_castore import CAStoreError, IPFSStore, PinningService, PinStatus, SupportsHead
from multiformats import CID

from ipldstore._address.grammar import parse
from ipldstore._address.places import AnyAddress, ContentPath
from ipldstore._dataset.castores import castore_of
from ipldstore._display.bars import open_bar
from ipldstore._repository.opening import has_repository
from ipldstore._repository.repository import Repository
from ipldstore._store.dataset_store import frozen_root
from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore
from ipldstore.errors import store_errors

from .open import open as open_store

_MAX_ORIGINS = 20
_STEPS = {"queued": 0, "pinning": 1, "pinned": 2, "failed": 2}


def pin(  # noqa: PLR0913  # keywords
    what: AnyAddress | IPLDStore | Repository,
    service: PinningService,
    *,
    name: str = "",
    origins: Iterable[str] | None = None,
    meta: Mapping[str, str] | None = None,
    wait: bool = True,
    timeout: float | None = None,
    progress: bool | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> PinStatus:
    """Ask a pinning service to keep a dataset, or a repository with its whole history; wait until it does.

    The service fetches the blocks over the IPFS network. A dataset in a file, a folder or a bucket is brought to an
    IPFS node first, by :func:`push`, and stays there until it is pinned.

    :param what: an address of :func:`ipldstore.open`; an address without a version stands for the whole repository, if
        there is one. Or a CID, which is not looked at; or a store, which is frozen; or a repository
    :param service: the service, with its token
    :param name: a name for the pin, of at most 255 characters
    :param origins: multiaddrs of peers that have the blocks, at most 20; by default those of the IPFS node that the
        dataset is on, if ``what`` is a store or a repository over one. That node is also connected to the delegates
    :param meta: texts by name that the service keeps with the pin
    :param wait: wait until the dataset is pinned; else return once the service has the request
    :param timeout: the most seconds to wait; None for no limit
    :param progress: whether to show a bar; by default in a notebook, and where standard error is a terminal
    :param storage_options: as :func:`ipldstore.open` has them
    :returns: the request, with its status at the end, ``pinned`` or, without ``wait``, often ``queued``; its
        ``delegates`` are peers of the service, to which ``ipfs swarm connect`` connects other nodes
    :raises IPLDStoreError: if the service cannot be reached, refuses the request, could not pin the dataset, or needs
        longer than the timeout. The ``__cause__`` is the error of :meth:`ipld_castore.PinningService.pin`, with the
        request
    :raises OSError: if the dataset cannot be opened
    :raises ValueError: if the address is none, or that of a group, or the API does not allow one of the arguments

    >>> import ipldstore
    >>> from ipld_castore.testing import PinningServer
    >>> store = ipldstore.IPLDStore()
    >>> store["a/0"] = b"chunk"
    >>> with PinningServer() as server, ipldstore.PinningService(server.url, server.token) as service:
    ...     kept = ipldstore.pin(store, service, name="air")
    >>> kept.status, kept.cid == store.root_cid
    ('pinned', True)
    """
    root = _root_of(what, storage_options)
    bar = open_bar("pinning", unit=" steps", total=_STEPS["pinned"], progress=progress)
    with store_errors(f"pinning {root}", passing=(ValueError,)), bar as shown:

        def show(status: PinStatus) -> None:
            shown.set(_STEPS[status.status], note=f"{status.status} {status.details[:60]}".strip())
            shown.refresh()

        node = _node_of(what)
        if origins is None:
            origins = [] if node is None else node.peer_addresses()[:_MAX_ORIGINS]
        made = service.pin(root, name=name, origins=origins, meta=meta, wait=False, progress=show)
        if node is not None and not made.is_final:
            with suppress(CAStoreError):  # the service may reach the node all the same
                node.connect(made.delegates)
        return service.wait(made.request_id, timeout=timeout, progress=show) if wait and not made.is_final else made


def _node_of(what: object) -> IPFSStore | None:
    """Return the IPFS node that a store or a repository is on; None for all else."""
    castore = castore_of(what) if isinstance(what, (IPLDStore, Repository)) else None
    return castore if isinstance(castore, IPFSStore) else None


def _root_of(what: AnyAddress | IPLDStore | Repository, options: Mapping[str, Any] | None) -> CID:
    """Return what is to be pinned: the state of a repository, or the root of a dataset."""
    if isinstance(what, IPLDStore):
        return _frozen(what)
    if isinstance(what, Repository):
        return what.cid
    address = parse(what)
    is_whole = address.ref is None and not address.group
    if is_whole and isinstance(address.place, ContentPath) and not address.place.path:
        return address.place.cid
    with open_store(what, storage_options=options) as store:
        castore = store.castore
        if is_whole and isinstance(castore, SupportsHead) and has_repository(castore):
            head = castore.head
            assert head is not None  # noqa: S101  # it names a repository
            return head
        return _frozen(store)


def _frozen(store: IPLDStore) -> CID:
    """Return the root of a dataset.

    :raises ValueError: if it is one group of it, whose node may be no block of its own
    """
    if isinstance(store, GroupStore):
        raise ValueError(  # noqa: TRY004  # the address names a group
            Message(
                f"expected a whole dataset to pin, found the group {store.path!r} of one: ",
                Term("IPLDStore.subtree(path)", f"IPLDStore.subtree({store.path!r})"),
                " makes it a dataset of its own, whose CID can be pinned",
            )
        )
    # A node keeps what it is asked to pin elsewhere; a head does not move.
    return store.freeze() if isinstance(store.castore, IPFSStore) else frozen_root(store)
