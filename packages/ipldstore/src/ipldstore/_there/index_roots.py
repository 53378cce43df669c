"""Which indexes of references are those of a dataset: others are of another branch, or of what it was before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from multiformats import CID

from ipldstore._format import keys
from ipldstore._store.ipld_store import IPLDStore
from ipldstore.errors import IPLDStoreError

from .keyed.source import arrays_of
from .model import SourceArray

_NOT_COMPARED: Final = ("shape", "attributes", "consolidated_metadata")


class _Note(NamedTuple):
    """A commit."""

    root: str
    """The root that its freeze gave."""
    indexes: list[str]
    """The names of the indexes that have the blocks of the dataset."""


class IndexRoots:
    """The roots that commits gave, each with the indexes of its dataset, in a file of lines of JSON.

    A dataset does not stay what a commit made: a copy takes the place of its arrays, its root is set, or it is another
    branch. Its sources are those of the noted root whose chunks it has.

    :param path: the file
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, root: CID, indexes: Iterable[str]) -> None:
        """Note the root of a commit.

        :raises OSError: if the file cannot be written
        """
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps({'root': str(root), 'indexes': sorted(indexes)})}\n")

    def others(self, store: IPLDStore, dimension: str | None) -> set[str]:
        """Return the names of the indexes that are not those of a dataset. Indexes without a note are none of them.

        :param dimension: the dimension of concatenation. With one, a dataset that has any chunk of a root along it is
            what that root became; without one it must have all chunks.
        :raises IPLDStoreError: if a node of the dataset cannot be read
        """
        notes = list(self._notes())
        own = self._best(notes, store, dimension)
        return {name for note in notes for name in note.indexes}.difference(own.indexes if own is not None else ())

    def _notes(self) -> Iterator[_Note]:
        """Yield the notes, the last one first."""
        lines = self._path.read_text("utf-8").splitlines() if self._path.exists() else []
        for line in reversed(lines):
            try:
                fields = json.loads(line)
                note = _Note(fields["root"], fields["indexes"])
            except (ValueError, TypeError, KeyError):  # the end of a note whose writer was killed
                continue
            yield note

    def _best(self, notes: list[_Note], store: IPLDStore, dimension: str | None) -> _Note | None:
        root = str(store.root_cid)
        same = next((note for note in notes if note.root == root), None)
        if same is not None or not notes:
            return same
        arrays = _arrays_in(store)
        if not arrays:
            return None
        now = _Contents(store, arrays)
        found: list[tuple[int, int, _Note]] = []
        for note in notes:
            try:
                before = IPLDStore(store.castore, root=note.root, read_only=True)
                common, total, is_kept = now.shared_with(before, dimension)
            except IPLDStoreError:  # collected since: not to be told from the dataset
                common, total, is_kept = 0, 0, True
            if is_kept:
                found.append((common, -total, note))
            if is_kept and common == total == now.count > 0:
                break
        return max(found, key=lambda each: each[:2])[2] if found else None


class _Contents:
    """What a dataset has now. Links are read once.

    :param arrays: its arrays by path
    """

    def __init__(self, store: IPLDStore, arrays: dict[str, SourceArray]) -> None:
        self._store = store
        self._arrays = arrays
        self._rows: dict[str, npt.NDArray[np.bytes_]] = {}
        self.count = 0
        """The number of links that were compared last, of those that it has now."""

    def shared_with(self, before: IPLDStore, dimension: str | None) -> tuple[int, int, bool]:
        """Return how many links a version before shares with it, how many that has, and whether this came of that.

        :raises IPLDStoreError: if a node cannot be read
        """
        arrays = _arrays_in(before)
        along = [each for each in arrays.values() if each.axis_of(dimension) is not None]
        along = [each for each in along if each.path.rpartition("/")[2] != dimension] or along  # its values are copied
        common = total = self.count = 0
        are_like = True
        for array in along or list(arrays.values()):
            rows = _rows_of(before, array.path)
            total += len(rows)
            now = self._arrays.get(array.path)
            if now is None or _kind_of(now, dimension) != _kind_of(array, dimension):
                are_like = False
                continue
            if array.path not in self._rows:
                self._rows[array.path] = _rows_of(self._store, array.path)
            own = self._rows[array.path]
            self.count += len(own)
            common += len(np.intersect1d(rows, own, assume_unique=True))
        is_whole = are_like and common == total
        return common, total, is_whole if dimension is None else common > 0 or is_whole


def _arrays_in(store: IPLDStore) -> dict[str, SourceArray]:
    documents = {key: store[key] for key in store if key.rpartition("/")[2] in keys.DOCUMENTS}
    return {array.path: array for array in arrays_of(documents)}


def _kind_of(array: SourceArray, dimension: str | None) -> dict[str, Any]:
    """Return the metadata by which chunks are read."""
    kind = {name: value for name, value in array.metadata.items() if name not in _NOT_COMPARED}
    return kind if dimension is not None else {**kind, "shape": array.metadata["shape"]}


def _rows_of(store: IPLDStore, path: str) -> npt.NDArray[np.bytes_]:
    """Return the position and link of each chunk of an array, as bytes of one length."""
    links = store.links(path)
    coordinates = np.ascontiguousarray(links.coordinates, ">i8")
    numbers = np.frombuffer(coordinates.tobytes(), np.uint8).reshape(len(links.cids), 8 * coordinates.shape[1])
    rows = np.ascontiguousarray(np.concatenate((numbers, links.cids), axis=1))
    return rows.view(f"S{rows.shape[1]}").ravel()
