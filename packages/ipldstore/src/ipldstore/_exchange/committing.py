"""New commits: their author, their time, and where their jump leads (history.md, sections 1 and 2)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from ipld_car import cids, hashes
from ipld_car.messages import Message, Term
from ipld_castore import ContentAddressableStore

from ipldstore._history.ancestry import jump_of_next
from ipldstore._history.commit import MAX_AUTHOR_BYTES, CommitNode, encode_commit
from ipldstore._history.fields import check_text
from ipldstore._revisions.history import History
from ipldstore._revisions.times import to_datetime, to_micros
from ipldstore.errors import IPLDStoreError, store_errors

AUTHOR_VARIABLE: Final = "IPLDSTORE_AUTHOR"
MAX_AHEAD: Final = 10 * 60 * 1_000_000
"""Microseconds that a parent may be ahead of the clock."""


class Signature(NamedTuple):
    """The author and the time of a commit or an operation."""

    author: str
    time: int | None
    """Microseconds since 1970 in UTC; None for the clock."""


def sign(author: str | None, time: datetime | None, *, otherwise: str = "") -> Signature:
    """Return author and time: the author from the argument, else from the environment, else empty.

    :param otherwise: the author in place of an empty one
    :raises ValueError: if the time has no time zone, or the format does not allow the author
    :raises TypeError: if the author is not a str
    """
    named = os.environ.get(AUTHOR_VARIABLE, otherwise) if author is None else author
    check_text("author", named, MAX_AUTHOR_BYTES)
    return Signature(named, None if time is None else to_micros(time))


def clock() -> int:
    """Return the time in microseconds since 1970 in UTC."""
    return time.time_ns() // 1000


def put_node(castore: ContentAddressableStore, block: bytes) -> bytes:
    """Put the block of a commit, a state or its names; return its binary CID."""
    cid = cids.make(cids.DAG_CBOR, hashes.sha2_256(block))
    with store_errors("writing a block of the history"):
        castore.put_block(cids.from_validated(cid), block)
    return cid


def put_commit(
    history: History,
    data: bytes,
    parents: Sequence[bytes],
    message: str,
    meta: Mapping[str, Any] | None,
    by: Signature,
) -> bytes:
    """Write a commit; return its binary CID.

    :param data: binary CID of the root
    :param parents: binary CIDs of the commits that it follows, at least one
    :raises ValueError: if a field breaks a bound of the format, or the time is not after that of each parent
    :raises TypeError: if a field is of another kind
    :raises IPLDStoreError: if a parent is more than 10 minutes ahead of the clock, or cannot be read
    """
    if meta is not None and not isinstance(meta, Mapping):
        raise TypeError(f"expected 'meta' to be a mapping, found {type(meta).__name__}")
    found = [history.load(parent) for parent in parents]
    node = CommitNode(
        data,
        tuple(parents),
        found[0].height + 1,
        jump_of_next(history.load, parents[0]),
        _time_after(max(each.time for each in found), by.time),
        by.author,
        message,
        dict(meta or {}),
    )
    block = encode_commit(node)
    cid = put_node(history.castore, block)
    history.decode(cid, block)  # cached, as it will be the parent of the next commit
    return cid


def _time_after(latest: int, told: int | None) -> int:
    """Return the time of a new commit."""
    if told is not None:
        if told <= latest:
            raise ValueError(
                f"expected a time after that of each parent, {to_datetime(latest)}; found {to_datetime(told)}"
            )
        return told
    here = clock()
    if latest > here + MAX_AHEAD:
        raise IPLDStoreError(
            Message(
                f"expected parents of a time up to {to_datetime(here)}, by the clock of this machine; found one of "
                f"{to_datetime(latest)}: set the clock that is wrong",
                Term("time=...", ", or pass time=..."),
            )
        )
    return max(here, latest + 1)
