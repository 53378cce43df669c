"""Forgetting old history: the kept commits are written anew without what is older (history.md, section 4)."""

from __future__ import annotations

from ipldstore._dataset.in_flight import putting
from ipldstore._history.state import StateNode

from .committing import Signature
from .exchange import Exchange
from .rewriting import Rewriting, young_tags


def expire(exchange: Exchange, limit: int, by: Signature, *, keep_tags: bool) -> dict[bytes, bytes]:
    """Write the history anew without commits from before a time; return the new CID of each commit that is kept.

    :param limit: microseconds since 1970 in UTC
    :param keep_tags: keep commits that tags name, whatever their age; else such tags are deleted
    """
    history = exchange.history
    rewriting = Rewriting(history, limit)

    def change(state: StateNode) -> StateNode:
        tags = state.tags if keep_tags else young_tags(history, state.branches.values(), state.tags, limit)
        rewriting.write({*state.branches.values(), *tags.values()})
        return state._replace(
            branches={name: rewriting.kept[at] for name, at in state.branches.items()},
            tags={name: rewriting.kept[at] for name, at in tags.items()},
        )

    with putting(history.castore):
        exchange.update("expire", change, by)
    return rewriting.kept
