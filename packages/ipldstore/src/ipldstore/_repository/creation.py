"""The making of repositories: empty, or over a root that is there already."""

from __future__ import annotations

from collections.abc import Callable

from ipld_car import CarError, Source, cids
from ipld_car.messages import Message, Term
from ipld_castore import FileSystemCAStore, HeadMovedError

from ipldstore._dataset.in_flight import linking, putting
from ipldstore._exchange.committing import Signature, clock, put_commit, put_node
from ipldstore._exchange.first import FIRST, FIRST_STATE, MAIN, put_first
from ipldstore._garbage.in_files import own_part
from ipldstore._history.state import StateNode, encode_state
from ipldstore._revisions.history import History
from ipldstore._revisions.verify import check_history
from ipldstore._store.ipld_store import IPLDStore
from ipldstore._tree.tree import EMPTY_ROOT
from ipldstore.errors import IPLDStoreError, RepositoryExistsError, store_errors

from .places import Place

ADOPT_MESSAGE = "adopt"
"""The message of the commit that takes a root without history."""


def create(place: Place, by: Signature, *, adopt: bool) -> None:
    """Make a repository where there is none.

    :param adopt: whether a root that is there becomes the data of the commit after the first
    :raises RepositoryExistsError: if there is a repository, or a root without ``adopt``
    """
    if place.read_only:
        raise IPLDStoreError(f"expected a block store that can be written, found {place.castore!r}")
    root = _adoptable(place, adopt=adopt)
    release = _lock(place)
    try:
        with putting(place.castore):
            put_first(place.castore)
            state = put_state(place, FIRST_STATE)
            if root is not None:
                state = put_state(place, _adopted(place, root, state, by))
            place.head.swap(_unused_head(place) if root is None else root, state)
    except HeadMovedError as error:
        message = f"expected to make a repository, found that another process has made one: {error}"
        raise RepositoryExistsError(message) from error
    finally:
        release()


def _nothing() -> None:
    pass


def _lock(place: Place) -> Callable[[], None]:
    """Lock a folder without history against its writer; return a function that releases the lock."""
    own = own_part(place.castore)
    if not isinstance(own, FileSystemCAStore):
        return _nothing
    with store_errors("making a repository of a folder"):
        return own.lock().release


def _unused_head(place: Place) -> bytes | None:
    """Return the head of an empty place: None, or the empty dataset, which a new CAR file has as its head.

    :raises RepositoryExistsError: if the place has contents
    """
    found = place.head.read()
    if found is None or found == EMPTY_ROOT:
        return found
    raise RepositoryExistsError(f"expected {place.castore!r} without a head, found {cids.to_text(found)}")


def _adoptable(place: Place, *, adopt: bool) -> bytes | None:
    """Return the root that is there already; None without one."""
    root = place.head.read()
    if root is None or root == EMPTY_ROOT:
        return None
    if History(place.castore).is_state(root):
        raise RepositoryExistsError(
            Message(
                f"expected no repository in {place.castore!r}, found the state {cids.to_text(root)}",
                Term("Repository.open(...)", ": Repository.open(...) opens it"),
            )
        )
    if not adopt:
        raise RepositoryExistsError(
            Message(
                f"expected nothing in {place.castore!r}, found the root {cids.to_text(root)}",
                Term("adopt=True", ": adopt=True makes it the data of the first commit"),
            )
        )
    return root


def _adopted(place: Place, root: bytes, first: bytes, by: Signature) -> StateNode:
    """Return the state of a repository over a root that is there."""
    root = IPLDStore(place.castore, root=root, read_only=True)._data.known_root or root  # noqa: SLF001  # it is read once
    commit = put_commit(History(place.castore), root, [FIRST], ADOPT_MESSAGE, None, by)
    return FIRST_STATE._replace(
        branches={MAIN: commit},
        previous=first,
        operation=ADOPT_MESSAGE,
        time=clock() if by.time is None else by.time,
        author=by.author,
    )


def put_state(place: Place, state: StateNode) -> bytes:
    """Put a state; return its binary CID."""
    return put_node(place.castore, encode_state(state, lambda names: put_node(place.castore, names)))


def import_state(place: Place, source: Source) -> None:
    """Import a repository from an archive into a place that has none, and check its history against the format.

    :raises RepositoryExistsError: if there is a head already
    :raises ValueError: if the archive is damaged, or has not one root
    :raises IPLDStoreError: if its root is no repository, or a block is missing
    """
    found = place.head.read()
    if found is not None:
        raise RepositoryExistsError(
            Message(f"expected a place without a head, found {cids.to_text(found)}: ", Term("pull()"), " adds to it")
        )
    with linking(place.castore):
        _import(place, source)


def _import(place: Place, source: Source) -> None:
    with store_errors("importing an archive", passing=(CarError,)):
        roots = place.castore.import_car(source)
    if len(roots) != 1:
        raise ValueError(f"expected an archive with one root, found {len(roots)}")
    state = cids.to_bytes(roots[0])
    with store_errors("looking for the blocks of an archive"):
        place.castore.check_dag(state)
    check_state(History(place.castore), state, reads_data=True)
    try:
        place.head.swap(_unused_head(place), state)
    except HeadMovedError as error:
        raise RepositoryExistsError(f"importing an archive: {error}") from error


def check_state(history: History, state: bytes, *, reads_data: bool) -> int:
    """Check the history of a state against the format; return the number of commits.

    :param reads_data: see :func:`check_history`
    :raises NodeError: if a block breaks a bound of the format; the message names it
    """
    found = history.load_state(state)
    return check_history(history, (*found.branches.values(), *found.tags.values()), reads_data=reads_data)
