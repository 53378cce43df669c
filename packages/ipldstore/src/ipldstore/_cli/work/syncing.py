"""Push and pull, of repositories and of datasets without history."""

from __future__ import annotations

from typing import Any

from ipld_car import cids
from ipld_castore import AnyCID, Transferred
from multiformats import CID

from ipldstore._address.castores import PlaceOptions, open_castore, shared_castore
from ipldstore._address.grammar import parse
from ipldstore._cli.options import PARTS, Opening
from ipldstore._dataset.castores import AnyCAStore
from ipldstore._io.sync import push
from ipldstore._repository.repository import Repository
from ipldstore._repository.sync import Synced
from ipldstore.errors import RepositoryNotFoundError

from .whole import require_whole


def push_dataset(
    what: str, target: str, opening: Opening, target_options: dict[str, Any] | None, *, force: bool
) -> Transferred | Synced:
    """Send what an address names to another place."""
    repository = _repository(what, opening)
    if repository is not None:
        with repository:
            return repository.push(_place(target, target_options), force=force)
    with opening.store(what) as store:
        require_whole(store)
        return _push_root(_root(store.root_cid), store.castore, target, target_options, force=force)


def pull_dataset(
    what: str, source: str, opening: Opening, source_options: dict[str, Any] | None, *, force: bool
) -> Transferred | Synced:
    """Get what another place has."""
    own_options = opening.given.get("storage_options")
    far = Opening({name: value for name, value in opening.given.items() if name != "storage_options"})
    if source_options:
        far.given["storage_options"] = source_options
    repository = _repository(source, far)
    if repository is not None:
        own_given = {"fsync": opening.given.get("fsync", True), "storage_options": own_options}
        with repository, Repository.open_or_create(what, **own_given) as own:
            return own.pull(repository, force=force)
    with far.store(source) as store:
        require_whole(store)
        return _push_root(_root(store.root_cid), store.castore, what, own_options, force=force)


def _repository(what: str, opening: Opening) -> Repository | None:
    """Return the repository at an address; None if a version or a group is named, or there is none."""
    address = parse(what)
    if address.ref is not None or address.group or not PARTS.isdisjoint(opening.given):
        return None
    try:
        return Repository.open(what, read_only=True, **opening.given)
    except RepositoryNotFoundError:
        return None


def _root(root: CID | None) -> CID:
    if root is None:
        raise ValueError("expected a dataset with a root, found one that was never frozen")
    return cids.from_validated(bytes(root))


def _place(target: str, options: dict[str, Any] | None) -> str | AnyCAStore:
    """Return what a repository is pushed to: with options, the bucket itself."""
    return shared_castore(target, options) if options else target


def _push_root(
    root: AnyCID, source: AnyCAStore, target: str, options: dict[str, Any] | None, *, force: bool
) -> Transferred | Synced:
    opened = open_castore(parse(target).place, "a", PlaceOptions(storage_options=options))
    try:
        opened.castore.persist_moves_head = True  # of a bucket it is not set yet
        sent = push(root, source, opened.castore, force=force)
    except BaseException:
        opened.abandon()
        raise
    opened.release()
    opened.castore.close()
    return sent
