"""What the arrays of one group have together: lengths of dimensions, and coordinates (design, section 9, rule 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ipldstore._merge.conflicts import SIDES, MergeConflict, Side
from ipldstore._merge.nodes.documents import NodeDocuments
from ipldstore._merge.nodes.grid import dimensions_of, lengths_of
from ipldstore._tree import lookup

from .plan import Plan
from .sides import other_side

Lengths = dict[str, set[int]]


@dataclass(frozen=True)
class _ArrayChange:
    """An array that changed on a side, or on both."""

    path: str
    name: str
    lengths: dict[Side, Lengths]
    """On each side the lengths of its dimensions; empty where it is not there."""
    merged: Lengths
    """Those of the result."""
    has_new_values: frozenset[Side]
    """Sides that have added it, or changed its chunks."""
    is_rewritten: frozenset[Side]
    """Sides that have deleted it or changed its chunks, without growing it."""
    is_touched: frozenset[Side]
    """Sides that have deleted it, grown it or changed its chunks."""
    coordinate_of: str | None
    """The dimension whose name it has, if it has no other."""


def apply_dimension_rules(plan: Plan) -> None:
    """Find the conflicts of rule 4, and take the arrays whole from the side that a conflict is decided for.

    What was decided for one dimension can change another one, so the rules are applied until nothing changes.
    """
    while True:
        groups: dict[str, list[_ArrayChange]] = {}
        for change in _array_changes(plan):
            if change.path:
                groups.setdefault(change.path.rpartition("/")[0], []).append(change)
        found = [
            conflict
            for group, changes in sorted(groups.items())
            for conflict in (*_lengths(plan, group, changes), *_coordinates(plan, group, changes))
        ]
        if not sum(_decide(plan, conflict) for conflict in found):
            return


def _decide(plan: Plan, conflict: MergeConflict) -> bool:
    """Decide a conflict; return whether arrays are now taken from a side that they were not taken from."""
    side = plan.decisions.side_of(conflict)
    if side is None:
        return False
    if any(plan.forced.get(path, side) != side for path in conflict.paths):
        plan.decisions.leave(conflict)
        return False
    new = [path for path in conflict.paths if path not in plan.forced]
    plan.forced.update(dict.fromkeys(new, side))
    return bool(new)


def _lengths(plan: Plan, group: str, changes: list[_ArrayChange]) -> Iterator[MergeConflict]:
    """Yield the dimensions that have one length on each side and two in the result."""
    names = {name for change in changes for name in change.merged}
    for name in sorted(names):
        merged = set().union(*(change.merged.get(name, ()) for change in changes))
        sides = {side: set().union(*(change.lengths[side].get(name, ()) for change in changes)) for side in SIDES}
        if len(merged) < 2 or any(len(lengths) != 1 for lengths in sides.values()):
            continue
        if name in _other_dimensions(plan, group, {change.name for change in changes}):
            continue  # an array that did not change has the dimension, so one side has two lengths
        ours, theirs = (next(iter(sides[side])) for side in SIDES)
        paths = tuple(sorted(change.path for change in changes if any(name in own for own in change.lengths.values())))
        reason = f"the dimension {name!r} has length {ours} in ours and {theirs} in theirs, and would have both"
        yield MergeConflict(group, "length", reason, dimension=name, paths=paths)


def _other_dimensions(plan: Plan, group: str, changed: set[str]) -> set[str]:
    """Return the dimensions of the arrays of a group that did not change; reads their nodes.

    An array that conflicts, or is taken whole from one side, has changed: the sides do not have it alike.
    """
    directory = plan.sides.directory("ours", group)
    found: set[str] = set()
    if directory is None:
        return found
    depth = group.count("/") + 2 if group else 1
    for name, entry in lookup.entries_of(directory, plan.sides.load):
        path = f"{group}/{name}" if group else name
        has_changed = name in changed or path in plan.subtrees or path in plan.merges
        below = None if has_changed else lookup.enter(entry, depth, plan.sides.load)
        if below is not None:
            found.update(lengths_of(plan.sides.reader.of(below)))
    return found


def _coordinates(plan: Plan, group: str, changes: list[_ArrayChange]) -> Iterator[MergeConflict]:
    """Yield the coordinates that one side alone rewrote or deleted, where the other has new values along them."""
    for coordinate in changes:
        name = coordinate.coordinate_of
        if name is None or len(coordinate.is_rewritten) != 1 or len(coordinate.is_touched) != 1:
            continue
        (side,) = coordinate.is_rewritten
        other = other_side(side)
        along = sorted(
            change.path
            for change in changes
            if change is not coordinate and other in change.has_new_values and name in change.lengths[other]
        )
        paths = (coordinate.path, *along)
        is_taken_whole = {plan.forced.get(path) for path in paths} in ({"ours"}, {"theirs"})
        if along and not is_taken_whole:
            what = "changed the values of" if coordinate.lengths[side] else "deleted"
            reason = f"{side} {what} the coordinate {name!r}, {other} has new values of {', '.join(map(repr, along))}"
            yield MergeConflict(group, "coordinate", reason, dimension=name, paths=tuple(sorted(paths)))


def _array_changes(plan: Plan) -> Iterator[_ArrayChange]:
    """Yield the arrays that changed."""
    for path in plan.results:
        if path in plan.merges and plan.merges[path].is_open:
            continue  # what it will have is not known
        if plan.sides.at(path).base_kind == "array" or any(
            plan.sides.at(path).of(side).kind == "array" for side in plan.sides.tops
        ):
            yield _merged_by_parts(plan, path)
    for path in plan.sides.made_on_both - plan.results.keys():
        nodes = plan.sides.at(path)
        if nodes.ours.kind == "array" == nodes.theirs.kind:
            yield _change(plan, path, nodes.ours, set(SIDES), set(), set(), set())
    for side in plan.sides.tops:
        for path, change in plan.sides.changed[side].directories.items():
            nodes = plan.sides.at(path)
            if nodes.of(side).kind == "array" or (change.after is None and nodes.base_kind == "array"):
                yield _whole(plan, path, side)


def _merged_by_parts(plan: Plan, path: str) -> _ArrayChange:
    nodes = plan.sides.at(path)
    merge = plan.merges.get(path)
    added: set[Side] = set()
    deleted: set[Side] = set()
    grown: set[Side] = set()
    with_chunks: set[Side] = set()
    for side in plan.sides.tops:
        kind = nodes.of(side).kind
        if kind == "array" and nodes.base_kind != "array":
            added.add(side)
        if kind != "array" and nodes.base_kind == "array":
            deleted.add(side)
        if merge is not None and merge.grown(side):
            grown.add(side)
        if merge is not None and merge.chunks[side]:
            with_chunks.add(side)
    forced = plan.forced.get(path)
    documents = nodes.of(forced) if forced is not None else NodeDocuments(plan.results[path].documents)
    return _change(plan, path, documents, added, deleted, grown, with_chunks)


def _whole(plan: Plan, path: str, side: Side) -> _ArrayChange:
    """Return the change of an array that one side alone made or deleted, with its directory."""
    nodes = plan.sides.at(path)
    is_added = nodes.of(side).kind == "array"
    documents = nodes.of(plan.forced.get(path, side))
    return _change(plan, path, documents, {side} if is_added else set(), set() if is_added else {side}, set(), set())


def _change(
    plan: Plan,
    path: str,
    merged: NodeDocuments,
    added: set[Side],
    deleted: set[Side],
    grown: set[Side],
    with_chunks: set[Side],
) -> _ArrayChange:
    nodes = plan.sides.at(path)
    name = path.rpartition("/")[2]
    dimensions = {dimensions_of(each) for each in (*nodes.bases, nodes.ours, nodes.theirs) if each.contents}
    return _ArrayChange(
        path,
        name,
        {side: lengths_of(nodes.of(side)) for side in plan.sides.tops},
        lengths_of(merged),
        frozenset(added | with_chunks),
        frozenset((deleted | with_chunks) - grown - added),
        frozenset(deleted | grown | with_chunks),
        name if (name,) in dimensions else None,
    )
