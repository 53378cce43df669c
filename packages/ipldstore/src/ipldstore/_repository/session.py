"""Sessions: one branch of a repository as a store, whose changes become a commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any, NoReturn

from ipld_car import cids
from ipld_car.messages import Message, Term
from ipld_castore import AnyCID
from ipld_castore.concurrency import renew_after_fork
from multiformats import CID

from ipldstore._dataset.in_flight import putting
from ipldstore._dataset.roots import note_kept, replace_root, set_root
from ipldstore._exchange import refs
from ipldstore._exchange.advance import Advance
from ipldstore._exchange.committing import Signature, put_commit, sign
from ipldstore._exchange.exchange import TRIES, Exchange, pause
from ipldstore._exchange.head import NamedHead
from ipldstore._exchange.repeated.attempts import Attempt, Attempts, Request
from ipldstore._history.ancestry import Entry
from ipldstore._history.commit import REWRITTEN_FROM
from ipldstore._merge.conflicts import Resolve, Resolved, check_resolve
from ipldstore._merge.diff import Diff, diff
from ipldstore._revisions.record import Commit, commit_of
from ipldstore._revisions.verify import not_a_root
from ipldstore._store.ipld_store import IPLDStore
from ipldstore._writers.changes import Changes
from ipldstore._writers.take_in import OnConflict
from ipldstore.errors import ConflictError, IPLDStoreError, NoChangesError

from .merging import rebased_data, with_resolved


class RepositorySession:
    """The contents of one commit as a store, and the way to commit what is changed in it.

    Safe with threads. The session belongs to the process that made it. Workers in other processes write copies of its
    :attr:`store`, or forks, and the session commits what they wrote.

    :param exchange: of the repository
    :param branch: the branch that commits move; None for a session that only reads
    :param commit: binary CID of the commit to begin with
    """

    def __init__(self, exchange: Exchange, branch: str | None, commit: bytes) -> None:
        self._exchange = exchange
        self._history = exchange.history
        self._branch = branch
        self._base = commit
        self._base_root = self._history.load(commit).data
        self._resolved: tuple[Resolved, ...] = ()
        self._attempts = Attempts(self._history)
        root = cids.from_validated(self._base_root)
        self._store = IPLDStore(self._history.castore, root=root, read_only=branch is None)
        if self._store._history_node is not None:  # noqa: SLF001  # the store's own floor below
            raise not_a_root(commit, self._base_root)
        self._data = self._store._data  # noqa: SLF001  # likewise
        self._data.base_commit = commit
        self._data.head_name = exchange.head.name if isinstance(exchange.head, NamedHead) else None
        self._renew()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    @property
    def store(self) -> IPLDStore:
        """The contents. ``freeze`` puts blocks and returns the root, and moves no head."""
        return self._store

    @property
    def branch(self) -> str | None:
        """The branch that commits move; None for a session that only reads."""
        return self._branch

    @property
    def read_only(self) -> bool:
        """Whether the session only reads."""
        return self._branch is None

    @property
    def base_root(self) -> bytes:
        """Binary CID of the contents of the commit that the session goes on from. It reads nothing."""
        return self._base_root

    @property
    def base(self) -> Commit:
        """The commit that the session goes on from."""
        return commit_of(Entry(self._base, self._history.load(self._base)))

    @property
    def has_changes(self) -> bool:
        """Whether the contents are others than those of the commit. It writes the nodes of what has changed."""
        return self._data.write_root() != self._base_root

    def status(self) -> Diff:
        """Return what has changed since the commit. It writes the nodes of what has changed, and reads no chunk.

        :raises IPLDStoreError: if a node cannot be read or written
        """
        with self._lock:
            return diff(self._history.castore, self._base_root, self._data.write_root())

    def discard_changes(self) -> None:
        """Go back to the contents of the commit, and lose what has changed since."""
        self._require_writable("discarding changes")
        with self._lock:
            self._data.catch_up()  # what copies have written is lost with the rest
            set_root(self._data, self._base_root, "discarding changes", discard_changes=True)
            self._resolved = ()
            self._attempts.clear()  # the contents are not those of such a commit

    def commit(  # noqa: PLR0913  # keywords
        self,
        message: str,
        author: str | None = None,
        meta: Mapping[str, Any] | None = None,
        time: datetime | None = None,
        *,
        allow_empty: bool = False,
        rebase: bool = False,
        tries: int = TRIES,
        resolve: Resolve | None = None,
        append: bool = False,
    ) -> CID:
        """Commit what has changed, and move the branch to the commit; return its CID. The session goes on from it.

        Blocks are written first, and then the head of the repository moves. If only other names have moved meanwhile,
        that is no conflict. If the commit fails, all changes are still in the session. A call that failed or was
        interrupted may have made its commit before it knew: then the next call finds that commit, and goes on from it.
        Where nothing has changed since, it returns its CID.

        :param message: what was done; at most 65,536 bytes. Decisions of a rebase are added to it
        :param author: who did it; by default what the environment has as ``IPLDSTORE_AUTHOR``, else nobody
        :param meta: what else to keep, of the kinds that JSON has; at most 32,768 bytes encoded
        :param time: when it was done, with a time zone; by default the clock says
        :param allow_empty: commit also if nothing has changed
        :param rebase: if the branch has moved, bring the changes onto its new tip, as :meth:`rebase` does. If they are
            all there already, nothing is committed, and the CID is that of the tip
        :param tries: how often to try where others commit at the same time
        :param resolve: how a rebase decides conflicts
        :param append: see :meth:`rebase`
        :raises NoChangesError: if nothing has changed
        :raises ConflictError: if the branch has moved; it says what moved it. With ``rebase`` a
            :class:`MergeConflictError` if both have changed the same
        :raises ValueError: if an argument breaks a bound of the format
        :raises IPLDStoreError: if blocks cannot be written
        """
        branch = self._require_writable("committing")
        check_resolve(resolve)
        by = sign(author, time)
        request = Request("commit", (message, author, meta, time))
        if tries < 1:
            raise ValueError(f"expected at least one try, found {tries}")
        with self._lock, putting(self._history.castore):
            earlier = self._go_on_from_attempt(branch)
            for attempt in count(1):
                root = self._data.write_root()
                if root == self._base_root:
                    has_caught_up = attempt > 1 and not allow_empty  # the branch has got the same changes meanwhile
                    if has_caught_up or self._is_done(earlier, request, allow_empty=allow_empty):
                        return self._finish(self._base, root)
                    if not allow_empty:
                        raise self._nothing_to_commit()
                advance = Advance(self._history, branch, self._base)
                put = partial(self._put_commit, root, [self._base], message, meta, by)
                try:
                    return self._move(advance, put, request, by, root, tries)
                except ConflictError:
                    if advance.moved_to is None or attempt == tries:
                        raise
                    earlier = self._go_on_from_attempt(branch)  # whose exchange may have been late
                    if earlier is None and not rebase:
                        raise
                if earlier is None:
                    pause(attempt)
                    self._rebase_onto(advance.moved_to, resolve, append=append)
        raise AssertionError  # the last try returns or raises

    def _go_on_from_attempt(self, branch: str) -> Attempt | None:
        """Go on from the commit of an earlier call, which did not come to know it, if the branch has it.

        :return: what that call was; None if there was none, or the branch does not have its commit
        """
        made = None
        if self._attempts:
            made = self._attempts.find_made(self._exchange.current().state.branches.get(branch))
        if made is not None:
            self._go_on_from(made.commit)
            self._resolved = self._resolved[made.decisions :]
            self._attempts.clear()
        return made

    def _is_done(self, earlier: Attempt | None, request: Request, *, allow_empty: bool) -> bool:
        """Return whether an earlier call has made the commit that is asked for, whose contents are the same."""
        if earlier is None:
            return False
        return earlier.request == request or (earlier.request.verb == request.verb == "commit" and not allow_empty)

    def _put_commit(
        self, root: bytes, parents: Sequence[bytes], message: str, meta: Mapping[str, Any] | None, by: Signature
    ) -> bytes:
        """Put a commit whose message also says what rebases have decided; return its binary CID."""
        return put_commit(self._history, root, parents, with_resolved(message, self._resolved), meta, by)

    def _move(
        self,
        advance: Advance,
        put: Callable[[], bytes],
        request: Request,
        by: Signature,
        root: bytes,
        tries: int = TRIES,
    ) -> CID:
        """Put a commit, move the branch to it, and go on from it; return its CID.

        Until the session knows that the branch has moved, the commit is an attempt.

        :param put: puts the commit and returns its binary CID
        :param root: binary CID of the contents of the commit
        :raises ConflictError: if the branch has moved, also before anything is put
        """
        known = self._exchange.current()
        advance.check(known.state)
        advance.commit = put()
        self._attempts.begin(Attempt(request, advance.commit, len(self._resolved)))
        try:
            self._exchange.update(f"{request.verb} {self._branch}", advance, by, tries=tries, known=known)
        except ConflictError:
            if advance.moved_to is not None:
                self._attempts.drop_last()
            raise
        return self._finish(advance.commit, root)

    def _nothing_to_commit(self) -> NoChangesError:
        return NoChangesError(
            Message(
                f"committing to {self._branch!r}: expected changes, found the contents of the commit "
                f"{cids.to_text(self._base)}",
                Term("allow_empty=True", ": allow_empty=True commits them again"),
            )
        )

    def _go_on_from(self, commit: bytes) -> None:
        self._base, self._base_root = commit, self._history.load(commit).data
        self._data.base_commit = commit

    def _finish(self, commit: bytes, root: bytes) -> CID:
        self._go_on_from(commit)
        self._resolved = ()
        note_kept(self._data, root)
        self._attempts.clear()
        return cids.from_validated(commit)

    def amend(
        self,
        message: str | None = None,
        author: str | None = None,
        meta: Mapping[str, Any] | None = None,
        time: datetime | None = None,
    ) -> CID:
        """Write the latest commit anew, with what has changed since; return its CID. The branch moves to it.

        The commit that was there is in the operation log, and in no copy that is made from now on.

        :param message: by default that of the commit
        :param author: by default what the environment has as ``IPLDSTORE_AUTHOR``, else that of the commit
        :param meta: by default that of the commit, without what :meth:`Repository.expire` has noted there
        :param time: see :meth:`commit`; later than the parents
        :raises ConflictError: if the branch has moved
        :raises IPLDStoreError: if the commit is the first, which all repositories share, or blocks cannot be written
        :raises ValueError: if an argument breaks a bound of the format
        """
        branch = self._require_writable("amending")
        request = Request("amend", (message, author, meta, time))
        with self._lock, putting(self._history.castore):
            earlier = self._go_on_from_attempt(branch)
            root = self._data.write_root()
            if root == self._base_root and self._is_done(earlier, request, allow_empty=True):
                return self._finish(self._base, root)
            old = self._history.load(self._base)
            by = sign(author, time, otherwise=old.author)
            if not old.parents:
                raise IPLDStoreError(
                    f"amending {branch!r}: expected a commit of this repository, found the first one, which all "
                    f"repositories share: commit(...) makes the next"
                )
            if meta is None:  # what expire() has noted is about the commit that was
                meta = {name: value for name, value in old.meta.items() if name != REWRITTEN_FROM}
            text = old.message if message is None else message
            put = partial(self._put_commit, root, old.parents, text, meta, by)
            return self._move(Advance(self._history, branch, self._base), put, request, by, root)

    def rebase(self, resolve: Resolve | None = None, *, append: bool = False) -> Commit:
        """Bring what has changed onto the present commit of the branch, and go on from that; return that commit.

        It is the three-way merge of :meth:`Repository.merge`, with the changes of this session as "ours".

        :param resolve: how conflicts are decided; see :meth:`Repository.merge`
        :param append: where both have appended to the same arrays, shift what this session appended behind the rest:
            all arrays of the dimension together, where the new chunks are whole
        :raises MergeConflictError: if both have changed the same; the session is as it was
        :raises ConflictError: if an append cannot be shifted; the session is as it was
        :raises IPLDStoreError: if the branch does not go on from the commit of this session, as it was reset or expired
        """
        branch = self._require_writable("rebasing")
        check_resolve(resolve)
        with self._lock, putting(self._history.castore):
            self._go_on_from_attempt(branch)
            tip = refs.require_branch(self._exchange.current().state, branch)
            self._rebase_onto(tip, resolve, append=append)
            return self.base

    def _rebase_onto(self, tip: bytes, resolve: Resolve | None, *, append: bool) -> None:
        if tip == self._base:
            return
        what = f"rebasing onto {self._branch!r}"
        for _ in range(TRIES):
            root = self._data.write_root()
            merged = rebased_data(self._history, self._base, tip, root, resolve=resolve, append=append, what=what)
            if replace_root(self._data, root, merged.root):  # else another thread has written meanwhile
                self._go_on_from(tip)
                self._resolved += merged.resolved
                self._attempts.clear()
                return
        raise ConflictError(
            Message(
                f"{what}: expected a moment without changes by other threads of this process, found some in each of "
                f"{TRIES} tries; ",
                Term("rebase()", "the changes are still there"),
            )
        )

    def fork(self) -> IPLDStore:
        """Return a fork of the store, for a worker in any process; see :meth:`IPLDStore.fork`."""
        self._require_writable("forking")
        return self._store.fork()

    def merge(self, *forks: Changes | IPLDStore, on_conflict: OnConflict = "raise") -> None:
        """Take in what forks have changed; see :meth:`IPLDStore.merge`."""
        self._require_writable("merging forks")
        self._store.merge(*forks, on_conflict=on_conflict)

    def move(self, old: str, new: str) -> None:
        """Rename an array or group, without rewriting a chunk; see :meth:`IPLDStore.move`."""
        self._require_writable("moving")
        self._store.move(old, new)

    def graft(self, path: str, cid: AnyCID, *, overwrite: bool = False) -> None:
        """Put a whole dataset, group or array at a path, by its CID; see :meth:`IPLDStore.graft`."""
        self._require_writable("grafting")
        self._store.graft(path, cid, overwrite=overwrite)

    def _require_writable(self, what: str) -> str:
        if self._branch is None:
            raise IPLDStoreError(
                f"{what}: expected a writable session, found one that only reads: writable_session(...)"
            )
        return self._branch

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "expected a store to pickle, found a session, which stays where it was opened: pickle session.store, or "
            "session.fork() and merge what comes back; a Repository over a folder or a bucket can be pickled"
        )

    def __repr__(self) -> str:
        where = "read-only" if self._branch is None else f"on {self._branch!r}"
        return f"<{type(self).__name__} {where} at {cids.to_text(self._base)}>"
