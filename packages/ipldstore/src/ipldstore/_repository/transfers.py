"""Copies of all that a root reaches, from one block store to another, with a bar; and what of a repository is new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import tee
from typing import Final

from ipld_car import cids, shared_cids, walk_binary
from ipld_castore import AnyCID, BlockNotFoundError, ContentAddressableStore, Transferred, transfer
from ipld_castore.concurrency import in_order

from ipldstore._display.bars import open_bar
from ipldstore._exchange.exchange import Known
from ipldstore._exchange.first import FIRST
from ipldstore._history.ancestry import walk_beyond
from ipldstore._history.state import StateNode
from ipldstore._revisions.ahead import FEW, CommitsAhead
from ipldstore._revisions.history import History
from ipldstore.errors import LOWER_ERRORS, BlockMissingError, IPLDStoreError, store_errors

_THREADS: Final = 16
"""Commits whose new blocks are read at a time where they are far away."""
_AHEAD_BYTES: Final = 1 << 20
"""Bytes of each of these commits that are read before its turn comes."""

Get = Callable[[bytes], bytes]
"""Returns the verified bytes of a block for its binary CID."""


def transfer_all(
    what: str,
    root: AnyCID,
    src: ContentAddressableStore,
    dst: ContentAddressableStore,
    progress: bool | None,
    check: Callable[[], None] | None = None,
) -> Transferred:
    """Copy the blocks below a root that the destination lacks.

    :param what: what is being done, for errors and the bar: "pushing"
    :param progress: whether to show a bar; see :func:`ipldstore.push`
    :param check: see :func:`ipld_castore.transfer`
    :raises IPLDStoreError: if a block is lost, or one of the two cannot be reached
    """
    with store_errors(what), open_bar(what, unit=" blocks", progress=progress) as bar:

        def show(blocks: int, known: int, size: int) -> None:
            bar.set(blocks, known, f"{size / 1e6:.1f} MB")

        return transfer(root, src, dst, show if bar.is_shown else None, check=check)


def check_of_new(
    history: History, state: Known, there: StateNode | None, dst: ContentAddressableStore
) -> Callable[[], None] | None:
    """Return a check that a repository has all blocks that it was sent, without reading older ones; see `transfer`.

    :param history: the repository that is at hand: the source of a push, the destination of a pull
    :param state: the state that was sent
    :param there: the state that the destination had before; None if it had none
    :returns: None if the destination had no history, so that everything is new
    """
    known = [] if there is None else [tip for tip in tips_of(there) if tip != FIRST and _is_at_hand(history, tip)]
    if not known:
        return None

    def check() -> None:
        new = blocks_beyond(history, state, known, _nodes_of(history))
        asked, wanted = tee(cid for cid, _ in new if cids.multihash_of(cid)[0] != cids.IDENTITY)
        try:
            for cid, is_there in zip(wanted, dst.has_blocks(map(cids.from_validated, asked)), strict=True):
                if not is_there:
                    raise BlockNotFoundError(f"no block {cids.to_text(cid)} in {dst!r}")
        except BlockMissingError as error:  # the destination of a pull, which is read here, lacks it
            raise BlockNotFoundError(str(error)) from error

    return check


def _is_at_hand(history: History, commit: bytes) -> bool:
    try:
        history.load(commit)
    except BlockMissingError:
        return False
    return True


def _nodes_of(history: History) -> Get:
    """Return what reads the nodes of a history, and no raw block: of these only the CIDs are wanted."""
    get = history.castore.get_raw
    return lambda cid: b"" if cids.codec_of(cid) == cids.RAW else get(cid)


def tips_of(state: StateNode) -> list[bytes]:
    """Return the binary CIDs of the commits that a state names, each once."""
    return list(dict.fromkeys((*state.branches.values(), *state.tags.values())))


def blocks_beyond(history: History, state: Known, known: list[bytes], get: Get) -> Iterator[tuple[bytes, bytes]]:
    """Yield the state, then the new commits, the oldest first, each followed by what its first parent lacks.

    A commit comes after its parents: what it shares with its first parent has then come too, or was there before.

    :param known: binary CIDs of commits that are there before, with all that they reach
    :param get: reads the blocks
    """
    done: set[bytes] = set(tips_of(state.state))  # the walk of the state ends at its commits
    yield from walk_binary(get, state.cid, done)
    new = [entry.cid for entry in walk_beyond(CommitsAhead(history, FEW).load, tips_of(state.state), known)]
    new.reverse()
    nothing: dict[bytes, bytes] = {}
    read = partial(_read_new, history, get)
    ahead = ((cid, nothing) for cid in new) if history.castore.local else in_order(read, new, threads=_THREADS)
    for cid, here in ahead:

        def get_here(wanted: bytes, here: dict[bytes, bytes] = here) -> bytes:
            found = here.get(wanted)
            return get(wanted) if found is None else found

        yield cid, get_here(cid)
        commit = history.load(cid)
        for parent in commit.parents[:1]:
            done |= shared_cids(get_here, history.load(parent).data, commit.data)
        if commit.data not in done:
            yield from walk_binary(get_here, commit.data, done)


class _EnoughRead(Exception):  # noqa: N818  # nothing is wrong
    """Raised to end a walk."""


def _read_new(history: History, get: Get, cid: bytes) -> dict[bytes, bytes]:
    """Return the first blocks, up to some 1 MiB, that a commit has and its first parent lacks, and what tells them.

    What cannot be read is an error when its turn comes.
    """
    found: dict[bytes, bytes] = {}
    size = 0

    def noting(wanted: bytes) -> bytes:
        nonlocal size
        if wanted not in found:
            if size > _AHEAD_BYTES:
                raise _EnoughRead
            found[wanted] = get(wanted)
            size += len(found[wanted])
        return found[wanted]

    with suppress(_EnoughRead, IPLDStoreError, *LOWER_ERRORS):
        noting(cid)
        commit = history.load(cid)
        done: set[bytes] = set()
        for parent in commit.parents[:1]:
            done |= shared_cids(noting, history.load(parent).data, commit.data)
        for _ in walk_binary(noting, commit.data, done) if commit.data not in done else ():
            pass
    return found
