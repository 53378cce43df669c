"""The public repository: the verbs that change names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ipld_car import cids
from multiformats import CID

from ipldstore._dataset.in_flight import linking
from ipldstore._exchange import refs
from ipldstore._exchange.committing import sign
from ipldstore._exchange.exchange import TRIES, Change
from ipldstore._exchange.expire import expire
from ipldstore._exchange.operations import restore, undo
from ipldstore._exchange.repeated import verbs
from ipldstore._garbage.collect import Compacted
from ipldstore._merge.conflicts import Resolve, check_resolve
from ipldstore._revisions.refspec import Ref
from ipldstore._revisions.times import limit_of

from . import combining
from .base import RepositoryBase
from .collect import garbage_collect
from .places import Where, open_place, options_of
from .session import RepositorySession
from .sync import Synced, pull, push

if TYPE_CHECKING:
    from ipldstore._store.ipld_store import IPLDStore


class Repository(RepositoryBase):
    """Versions of a dataset: branches and tags over a block store with a head.

    :attr:`cid` is the state of the repository, and reaches all of its history: copying, pinning or archiving it takes
    the repository whole. Any number of processes may commit to a repository in a folder or a bucket; a CAR file is open
    for writing in one process at a time.

    Wherever a commit is asked for, a CID, a branch or a tag will do, looked up in this order, each also with steps
    behind it: ``main~3``, ``main@2024-05-01T00:00Z``.

    A call that failed, or was interrupted, may have moved names before. The same call, repeated by the same thread
    before it moves names otherwise, finds what was done, and does not do it twice.

    :meth:`create`, :meth:`open`, :meth:`open_or_create` and :meth:`from_car` make one. Safe with threads.

    >>> from ipldstore import Repository
    >>> repo = Repository.create({})
    >>> session = repo.writable_session("main")
    >>> session.store["a/0"] = b"chunk"
    >>> cid = session.commit("the first chunk")
    >>> [commit.message for commit in repo.log()]
    ['the first chunk', '']
    >>> list(repo.readonly_session(commit="main~1").store)
    []
    """

    # -- sessions --

    def writable_session(self, branch: str | None = None) -> RepositorySession:
        """Return a session that goes on from the latest commit of a branch.

        :param branch: by default the default branch
        :raises RefNotFoundError: if there is no such branch
        :raises IPLDStoreError: if the repository can only be read
        """
        self._require_writable("a writable session")
        state = self._state
        name = state.default if branch is None else refs.branch_name(state, branch)
        return RepositorySession(self._exchange, name, state.branches[name])

    @contextmanager
    def transaction(  # noqa: PLR0913  # keywords
        self,
        branch: str | None = None,
        *,
        message: str,
        author: str | None = None,
        meta: Mapping[str, Any] | None = None,
        time: datetime | None = None,
        allow_empty: bool = False,
        rebase: bool = False,
        tries: int = TRIES,
        resolve: Resolve | None = None,
        append: bool = False,
    ) -> Iterator[IPLDStore]:
        """Yield the store of a session, and commit what was changed in it at the end; after an error, nothing.

        :param branch: by default the default branch
        :raises NoChangesError: if nothing was changed, without ``allow_empty``
        :raises ConflictError: if the branch has moved; see :meth:`RepositorySession.commit`, also for the arguments

        >>> from ipldstore import Repository
        >>> repo = Repository.create({})
        >>> with repo.transaction(message="one chunk") as store:
        ...     store["a/0"] = b"chunk"
        >>> repo.lookup().message
        'one chunk'
        """
        session = self.writable_session(branch)
        yield session.store
        session.commit(
            message,
            author,
            meta,
            time,
            allow_empty=allow_empty,
            rebase=rebase,
            tries=tries,
            resolve=resolve,
            append=append,
        )

    # -- branches and tags --

    @verbs.recognised(verbs.commit_of, verbs.has_name)
    def create_branch(self, name: str, at: Ref | None = None) -> CID:
        """Make a branch; return the CID of its commit.

        :param name: see history.md, section 3: no "/", "~" or "@"
        :param at: the commit; by default that of the default branch
        :raises RefExistsError: if there is a branch or tag of that name
        :raises ValueError: if the format does not allow the name
        """
        with self._linking():
            commit = self._find_whole(at)
            self._update(f"create branch {name}", lambda state: refs.create_branch(state, name, commit))
        return cids.from_validated(commit)

    @verbs.recognised(verbs.commit_of)
    def reset_branch(self, name: str, to: Ref, expected: Ref | None = None) -> CID:
        """Move a branch to any commit; return its CID. Where it was is in the operation log.

        :param to: the commit
        :param expected: the commit where the branch must be; by default any
        :raises ConflictError: if it is at another
        """
        with self._linking():
            commit = self._find_whole(to)
            before = None if expected is None else self._find(expected)
            self._update(f"reset branch {name}", lambda state: refs.move_branch(state, name, commit, before))
        return cids.from_validated(commit)

    @verbs.recognised(verbs.nothing, verbs.lacks_name)
    def delete_branch(self, name: str) -> None:
        """Delete a branch that is not the default. The operation log brings it back: see :meth:`undo`.

        :raises RefNotFoundError: if there is none
        :raises IPLDStoreError: if it is the default
        """
        self._update(f"delete branch {name}", lambda state: refs.delete_branch(state, name))

    @verbs.recognised(verbs.nothing, verbs.has_renamed)
    def rename_branch(self, old: str, new: str) -> None:
        """Give a branch another name.

        :raises RefNotFoundError: if there is none
        :raises RefExistsError: if there is a branch or tag of the new name
        """
        self._update(f"rename branch {old} to {new}", lambda state: refs.rename_branch(state, old, new))

    @verbs.recognised(verbs.commit_of, verbs.has_name)
    def create_tag(self, name: str, at: Ref | None = None) -> CID:
        """Make a tag, which does not move; return the CID of its commit. The arguments are those of a branch.

        :raises RefExistsError: if there is a branch or tag of that name
        """
        with self._linking():
            commit = self._find_whole(at)
            self._update(f"create tag {name}", lambda state: refs.create_tag(state, name, commit))
        return cids.from_validated(commit)

    @verbs.recognised(verbs.nothing, verbs.lacks_name)
    def delete_tag(self, name: str) -> None:
        """Delete a tag.

        :raises RefNotFoundError: if there is none
        """
        self._update(f"delete tag {name}", lambda state: refs.delete_tag(state, name))

    def set_default(self, branch: str) -> None:
        """Make a branch the default, which is used where no branch is named.

        :raises RefNotFoundError: if there is none
        """
        self._update(f"set default {branch}", lambda state: refs.set_default(state, branch))

    def _linking(self) -> AbstractContextManager[None]:
        """Hold off garbage collections of this process until a commit that was found has its name or child."""
        return linking(self._history.castore)

    def _find_whole(self, ref: Ref | None) -> bytes:
        """Return the binary CID of a commit that is to get a name or a child, and so must be in the block store."""
        self._require_writable("naming a commit")
        found = self._find(ref)
        self._history.require([found])
        return found

    def _update(self, operation: str, change: Change) -> None:
        self._require_writable(operation)
        self._exchange.update(operation, change, sign(None, None))

    # -- bringing branches together --

    def merge(  # noqa: PLR0913  # keywords
        self,
        ref: Ref,
        into: str | None = None,
        *,
        message: str | None = None,
        resolve: Resolve | None = None,
        fast_forward: bool = False,
        unrelated: bool = False,
        author: str | None = None,
        meta: Mapping[str, Any] | None = None,
        time: datetime | None = None,
    ) -> CID:
        """Merge a commit into a branch, three-way; return the CID of the latest commit of the branch then.

        What is merged are contents, by the rules that ``docs/history.md`` has, and not logs: its cost is that of the
        difference. A commit that the branch has already changes nothing.

        :param ref: the commit, usually a branch: "theirs"
        :param into: the branch: "ours"; by default the default branch
        :param message: by default it says what was merged, and what was resolved
        :param resolve: what to do with conflicts: "ours" or "theirs"; a mapping from path, or path and attribute, to
            either; or a function that gets a :class:`MergeConflict` and returns either, or None
        :param fast_forward: make no commit where the branch only has to go on to ``ref``
        :param unrelated: merge also if the two have nothing in common but the first commit, which all repositories
            share: an old copy could bring back what was deleted before ``expire``
        :raises MergeConflictError: if both have changed the same; it has the conflicts, and nothing has changed
        :raises IPLDStoreError: if they are unrelated
        """
        with self._linking():
            theirs = self._find_whole(ref)
            name = ref if isinstance(ref, str) else cids.to_text(theirs)
            request = self._request(into, message, meta, author, time, resolve)
            made = combining.merge(
                self._exchange, theirs, name, request, fast_forward=fast_forward, unrelated=unrelated
            )
        return cids.from_validated(made)

    @verbs.recognised(verbs.tip_of)
    def cherry_pick(
        self,
        commit: Ref,
        onto: str | None = None,
        *,
        message: str | None = None,
        resolve: Resolve | None = None,
        author: str | None = None,
        meta: Mapping[str, Any] | None = None,
        time: datetime | None = None,
    ) -> CID:
        """Make the changes of one commit on a branch; return the CID of the latest commit of the branch then.

        The changes are those from its first parent. Changes that the branch has already make no commit.

        :param onto: the branch; by default the default branch. The other arguments are those of :meth:`merge`
        :raises MergeConflictError: see :meth:`merge`
        :raises IPLDStoreError: if the commit is the first, or :meth:`expire` has dropped the one before it
        """
        request = self._request(onto, message, meta, author, time, resolve)
        with self._linking():
            return cids.from_validated(combining.cherry_pick(self._exchange, self._find_whole(commit), request))

    @verbs.recognised(verbs.tip_of)
    def revert(
        self,
        commit: Ref,
        onto: str | None = None,
        *,
        message: str | None = None,
        resolve: Resolve | None = None,
        author: str | None = None,
        meta: Mapping[str, Any] | None = None,
        time: datetime | None = None,
    ) -> CID:
        """Take the changes of one commit back, by a new one; the arguments are those of :meth:`cherry_pick`."""
        request = self._request(onto, message, meta, author, time, resolve)
        with self._linking():
            return cids.from_validated(combining.revert(self._exchange, self._find_whole(commit), request))

    def _request(
        self,
        branch: str | None,
        message: str | None,
        meta: Mapping[str, Any] | None,
        author: str | None,
        time: datetime | None,
        resolve: Resolve | None,
    ) -> combining.Request:
        self._require_writable("a commit")
        check_resolve(resolve)
        state = self._state
        name = state.default if branch is None else refs.branch_name(state, branch)
        return combining.Request(name, message, meta, sign(author, time), resolve)

    # -- undo, forgetting, freeing --

    @verbs.recognised(verbs.state_of)
    def undo(self) -> CID:
        """Give all names back what they were before the latest operation; return the CID of the new state.

        Undoing again goes one operation further back. :meth:`restore` goes anywhere in the log, also forward.

        :raises IPLDStoreError: if there is nothing to undo, or garbage collection has taken the state before
        """
        self._require_writable("undo")
        with self._linking():
            return cids.from_validated(undo(self._exchange, sign(None, None)).cid)

    def restore(self, state: CID | str) -> CID:
        """Give all names back what they were in a state of the operation log; return the CID of the new state.

        :param state: the CID that :meth:`operations` gives
        :raises IPLDStoreError: if garbage collection has taken that state
        """
        self._require_writable("restore")
        with self._linking():
            return cids.from_validated(restore(self._exchange, cids.to_bytes(state), sign(None, None)).cid)

    @verbs.recognised(verbs.kept_by)
    def expire(self, older_than: timedelta | datetime, *, keep_tags: bool = True) -> dict[CID, CID]:
        """Write the kept commits anew without what is older; return the new CID of each commit that is kept.

        The latest commit of each branch is kept, whatever its age, and so are the bases of any two kept commits: merges
        give what they gave before. ``data`` stays the same. Blocks are freed by :meth:`garbage_collect`, once the
        operation log no longer needs them. Sessions that were open, and copies of the repository from before, do not
        go on from the new commits.

        :param older_than: an age, or an instant with a time zone
        :param keep_tags: keep commits that tags name; else tags of older commits are deleted
        """
        self._require_writable("expire")
        return expire(self._exchange, limit_of(older_than), sign(None, None), keep_tags=keep_tags)

    def garbage_collect(
        self, older_than: timedelta | datetime, *, dry_run: bool = False, progress: bool | None = None
    ) -> Compacted:
        """Free the blocks that no name needs; return how many, and their bytes.

        It keeps what the state reaches, what any state reaches that was current since ``older_than``, what sessions of
        writers need, and blocks that were put since, with what they link. It works beside running writers: threads of
        this process, whatever the age, and in folders and buckets other processes too, by the clock of the store. In a
        CAR file and a mapping, which one process writes, the blocks that it found there are old, and states go by the
        time written in them.

        :param older_than: an age, or an instant with a time zone. It should be longer than any session
            of another process lasts
        :param dry_run: free nothing, and say what would be freed
        :param progress: whether to show a bar; see :meth:`push`
        :raises IPLDStoreError: if a block that is needed is missing, or the block store frees none
        """
        self._require_writable("garbage_collect")
        return garbage_collect(self._exchange, older_than, dry_run=dry_run, progress=progress)

    # -- other places --

    def push(self, to: Where, *, force: bool = False, progress: bool | None = None, **options: Any) -> Synced:
        """Bring the repository to another place, whose head then names the same state. Only missing blocks are sent.

        Names there that are in the operation log of this repository may move and be deleted as they were here, except
        that a tag does not move. If a name there does not move forward, the state there gets the same names as here,
        and the operation log there goes on: :meth:`undo` there brings the names back.

        :param to: another repository, or where one is or is to be
        :param force: overwrite names there that are not in our past; the result says which
        :param progress: whether to show a bar; by default in a notebook, and where standard error is a terminal
        :param options: of the other place; see :meth:`open`
        :raises ConflictError: if names there are not in our past, or a tag there is another
        :raises IPLDStoreError: if a block is lost, or one of the two cannot be reached
        """
        state = self._exchange.current()
        place = open_place(to, options_of(options), create=True)
        return push(self._history, state, place, force=force, progress=progress)

    def pull(self, source: Where, *, force: bool = False, progress: bool | None = None, **options: Any) -> Synced:
        """Get what another repository has: its commits, each checked with its ``data``, and its names, moved forward.

        Branches that are further on here stay. A new, empty repository becomes the other one, with the same CID.

        :param source: another repository, or where one is
        :param force: overwrite names here that are not in its past; the result says which
        :param progress: see :meth:`push`
        :param options: see :meth:`push`
        :raises ConflictError: if a name here is not in its past, nor the other way round
        :raises NodeError: if a commit there breaks a bound of the format; no name has moved then
        """
        self._require_writable("pull")
        place = open_place(source, options_of({"read_only": True} | options))
        return pull(self._exchange, place, force=force, progress=progress)
