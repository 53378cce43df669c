"""Archives of what a repository has got since: commits that are new, and of each what its parent had not."""

from __future__ import annotations

from collections.abc import Iterator

from ipld_car import CarWriter, Writable, cids, shared_cids, walk_binary

from ipldstore._exchange.exchange import Known
from ipldstore._history.ancestry import walk_beyond
from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History


def write_since(history: History, state: Known, since: bytes, stream: Writable) -> None:
    """Write the blocks of a state that an older one lacks as a CARv1, whose root is the state.

    :param since: binary CID of the older state, or of a commit
    :raises IPLDStoreError: if a block is missing or wrong
    """
    old = history.load_state(since) if history.is_state(since) else None
    known = [since] if old is None else _tips(old)
    with CarWriter(stream, [cids.from_validated(state.cid)], verify=False) as writer:  # the store has verified
        for cid, data in _new_blocks(history, state, known):
            writer.write(cids.from_validated(cid), data)


def _tips(state: StateNode) -> list[bytes]:
    return list(dict.fromkeys((*state.branches.values(), *state.tags.values())))


def _new_blocks(history: History, state: Known, known: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the state, then the new commits, the oldest first, each followed by what its first parent lacks.

    A commit comes after its parents: what it shares with its first parent is then in the archive, or there before.
    """
    get = history.castore.get_raw
    done: set[bytes] = set(_tips(state.state))  # the walk of the state ends at its commits
    yield from walk_binary(get, state.cid, done)
    new = [entry.cid for entry in walk_beyond(history.load, _tips(state.state), known)]
    for cid in reversed(new):
        yield cid, get(cid)
        commit = history.load(cid)
        for parent in commit.parents[:1]:
            done |= shared_cids(get, history.load(parent).data, commit.data)
        if commit.data not in done:
            yield from walk_binary(get, commit.data, done)
