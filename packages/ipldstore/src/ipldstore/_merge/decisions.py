"""The conflicts of one merge, and how they were decided."""

from __future__ import annotations

from .conflicts import MergeConflict, Resolve, Resolved, Side, decide


class Decisions:
    """Collects conflicts, each once.

    :param resolve: what decides them
    """

    def __init__(self, resolve: Resolve | None) -> None:
        self._resolve = resolve
        self._sides: dict[MergeConflict, Side | None] = {}

    def side_of(self, conflict: MergeConflict) -> Side | None:
        """Return the side that a conflict is decided for; None if nothing decides.

        :raises ValueError: if the answer is no side
        """
        if conflict not in self._sides:
            self._sides[conflict] = decide(self._resolve, conflict)
        return self._sides[conflict]

    def leave(self, conflict: MergeConflict) -> None:
        """Record a conflict that cannot be decided, as decisions on others contradict it."""
        self._sides[conflict] = None

    def open(self) -> tuple[MergeConflict, ...]:
        """Return the conflicts that nothing decided."""
        return tuple(sorted((each for each, side in self._sides.items() if side is None), key=_order))

    def decided(self) -> tuple[Resolved, ...]:
        """Return the conflicts that were decided."""
        found = ((each, side) for each, side in self._sides.items() if side is not None)
        return tuple(Resolved(each, side) for each, side in sorted(found, key=lambda pair: _order(pair[0])))


def _order(conflict: MergeConflict) -> tuple[str, ...]:
    return conflict.path, conflict.kind, conflict.attribute or "", conflict.dimension or "", conflict.reason
