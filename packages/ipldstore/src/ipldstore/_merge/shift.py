"""Two appends to the same arrays, one behind the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ipld_car import cids, links
from ipld_castore import ContentAddressableStore

from ipldstore._dataset import values
from ipldstore._dataset.castores import OverlayCAStore
from ipldstore._format import documents, keys
from ipldstore._format.nodes import NodeStore
from ipldstore._tree import lookup
from ipldstore._tree.directory import Frozen
from ipldstore._tree.tree import Tree
from ipldstore.errors import ConflictError, store_errors

from .conflicts import SIDES, Merged, Resolve, Side
from .merge import merge_roots, root_of
from .nodes.consolidate import consolidated_anew
from .nodes.documents import DocumentReader
from .nodes.grid import ChunkGrid, coordinates_of, dimensions_of, fits, grid_of, lengths_of, with_coordinates
from .rules.node_merge import NodeMerge
from .rules.sides import Sides, document_reader, nodes_of

_MOST_SHOWN = 5


def shift_append(
    castore: ContentAddressableStore, base: bytes, ours: bytes, theirs: bytes, resolve: Resolve | None = None
) -> Merged:
    """Merge two roots that both appended, with the append of ``ours`` shifted behind that of ``theirs``.

    All arrays of a dimension in one group are shifted together, each by whole chunks; no chunk is read. An append that
    both sides made alike is there once. All else is merged as :func:`~ipldstore._merge.merge.merge_roots` does.

    :param castore: the block store that has the nodes of all roots
    :param base: binary CID of the root that both sides go back to
    :param ours: binary CID of the root that appended later
    :param theirs: binary CID of the root that appended first
    :param resolve: what to do with conflicts that no shift ends
    :return: the merge; the caller flushes the block store
    :raises ConflictError: if an append cannot be shifted, as its chunks are not whole or an array of the dimension did
        not grow with the others. No block was put then
    :raises IPLDStoreError: if a node is missing, damaged or breaks a bound of the format
    """
    merged = merge_roots(castore, [base], ours, theirs)
    if merged.root is not None:
        return merged
    overlay = OverlayCAStore(castore)
    nodes = nodes_of(overlay)
    reader = document_reader(overlay, nodes)
    sides = Sides(reader, [root_of(nodes, base)], root_of(nodes, ours), root_of(nodes, theirs))
    appends = _appends(sides)
    if not appends:
        return merge_roots(castore, [base], ours, theirs, resolve)
    without: dict[Side, bytes] = {}
    for side in SIDES:
        edit = _Edit(overlay, nodes, reader, ours if side == "ours" else theirs)
        edit.drop_appends(appends, side)
        without[side] = edit.freeze()
    rest = merge_roots(overlay, [base], without["ours"], theirs, resolve)
    # That merge has seen what theirs appended; what ours appended meets the other changes of theirs in this one.
    paths = {append.path for append in appends}
    hidden = tuple(
        conflict
        for conflict in merge_roots(overlay, [base], ours, without["theirs"]).conflicts
        if conflict.kind == "coordinate" and not paths.isdisjoint(conflict.paths)
    )
    if rest.root is None or hidden:
        return Merged(None, (*rest.conflicts, *(each for each in hidden if each not in rest.conflicts)), rest.resolved)
    shifted = _Edit(overlay, nodes, reader, rest.root)
    for append in appends:
        shifted.set_length(append, append.first + append.later - append.before)
        for key, link in append.chunks["ours"].items():
            shifted.tree.put(append.shifted(key).split("/"), link)
    shifted.consolidate([append.path for append in appends])
    root = shifted.freeze()
    _check_lengths(sides, root_of(nodes, root), appends)
    _keep(overlay, castore, root)
    return Merged(root, (), rest.resolved)


class _Append(NamedTuple):
    """An array to which both sides appended along one axis."""

    path: str
    axis: int
    grid: ChunkGrid
    """The grid in the base."""
    before: int
    """The length in the base."""
    first: int
    """The length in theirs."""
    later: int
    """The length in ours."""
    dimension: tuple[str, str]
    """The group and the dimension of the axis; see :func:`_dimension`."""
    chunks: Mapping[Side, Mapping[str, bytes]]
    """The chunks that each side appended."""

    def shifted(self, key: str) -> str:
        """Return the key of an appended chunk behind the append of theirs."""
        rest = key[len(self.path) + 1 :] if self.path else key
        at = list(coordinates_of(rest) or ())
        at[self.axis] += (self.first - self.before) // self.grid.chunks[self.axis]
        moved = with_coordinates(rest, tuple(at))
        return f"{self.path}/{moved}" if self.path else moved

    def problem(self) -> str | None:
        """Return why the append cannot be shifted by whole chunks; None if it can."""
        chunk = self.grid.chunks[self.axis]
        for what, length in (("before both appends", self.before), ("after the first append", self.first)):
            if length % chunk:
                return (
                    f"array {self.path!r}: expected a length {what} that is a multiple of {chunk}, the length of its "
                    f"chunks along axis {self.axis}; found {length}, so a chunk would have parts of both appends"
                )
        return None


def _appends(sides: Sides) -> list[_Append]:
    """Return the appends that have to be shifted, those of one dimension together.

    :raises ConflictError: if one cannot be
    """
    found: dict[tuple[str, str], list[_Append]] = {}
    grown: dict[Side, dict[tuple[str, str], set[str]]] = {"ours": {}, "theirs": {}}
    different: set[tuple[str, str]] = set()
    ours, theirs = sides.changed["ours"], sides.changed["theirs"]
    for path in sorted(ours.documents | theirs.documents):
        merge = NodeMerge(path, sides.at(path), ours.chunks.get(path, {}), theirs.chunks.get(path, {}))
        for side in sides.tops:
            for axis in merge.grown(side) or ():
                grown[side].setdefault(_dimension(merge, path, axis), set()).add(path)
        if not all(merge.grown(side) for side in sides.tops):
            continue
        append = _append(merge, path)
        dimension = append.dimension
        found.setdefault(dimension, []).append(append)
        if append.first != append.later or any(
            merge.link("ours", key) != merge.link("theirs", key)
            for key in {**merge.chunks["theirs"], **append.chunks["ours"]}
        ):
            different.add(dimension)
    appends = [append for dimension in sorted(different) for append in found[dimension]]
    for dimension in sorted(different):
        alone = grown["ours"].get(dimension, set()) ^ grown["theirs"].get(dimension, set())
        if alone:
            raise ConflictError(
                f"shifting an append along {dimension[1]!r} in group {dimension[0] or '/'!r}: expected each array of "
                f"the dimension to grow on both sides, found {', '.join(map(repr, sorted(alone)))}, which did not"
            )
    problems = [problem for append in appends if (problem := append.problem()) is not None]
    if problems:
        raise ConflictError(f"shifting an append: {'; '.join(problems[:_MOST_SHOWN])}. Read, and append again")
    return appends


def _dimension(merge: NodeMerge, path: str, axis: int) -> tuple[str, str]:
    """Return the group and the dimension of an axis; an axis without a name is a dimension of its array alone."""
    names = dimensions_of(merge.nodes.bases[0])
    name = names[axis] if names is not None and axis < len(names) else None
    return (path.rpartition("/")[0], name) if name is not None else (path, f"axis {axis}")


def _append(merge: NodeMerge, path: str) -> _Append:
    ours, theirs = merge.grown("ours"), merge.grown("theirs")
    base, first, later = (grid_of(each) for each in (merge.nodes.bases[0], merge.nodes.theirs, merge.nodes.ours))
    if base is None or first is None or later is None:
        raise ConflictError(f"shifting an append: array {path!r}: expected a regular grid of chunks, found another one")
    if ours is None or ours != theirs or len(ours) != 1:
        raise ConflictError(
            f"shifting an append: array {path!r}: expected both sides to append along one axis, the same; found shapes "
            f"{list(first.shape)} and {list(later.shape)} from {list(base.shape)}"
        )
    if merge.metadata_changed("ours") or merge.metadata_changed("theirs"):
        raise ConflictError(f"shifting an append: array {path!r}: expected the same metadata on both sides")
    (axis,) = ours
    start = len(path) + 1 if path else 0

    def is_appended(key: str) -> bool:
        at = fits(base, coordinates_of(key[start:]))
        return at is not None and (at[axis] + 1) * base.chunks[axis] > base.shape[axis]

    chunks: dict[Side, dict[str, bytes]] = {
        side: {
            key: each.after for key, each in merge.chunks[side].items() if each.after is not None and is_appended(key)
        }
        for side in SIDES
    }
    lengths = (base.shape[axis], first.shape[axis], later.shape[axis])
    return _Append(path, axis, base, *lengths, _dimension(merge, path, axis), chunks)


def _check_lengths(sides: Sides, merged: Frozen, appends: list[_Append]) -> None:
    """Check that no dimension that was shifted has one length on each side and two in the result (rule 4).

    :param merged: the root directory of the result
    :raises ConflictError: if one has
    """
    for group, name in sorted({append.dimension for append in appends}):
        found = _lengths(sides, merged, group, name)
        if len(set(found.values())) > 1 and all(
            len(set(_lengths(sides, top, group, name).values())) == 1 for top in sides.tops.values()
        ):
            shown = ", ".join(f"{path!r} with {length}" for path, length in found.items())
            raise ConflictError(
                f"shifting an append along {name!r} in group {group or '/'!r}: expected one length of the dimension, "
                f"found {shown}: what one side has added along it does not grow with the append of the other"
            )


def _lengths(sides: Sides, top: Frozen, group: str, name: str) -> dict[str, int]:
    """Return the lengths of a dimension by the paths of the arrays of a group; reads the nodes of the group."""
    parts = group.split("/") if group else []
    _, directory = lookup.path_to(top, parts, sides.load)
    found: dict[str, int] = {}
    for child, entry in [] if directory is None else lookup.entries_of(directory, sides.load):
        below = lookup.enter(entry, len(parts) + 1, sides.load)
        lengths = {} if below is None else lengths_of(sides.reader.of(below))
        found.update({f"{group}/{child}".lstrip("/"): length for length in lengths.get(name, ())})
    return found


class _Edit:
    """A root that is changed.

    :param castore: where nodes are read and put
    :param root: binary CID of the root
    """

    def __init__(self, castore: ContentAddressableStore, nodes: NodeStore, reader: DocumentReader, root: bytes) -> None:
        self._castore = castore
        self._nodes = nodes
        self._reader = reader
        self.tree = Tree(nodes, root)

    def set_length(self, append: _Append, length: int) -> None:
        """Set the length of an array along the axis of an append, in its metadata of each format."""
        parts = append.path.split("/") if append.path else []
        _, directory = lookup.path_to(self.tree.top, parts, self._reader.load)
        for name, target in [] if directory is None else lookup.documents_of(directory):
            content: Any = self._reader.content(target)
            if name in (keys.ZARRAY, keys.ZARR_JSON) and isinstance(content, dict):
                shape = list(content["shape"])
                shape[append.axis] = length
                text = documents.to_json({**content, "shape": shape})
                self.tree.put([*parts, name], values.put(self._castore, self._nodes, name, text))

    def drop_appends(self, appends: list[_Append], side: Side) -> None:
        """Take back what a side has appended."""
        for append in appends:
            self.set_length(append, append.before)
            for key in append.chunks[side]:
                self.tree.drop(key.split("/"))

    def consolidate(self, paths: list[str]) -> None:
        """Make consolidated metadata of groups at or above paths anew."""
        for parts, text in list(consolidated_anew(self.tree.snapshot(), self._reader, paths)):
            self.tree.put(parts, values.put(self._castore, self._nodes, parts[-1], text))

    def freeze(self) -> bytes:
        """Return the binary CID of the root."""
        return self.tree.freeze()


def _keep(overlay: OverlayCAStore, castore: ContentAddressableStore, root: bytes) -> None:
    """Put the blocks that a root reaches and that are in the overlay alone."""
    todo, seen = [root], {root}
    with store_errors("writing a node"):
        while todo:
            cid = todo.pop()
            data = overlay.written(cid)
            if data is None:
                continue
            castore.put_block(cids.from_validated(cid), data)
            below = {cids.to_bytes(link) for link in links(cids.from_validated(cid), data)} - seen
            seen |= below
            todo += below
