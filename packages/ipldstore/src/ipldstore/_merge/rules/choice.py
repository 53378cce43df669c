"""The rule for one part: the side that changed it, or both where they have the same (design, section 9, rule 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipld_car import dagcbor

from ipldstore._merge.conflicts import Side

from .side_changes import UNLIKE


def choose(base: Any, ours: Any, theirs: Any, is_same: Callable[[Any, Any], bool]) -> Side | None:
    """Return the side whose content is the result; None where they conflict.

    :param base: the content of the base, or :data:`UNLIKE`
    """
    if is_same(ours, theirs):
        return "ours"
    if base is not UNLIKE and is_same(base, ours):
        return "theirs"
    if base is not UNLIKE and is_same(base, theirs):
        return "ours"
    return None


def agreed(contents: list[Any], is_same: Callable[[Any, Any], bool]) -> Any:
    """Return the content that all bases have; :data:`UNLIKE` where they do not agree."""
    first, *others = contents
    return first if all(is_same(first, other) for other in others) else UNLIKE


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()
"""The content of a part that is not there; None is a content, JSON's null."""


def is_same_data(one: Any, other: Any) -> bool:
    """Return whether two values of JSON are the same; Python takes 1, 1.0 and true for equal."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return dagcbor.encode_node([one]) == dagcbor.encode_node([other])


def is_equal(one: Any, other: Any) -> bool:
    """Return whether two contents are equal as Python has it."""
    return bool(one == other)
