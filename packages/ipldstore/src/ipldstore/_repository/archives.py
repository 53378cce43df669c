"""Archives of what is new in a repository: commits since an older state, each with the blocks that its parent lacks."""

from __future__ import annotations

from ipld_car import CarWriter, Writable, cids

from ipldstore._exchange.exchange import Known
from ipldstore._revisions.history import History

from .transfers import blocks_beyond, tips_of


def write_since(history: History, state: Known, since: bytes, stream: Writable) -> None:
    """Write the blocks of a state that an older one lacks as a CARv1, whose root is the state.

    :param since: binary CID of the older state, or of a commit
    :raises IPLDStoreError: if a block is missing or wrong
    """
    old = history.load_state(since) if history.is_state(since) else None
    known = [since] if old is None else tips_of(old)
    with CarWriter(stream, [cids.from_validated(state.cid)], verify=False) as writer:  # the store has verified
        for cid, data in blocks_beyond(history, state, known, history.castore.get_raw):
            writer.write(cids.from_validated(cid), data)
