"""Heads: what backends that have one share."""

from __future__ import annotations

from ipld_car import cids
from multiformats import CID

from ipld_castore.errors import HeadMovedError


def check_head(store: object, expected: CID | None, found: CID | None) -> None:
    """Require that the head that was found is the expected one.

    :raises HeadMovedError: if it is not
    """
    if not is_head(expected, found):
        raise HeadMovedError(store, _portable(expected), _portable(found))


def is_head(one: CID | None, other: CID | None) -> bool:
    """Return whether two heads are the same CID, or both are None."""
    if one is None or other is None:
        return one is other
    return cids.to_bytes(one) == cids.to_bytes(other)


def _portable(cid: CID | None) -> CID | None:
    """Return a CID that can be pickled, as those that users make cannot."""
    return None if cid is None else cids.from_validated(cids.to_bytes(cid))
