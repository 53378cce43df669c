"""What one side of a merge has changed since the base, sorted by what it belongs to."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from ipld_car.messages import Message, Term

from ipldstore._merge.nodes.documents import DocumentReader
from ipldstore._merge.nodes.grid import coordinates_of
from ipldstore._tree.difference import Change, DirectoryChange, DocumentsChange, ValueChange, changes, is_same_target
from ipldstore._tree.directory import Frozen
from ipldstore.errors import IPLDStoreError

NOTHING: Final = Frozen({})


class _Unlike:
    def __repr__(self) -> str:
        return "UNLIKE"


UNLIKE: Final = _Unlike()
"""The base of a part on which several bases do not agree: it is unlike either side."""


MAX_CHANGES: Final = 5_000_000
"""Keys, documents and directories that change on one side. A root of a few blocks can name far more than it has."""


class LinkChange(NamedTuple):
    """The links of a key in the base and on one side; None where it is absent."""

    before: bytes | _Unlike | None
    after: bytes | None


class SideChanges:
    """The changes of one side.

    :param reader: reads the documents of nodes
    """

    def __init__(self, reader: DocumentReader) -> None:
        self._reader = reader
        self.chunks: dict[str, dict[str, LinkChange]] = {}
        """Chunks by the path of their array, and by key."""
        self.keys: dict[str, LinkChange] = {}
        """Keys that are neither documents nor chunks."""
        self.documents: set[str] = set()
        """Paths of directories whose documents differ in more than consolidated metadata."""
        self.consolidated: set[str] = set()
        """Paths of directories whose consolidated metadata differ."""
        self.directories: dict[str, DirectoryChange] = {}
        """Directories that only the base or only this side has, by path."""
        self._sorted: list[str] | None = None
        self._count = 0

    def add(self, found: Iterable[Change]) -> list[DirectoryChange]:
        """Add changes; return those of whole directories.

        :raises IPLDStoreError: if there are more than can be held
        """
        self._sorted = None
        whole = []
        for change in found:
            self._count += 1
            if self._count > MAX_CHANGES:
                raise IPLDStoreError(
                    Message(
                        f"expected two roots that differ in at most {MAX_CHANGES} keys, found more: compare or merge "
                        f"groups of them, which ",
                        Term("subtree(path)"),
                        " names",
                    )
                )
            if isinstance(change, ValueChange):
                self.set_value(change.key, change.array, LinkChange(change.before, change.after))
            elif isinstance(change, DocumentsChange):
                self._add_documents(change)
            else:
                self.directories[change.path] = change
                whole.append(change)
        return whole

    def set_value(self, key: str, array: str | None, change: LinkChange) -> None:
        """Set the change of a key that is no document."""
        self._sorted = None
        (self.keys if array is None else self.chunks.setdefault(array, {}))[key] = change

    def _add_documents(self, change: DocumentsChange) -> None:
        before, after = self._reader.of(change.before), self._reader.of(change.after)
        names = {*before.contents, *after.contents}
        if before.consolidated != after.consolidated or any(
            not is_same_target(before.contents.get(name), after.contents.get(name)) for name in names
        ):
            self.documents.add(change.path)
        if before.consolidated or after.consolidated:
            self.consolidated.add(change.path)

    def open(self, path: str) -> list[DirectoryChange]:
        """Replace the change of a whole directory by those directly in it; return those of directories below."""
        change = self.directories.pop(path)
        return self.add(changes(change.before or NOTHING, change.after or NOTHING, self._reader.load, path))

    def adopt_chunks(self, arrays: set[str]) -> None:
        """Move keys to the nearest of some arrays above them, which only the other side has, if they have the form."""
        for array, key, change in list(self._values()):
            parents = [key[:at] for at in range(len(key)) if key[at] == "/"]
            nearest = next((parent for parent in [*reversed(parents), ""] if parent in arrays), None)
            if nearest is None or (array is not None and len(nearest) <= len(array)):
                continue
            if coordinates_of(key[len(nearest) + 1 :] if nearest else key) is not None:
                del (self.keys if array is None else self.chunks[array])[key]
                self.set_value(key, nearest, change)

    def _values(self) -> Iterator[tuple[str | None, str, LinkChange]]:
        for key, change in self.keys.items():
            yield None, key, change
        for array, own in self.chunks.items():
            for key, change in own.items():
                yield array, key, change

    def discard(self, paths: AbstractSet[str]) -> None:
        """Forget all changes at or below paths."""
        self._sorted = None
        self.keys = {key: change for key, change in self.keys.items() if not has_parent_in(key, paths)}
        for array, own in list(self.chunks.items()):
            kept = {key: change for key, change in own.items() if not has_parent_in(key, paths)}
            if kept:
                self.chunks[array] = kept
            else:
                del self.chunks[array]
        for path in [path for path in self.directories if path in paths or has_parent_in(path, paths)]:
            del self.directories[path]
        for changed in (self.documents, self.consolidated):
            changed.difference_update({path for path in changed if path in paths or has_parent_in(path, paths)})

    def touched(self, path: str) -> Iterator[str]:
        """Yield what has changed at or below a path, sorted: keys, and the paths of directories with a slash."""
        if self._sorted is None:
            chunks = (key for own in self.chunks.values() for key in own)
            paths = (f"{each}/" if each else "" for each in (*self.documents, *self.directories))
            self._sorted = sorted([*self.keys, *chunks, *paths])
        prefix = f"{path}/" if path else ""
        for at in range(bisect_left(self._sorted, prefix), len(self._sorted)):
            if not self._sorted[at].startswith(prefix):
                return
            yield self._sorted[at]

    def touches(self, path: str) -> bool:
        """Return whether anything has changed at or below a path."""
        return next(self.touched(path), None) is not None


def has_parent_in(key: str, paths: AbstractSet[str]) -> bool:
    """Return whether a key or path is strictly below one of some paths."""
    if not paths or not key:
        return False
    at = len(key)
    while at >= 0:
        at = key.rfind("/", 0, at)
        if key[: max(at, 0)] in paths:
            return True
    return False


def is_below(path: str, above: str) -> bool:
    """Return whether a path is below another one, or is it."""
    return not above or path == above or path.startswith(f"{above}/")
