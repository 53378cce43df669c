"""Commits and states of a block store, decoded, checked and cached."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final, TypeVar

from ipld_car import cids
from ipld_car.lru import LRU
from ipld_castore import ContentAddressableStore, TieredCAStore
from ipld_castore.concurrency import renew_after_fork

from ipldstore._format.nodes import COMMIT_FIELD, STATE_FIELD, history_field
from ipldstore._history.commit import CommitNode, decode_commit
from ipldstore._history.fields import is_node_link
from ipldstore._history.state import StateNode, decode_state
from ipldstore.errors import LOWER_ERRORS, BlockMissingError, NodeError, store_errors

T = TypeVar("T")

CACHE_BYTES: Final = 4 << 20
"""Bytes of blocks whose decoded commits are cached."""
_FIRST_LINE: Final = 8
"""First parents that come with a commit, when the walk down a line begins; then twice as many each time."""
_LONGEST_LINE: Final = 64
_MOST_LINES: Final = 256
"""Ends of lines that are remembered."""

_FIRST_PARENT: Final = ("parents", "0")
"""The path of IPLD from a commit to its first parent."""


class History:
    """The commits and states of one block store. Safe with threads.

    Where the block store sends the blocks of a path in one answer, as a gateway does, a walk down first parents gets
    several commits with each request.

    :param castore: the block store
    """

    def __init__(self, castore: ContentAddressableStore) -> None:
        self.castore = castore
        self._cache: LRU[bytes, CommitNode] = LRU(CACHE_BYTES)
        self._state: tuple[bytes, StateNode] | None = None
        self.sends_paths = _sends_paths(castore)
        """Whether the commits of a line come in one answer."""
        self._lines: dict[bytes, int] = {}
        """Commits that lie just below a line that was fetched, each with the length of that line."""
        self._renew()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def load(self, cid: bytes) -> CommitNode:
        """Return the fields of a commit.

        :param cid: its binary CID
        :raises NodeError: if the block is no commit
        :raises IPLDStoreError: if the block cannot be read
        """
        with self._lock:
            found = self._cache.get(cid)
            line = self._lines.pop(cid, 0)
        if found is not None:
            return found
        _require_node_link(cid, "commit")
        if self.sends_paths:
            return self._load_path(cid, _FIRST_PARENT * line, line)
        with store_errors(f"reading the commit {cids.to_text(cid)}"):
            block = self.castore.get_raw(cid)
        return self.decode(cid, block)

    def is_cached(self, cid: bytes) -> bool:
        """Return whether a commit is at hand, without reading it.

        :param cid: its binary CID
        """
        with self._lock:
            return self._cache.peek(cid) is not None

    def require(self, commits: Iterable[bytes]) -> None:
        """Require that the block store has all these commits now: a cached one may have been collected since.

        :param commits: binary CIDs of commits that are to get a name, or a child
        :raises BlockMissingError: if it lacks one
        """
        wanted = list(dict.fromkeys(commits))
        with store_errors("looking for commits"):
            there = list(self.castore.has_blocks(map(cids.from_validated, wanted)))
        for cid, is_there in zip(wanted, there, strict=True):
            if not is_there:
                raise BlockMissingError(f"expected the commit {cids.to_text(cid)}, found no block in {self.castore!r}")

    def prefetch(self, cid: bytes, names: Sequence[str]) -> None:
        """Get the commits on a path together, where the block store sends them in one answer.

        :param cid: the commit that a walk begins at
        :param names: the path of IPLD that the walk takes
        """
        if self.sends_paths and len(names) > 1:
            self._load_path(cid, names, 0)

    def _load_path(self, cid: bytes, names: Sequence[str], line: int) -> CommitNode:
        """Load a commit and those on the path below it, with one request where all goes well."""
        blocks = self.castore.get_path(cid, names)
        with store_errors(f"reading the commit {cids.to_text(cid)}"):
            _, block = next(blocks)
        commit = last = self.decode(cid, block)
        try:
            for below, data in blocks:
                last = self.decode(bytes(below), data)
        except (NodeError, *LOWER_ERRORS):  # it is an error when the walk comes to that commit
            return commit
        if last.parents:
            length = min(_LONGEST_LINE, 2 * line if line else _FIRST_LINE)
            with self._lock:
                if len(self._lines) >= _MOST_LINES:
                    self._lines.clear()
                self._lines[last.parents[0]] = length
        return commit

    def decode(self, cid: bytes, block: bytes) -> CommitNode:
        """Return the fields of a commit whose verified block the caller has.

        :raises NodeError: if the block is no commit; the message names it
        """
        commit = _named("commit", cid, lambda: decode_commit(block))
        with self._lock:
            self._cache.put(cid, commit, len(block))
        return commit

    def load_state(self, cid: bytes) -> StateNode:
        """Return the fields of a state.

        :param cid: its binary CID
        :raises NodeError: if the block is no state
        :raises IPLDStoreError: if the block, or a block of names, cannot be read
        """
        kept = self._state
        if kept is not None and kept[0] == cid:
            return kept[1]
        _require_node_link(cid, "state")
        with store_errors(f"reading the state {cids.to_text(cid)}"):
            block = self.castore.get_raw(cid)
        return self.decode_state(cid, block)

    def is_state(self, cid: bytes) -> bool:
        """Return whether a block is a state, valid or not.

        :raises IPLDStoreError: if the block cannot be read
        """
        return self._has_field(cid, STATE_FIELD)

    def is_commit(self, cid: bytes) -> bool:
        """Return whether a block is a commit, valid or not.

        :raises IPLDStoreError: if the block cannot be read
        """
        return self._has_field(cid, COMMIT_FIELD)

    def _has_field(self, cid: bytes, field: str) -> bool:
        if not is_node_link(cid):
            return False
        with store_errors(f"reading the head {cids.to_text(cid)}"):
            return history_field(self.castore.get_raw(cid)) == field

    def decode_state(self, cid: bytes, block: bytes) -> StateNode:
        """Return the fields of a state whose verified block the caller has.

        :raises NodeError: if the block is no state; the message names it
        """

        def get(names: bytes) -> bytes:
            with store_errors(f"reading names of the state {cids.to_text(cid)}"):
                return self.castore.get_raw(names)

        state = _named("state", cid, lambda: decode_state(block, get))
        self._state = cid, state
        return state


def _sends_paths(castore: ContentAddressableStore) -> bool:
    """Return whether the blocks of a path come with one request."""
    while isinstance(castore, TieredCAStore):
        castore = castore.far
    from ipld_castore import GatewayCAStore

    return isinstance(castore, GatewayCAStore)


def _named(kind: str, cid: bytes, decode: Callable[[], T]) -> T:
    try:
        return decode()
    except NodeError as error:
        raise NodeError(f"{kind} {cids.to_text(cid)}: {error}") from error


def _require_node_link(cid: bytes, kind: str) -> None:
    if not is_node_link(cid):
        raise NodeError(
            f"expected a {kind}, a block with codec dag-cbor and hash sha2-256; found the CID {cids.to_text(cid)[:200]}"
        )


def path_down(steps: Iterable[bool]) -> list[str]:
    """Return the path of IPLD along steps down a history.

    :param steps: for each step whether it is a jump; else it is a first parent

    >>> path_down([True, False])
    ['jump', 'parents', '0']
    """
    return list(chain.from_iterable(("jump",) if jump else _FIRST_PARENT for jump in steps))
