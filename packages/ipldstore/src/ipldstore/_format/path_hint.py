"""The path that a lookup resolves next, told to the reader so that blocks on it come with the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from . import keys


class PathHint(NamedTuple):
    """A path from a node to what is looked up below it. A wrong hint costs nothing but its blocks."""

    names: Sequence[str] = ()
    """The segments of an IPLD path: keys of maps, and positions in lists."""
    keys: int = 0
    """Number of keys in the node, if it is likely a leaf of a chunk index; else 0."""
    start: bytes | None = None
    """Binary CID of the node from which others resolve the path, where it is not the node that is loaded."""


NO_HINT: Final = PathHint()


def hint_below_directory(rest: Sequence[str]) -> PathHint:
    """Return the path of a key through a directory.

    It ends at the directory of a document, at the chunk index of an array, or at a value.

    :param rest: the parts of the key below the directory

    >>> for key in ("air/c/0/1", "air/zarr.json", "air/notes/a.txt"):
    ...     print(hint_below_directory(key.split("/")).names)
    ['air', '__ipld_chunks__']
    ['air']
    ['air', 'notes', 'a.txt']
    """
    *above, last = rest
    if last in keys.DOCUMENTS:  # zarr looks for several documents of a directory, and not all are there
        return PathHint(above)
    for at in range(len(rest)):
        if keys.is_chunk_key("/".join(rest[at:])):
            return PathHint([*rest[:at], keys.CHUNKS])
    return PathHint(rest)


def hint_in_chunk_index(key: str, size: int) -> PathHint:
    """Return the path of a chunk key through the leaf of an index.

    :param size: number of keys in the leaf

    >>> hint_in_chunk_index("c/0/1", 2048)
    PathHint(names=['c', '0', '1'], keys=2048, start=None)
    """
    return PathHint(key.split("/"), size)
