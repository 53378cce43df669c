"""Repositories that are made, opened and read: names, logs, drawings, differences, archives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from ipld_car import Source, Writable, cids
from ipld_car.messages import Message, Term
from ipld_castore import ContentAddressableStore
from multiformats import CID

from ipldstore._display.clip import clip
from ipldstore._display.page import page, section, table
from ipldstore._exchange.committing import sign
from ipldstore._exchange.exchange import Exchange
from ipldstore._exchange.head import Head
from ipldstore._exchange.operations import Operation, operations
from ipldstore._exchange.refs import RefMapping
from ipldstore._history.ancestry import Entry
from ipldstore._history.state import StateNode
from ipldstore._merge.diff import Diff, diff
from ipldstore._revisions import log as logs
from ipldstore._revisions.history import History
from ipldstore._revisions.record import Commit, commit_of
from ipldstore._revisions.refspec import Ref, find_commit
from ipldstore._revisions.verify import RootCheck
from ipldstore._revisions.version import Version
from ipldstore.errors import IPLDStoreError, NodeError, RepositoryExistsError, RepositoryNotFoundError, store_errors

from .archives import write_since
from .creation import check_state, create, import_state
from .places import Place, Where, open_place, options_of, reopened_place
from .selection import select
from .session import RepositorySession

if TYPE_CHECKING:
    from typing import Self

R = TypeVar("R", bound="RepositoryBase")

_MOST_NAMES: Final = 100
"""Branches, and tags, that a notebook shows."""


class RepositoryBase:
    """The base of :class:`Repository`: making, opening and reading one."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._history = History(place.castore)
        self._exchange = Exchange(self._history, place.head)
        self._require_state()

    def _require_state(self) -> None:
        head = self._place.head.read()
        if head is None:
            raise RepositoryNotFoundError(
                Message(
                    f"expected a repository in {self._place.castore!r}, found none: ",
                    Term("Repository.create(...)"),
                    " makes one",
                )
            )
        try:
            self._exchange.current()
        except NodeError:
            if self._history.is_state(head):
                raise
            if self._history.is_commit(head):
                read = Term("IPLDStore(castore, root=...)", ": IPLDStore(castore, root=...) reads it")
                found = Message(f"the commit {cids.to_text(head)}", read)
            else:
                adopt = Term("Repository.create(..., adopt=True)")
                found = Message(f"the root {cids.to_text(head)}: ", adopt, " makes a repository of it")
            raise RepositoryNotFoundError(
                Message(f"expected a repository in {self._place.castore!r}, found ", found)
            ) from None

    # -- making and opening --

    @classmethod
    def create(cls, what: Where, *, adopt: bool = False, author: str | None = None, **options: Any) -> Self:
        """Make a repository, and return it.

        :param what: what :func:`ipldstore.open` takes, or a block store, a store over one, or a mapping
        :param adopt: take a root that is there already as the data of the commit after the first
        :param author: of that commit; see :meth:`RepositorySession.commit`
        :param options: see :meth:`open`
        :raises RepositoryExistsError: if there is a repository already, or a root without ``adopt``
        :raises IPLDStoreError: if the block store has no head, or cannot be written
        :raises OSError: if the file or folder cannot be made, or another writer has it
        """
        place = open_place(what, options_of(options), create=True)
        try:
            create(place, sign(author, None), adopt=adopt)
            return cls(place)
        except BaseException:
            place.close()
            raise

    @classmethod
    def open(cls, what: Where, **options: Any) -> Self:
        """Open a repository.

        :param what: what :func:`ipldstore.open` takes; or a block store, a store over one, or a mapping; or the CID of
            a state, with ``castore``, or as an address that says where its blocks are
        :param options: ``name``, of a block store on an IPFS node: the key whose IPNS name is the head; ``castore``,
            the block store of a CID; ``read_only``; and ``fsync``, ``allow``, ``moved``, ``cache``,
            ``cache_bytes``, ``zero_length_section_as_eof`` and ``storage_options`` as for :func:`ipldstore.open`. A
            cache is for content and archives at URLs, whose state does not move
        :raises RepositoryNotFoundError: if there is no repository
        :raises IPLDStoreError: if it cannot be read
        :raises OSError: if the file or folder cannot be opened, or another writer has the file
        """
        place = open_place(what, options_of(options))
        try:
            return cls(place)
        except BaseException:
            place.close()
            raise

    @classmethod
    def open_or_create(cls, what: Where, *, adopt: bool = False, author: str | None = None, **options: Any) -> Self:
        """Open a repository, and make it first if it is absent; the arguments are those of :meth:`create`."""
        try:
            return cls.open(what, **options)
        except RepositoryNotFoundError:
            pass
        try:
            return cls.create(what, adopt=adopt, author=author, **options)
        except RepositoryExistsError:
            return cls.open(what, **options)

    @classmethod
    def from_car(cls, source: Source, what: Where | None = None, **options: Any) -> Self:
        """Return the repository that an archive has, as :meth:`to_car` writes it. Its history is checked.

        :param source: the archive, CARv1 or CARv2, as bytes or binary stream
        :param what: where it is to be, which must have no repository; by default in memory
        :param options: see :meth:`open`
        :raises ValueError: if the archive is damaged (:class:`ipld_car.CarError`) or has not exactly one root
        :raises IPLDStoreError: if the root is no repository, a block is missing, or the history breaks the format
        """
        place = open_place({} if what is None else what, options_of(options), create=True)
        try:
            import_state(place, source)
            return cls(place)
        except BaseException:
            place.close()
            raise

    @property
    def castore(self) -> ContentAddressableStore:
        """The block store."""
        return self._place.castore

    @property
    def read_only(self) -> bool:
        """Whether the repository can only be read."""
        return self._place.read_only

    def _require_writable(self, what: str) -> None:
        if self.read_only:
            raise IPLDStoreError(
                f"{what}: expected a repository that can be written, found one that can only be read, over "
                f"{self.castore!r}"
            )

    def close(self) -> None:
        """Close what :meth:`open` or :meth:`create` has opened; a block store that was given stays open."""
        self._place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __copy__(self) -> Self:
        return type(self)(self._place._replace(close=lambda: None))

    def __reduce__(self) -> tuple[object, ...]:
        place = self._place
        return _unpickled, (type(self), place.castore, place.head, place.read_only)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.castore!r}>"

    def _repr_html_(self) -> str:
        facts = {"blocks in": repr(self.castore)}
        try:
            known = self._exchange.current()
        except IPLDStoreError as error:  # the display of a notebook must not raise
            return page(type(self).__name__, facts | {"error": str(error)}, ())
        state = known.state
        facts |= {"state": cids.to_text(known.cid), "default branch": state.default}
        parts = []
        for title, names in (("Branches", state.branches), ("Tags", state.tags)):
            rows = [(clip(name, 60), cids.to_text(commit)) for name, commit in sorted(names.items())]
            parts.append(section(title, table(rows[:_MOST_NAMES]), count=len(rows)))
        return page(type(self).__name__, facts, parts)

    # -- names --

    @property
    def cid(self) -> CID:
        """The CID of the state, which reaches all names and their history. Each operation makes a new state."""
        return cids.from_validated(self._exchange.current().cid)

    @property
    def _state(self) -> StateNode:
        return self._exchange.current().state

    @property
    def branches(self) -> RefMapping:
        """The branches as they are now: by name the CID of the latest commit."""
        return RefMapping(self._state.branches)

    @property
    def tags(self) -> RefMapping:
        """The tags as they are now: by name the CID of the commit."""
        return RefMapping(self._state.tags)

    @property
    def default_branch(self) -> str:
        """The branch that is used where no branch is named."""
        return self._state.default

    def _find(self, ref: Ref | None, state: StateNode | None = None) -> bytes:
        """Return the binary CID of a commit; None is the default branch."""
        state = self._state if state is None else state
        return state.branches[state.default] if ref is None else find_commit(self._history, state, ref)

    def lookup(self, ref: Ref | None = None) -> Commit:
        """Return a commit.

        :param ref: a CID, a branch or a tag, each also with steps behind it; by default the default branch
        :raises RefNotFoundError: if there is no such commit
        """
        found = self._find(ref)
        return commit_of(Entry(found, self._history.load(found)))

    # -- sessions that read --

    def readonly_session(
        self,
        branch: str | None = None,
        *,
        tag: str | None = None,
        commit: Ref | None = None,
        as_of: datetime | str | None = None,
    ) -> RepositorySession:
        """Return a session that reads one version; by default the latest of the default branch.

        :param branch: the latest commit of a branch
        :param tag: the commit of a tag
        :param commit: a commit: a CID, or a branch or tag, also with steps behind it
        :param as_of: the newest commit then, along first parents: a datetime with a time zone, or its text
        :raises RefNotFoundError: if there is no such version
        :raises ValueError: if more than one of branch, tag and commit is given
        """
        version = Version(None, branch, tag, commit, as_of)
        return RepositorySession(self._exchange, None, select(self._history, self._state, version).commit)

    # -- history --

    def log(self, at: Ref | None = None) -> Iterator[Commit]:
        """Yield a commit and all its ancestors, the newest first. It streams, and reads as it goes.

        :param at: by default the default branch
        :raises IPLDStoreError: if a commit cannot be read, or breaks a bound of the format

        >>> from ipldstore import Repository
        >>> [str(commit.cid)[-6:] for commit in Repository.create({}).log()]
        ['xw5poy']
        """
        return logs.log(self._history, self._find(at))

    def graph(self, at: Ref | None = None, *, limit: int | None = None) -> str:
        """Return a drawing of the history as text, as ``git log --graph --oneline`` draws it.

        :param at: by default all branches and tags
        :param limit: the most commits
        """
        state = self._state
        tips = {*state.branches.values(), *state.tags.values()} if at is None else {self._find(at, state)}
        labels: dict[bytes, list[str]] = {}
        for names, form in ((state.branches, "{}"), (state.tags, "tag: {}")):
            for name, commit in sorted(names.items()):
                labels.setdefault(commit, []).append(form.format(name))
        return "\n".join(logs.graph(self._history, sorted(tips), labels, limit))

    def diff(self, a: Ref, b: Ref | None = None) -> Diff:
        """Return what differs between the contents of two commits. It reads nodes that differ, and no chunk.

        :param a: the older one
        :param b: the newer one; by default the default branch
        """
        state = self._state
        old, new = (self._history.load(self._find(each, state)).data for each in (a, b))
        return diff(self.castore, old, new)

    def operations(self) -> Iterator[Operation]:
        """Yield the operations on names, the latest first, as far back as the log goes. It streams."""
        return operations(self._history, self._exchange.current())

    # -- as a whole --

    @overload
    def to_car(self, stream: None = None, *, since: CID | str | None = None) -> bytes: ...
    @overload
    def to_car(self, stream: Writable, *, since: CID | str | None = None) -> None: ...
    def to_car(self, stream: Writable | None = None, *, since: CID | str | None = None) -> bytes | None:
        """Write the repository with its whole history as a CARv1: to ``stream``, or returned as bytes.

        The names are in it as they are now. The operation log is not.

        :param since: an older state or commit: only the blocks are written that it lacks
        :raises IPLDStoreError: if a block is missing or wrong; the stream then has a part of an archive
        """
        sink = BytesIO() if stream is None else stream
        known = self._exchange.current()
        with store_errors("writing an archive"):
            if since is None:
                self.castore.to_car(known.cid, sink)
            else:
                write_since(self._history, known, cids.to_bytes(since), sink)
        return sink.getvalue() if stream is None and isinstance(sink, BytesIO) else None

    def verify(self) -> int:
        """Check that every block is there with the hash in its CID, and that every commit follows the format.

        :returns: how many commits there are
        :raises NodeError: if a commit breaks a bound of the format; the message names it
        :raises IPLDStoreError: if a block is missing or wrong
        """
        state = self._exchange.current().cid
        count = check_state(self._history, state, reads_data=False)  # all blocks are read below
        roots = RootCheck(self._history)
        with store_errors("verifying"):
            for cid, block in self.castore.get_dag(state):  # each is verified as it comes
                roots.add(bytes(cid), block)
        roots.finish()
        return count


def _unpickled(kind: type[R], castore: ContentAddressableStore, head: Head, read_only: bool) -> R:
    """Return a copy of a repository in another process."""
    return kind(reopened_place(castore, head, read_only=read_only))
