"""Forgetting old history: the kept commits are written anew without what is older (history.md, section 4)."""

from __future__ import annotations

from ipld_car import cids
from multiformats import CID

from ipldstore._dataset.in_flight import putting
from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History

from .committing import Signature
from .exchange import Exchange
from .rewriting import Rewriting, young_tags


class Expiry:
    """Writes a history anew without commits from before a time; a change of an exchange.

    :param limit: microseconds since 1970 in UTC
    :param keep_tags: keep commits that tags name, whatever their age; else such tags are deleted
    """

    def __init__(self, history: History, limit: int, *, keep_tags: bool) -> None:
        self._history = history
        self._limit = limit
        self._keep_tags = keep_tags
        self._rewriting = Rewriting(history, limit)

    @property
    def kept(self) -> dict[CID, CID]:
        """The new CID of each commit that is kept."""
        return {cids.from_validated(old): cids.from_validated(new) for old, new in self._rewriting.kept.items()}

    def __call__(self, state: StateNode) -> StateNode:
        """Return the names with the new commits."""
        branches, tags = state.branches, state.tags
        if not self._keep_tags:
            tags = young_tags(self._history, branches.values(), tags, self._limit)
        self._rewriting.write({*branches.values(), *tags.values()})
        kept = self._rewriting.kept
        return state._replace(
            branches={name: kept[at] for name, at in branches.items()},
            tags={name: kept[at] for name, at in tags.items()},
        )


def expire(exchange: Exchange, limit: int, by: Signature, *, keep_tags: bool) -> dict[CID, CID]:
    """Write the history anew, and move the names: see :class:`Expiry`; return the new CID of each kept commit."""
    expiry = Expiry(exchange.history, limit, keep_tags=keep_tags)
    with putting(exchange.history.castore):
        exchange.update("expire", expiry, by)
    return expiry.kept
