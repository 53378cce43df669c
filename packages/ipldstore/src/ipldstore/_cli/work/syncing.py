"""Push and pull, of repositories and of datasets without history."""

from __future__ import annotations

from ipld_car import cids
from ipld_castore import AnyCID, Transferred
from multiformats import CID

from ipldstore._address.castores import PlaceOptions, open_castore
from ipldstore._address.grammar import parse
from ipldstore._cli.options import Opening
from ipldstore._dataset.castores import AnyCAStore
from ipldstore._io.sync import push
from ipldstore._repository.repository import Repository
from ipldstore._repository.sync import Synced
from ipldstore.errors import RepositoryNotFoundError


def push_dataset(what: str, target: str, opening: Opening, *, force: bool) -> Transferred | Synced:
    """Send what an address names to another place."""
    repository = _repository(what, opening)
    if repository is not None:
        with repository:
            return repository.push(target, force=force)
    with opening.store(what) as store:
        return _push_root(_root(store.root_cid), store.castore, target, force=force)


def pull_dataset(what: str, source: str, opening: Opening, *, force: bool) -> Transferred | Synced:
    """Get what another place has."""
    repository = _repository(source, opening.without_version())
    if repository is not None:
        with repository, Repository.open_or_create(what, fsync=opening.given.get("fsync", True)) as own:
            return own.pull(repository, force=force)
    with opening.store(source) as store:
        return _push_root(_root(store.root_cid), store.castore, what, force=force)


def _repository(what: str, opening: Opening) -> Repository | None:
    """Return the repository at an address; None if a version or a group is named, or there is none."""
    address = parse(what)
    named = {"branch", "tag", "commit", "as_of", "path"}.intersection(opening.given)
    if address.ref is not None or address.group or named:
        return None
    try:
        return Repository.open(what, read_only=True, storage_options=opening.given.get("storage_options"))
    except RepositoryNotFoundError:
        return None


def _root(root: CID | None) -> CID:
    if root is None:
        raise ValueError("expected a dataset with a root, found one that was never frozen")
    return cids.from_validated(bytes(root))


def _push_root(root: AnyCID, source: AnyCAStore, target: str, *, force: bool) -> Transferred | Synced:
    opened = open_castore(parse(target).place, "a", PlaceOptions())
    try:
        sent = push(root, source, opened.castore, force=force)
    except BaseException:
        opened.abandon()
        raise
    opened.release()
    opened.castore.close()
    return sent
