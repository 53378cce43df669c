"""What a reader says of where it is going, so that a store far away can send the rest of the way along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from . import keys as _keys


class Way(NamedTuple):
    """A path from a node to what is wanted of it; a guess, which costs nothing if it is wrong."""

    names: Sequence[str] = ()
    """Keys of maps and positions in lists, as IPLD paths have them."""
    keys: int = 0
    """If the node is likely a leaf of a chunk index, how many keys it has."""


NOWHERE: Final = Way()


def below_directory(rest: Sequence[str]) -> Way:
    """The way of a key through a directory: to the directory of a document, the chunk index of an array, or a value.

    :param rest: the parts of the key below the directory
    """
    *above, last = rest
    if last in _keys.DOCUMENTS:  # several documents are asked for together, and not all are there
        return Way(above)
    for at in range(len(rest)):
        if _keys.is_chunk_key("/".join(rest[at:])):
            return Way([*rest[:at], _keys.CHUNKS])
    return Way(rest)


def to_chunk(key: str, keys: int) -> Way:
    """The way through a leaf of a chunk index."""
    return Way(key.split("/"), keys)
