"""Groups and arrays of one end of a copy, by their documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

from zarr.core.buffer import default_buffer_prototype

from ipldstore._format import keys
from ipldstore._there.ends import End


class Node(NamedTuple):
    """What the documents at one path are of. It is false where there are none."""

    names: tuple[str, ...]
    """The names of the documents, in order."""
    metadata: Any
    """What the ``zarr.json`` says; an empty dict where there is none."""

    def __bool__(self) -> bool:
        return bool(self.names)

    @property
    def is_array(self) -> bool:
        """Whether an array is there, in one of the formats."""
        return keys.ZARRAY in self.names or self.metadata.get("node_type") == "array"

    @property
    def formats(self) -> set[int]:
        """The formats in which a group or array is there."""
        is_2 = not {keys.ZARRAY, keys.ZGROUP}.isdisjoint(self.names)
        return ({2} if is_2 else set()) | ({3} if keys.ZARR_JSON in self.names else set())

    @property
    def is_consolidated(self) -> bool:
        """Whether it repeats the metadata of what is below it."""
        return keys.ZMETADATA in self.names or bool(self.metadata.get("consolidated_metadata"))

    @classmethod
    def of(cls, documents: Mapping[str, bytes], prefix: str) -> Self:
        """Return what documents by key say of a path.

        :param prefix: what the keys at the path begin with
        """
        names = tuple(name for name in sorted(keys.DOCUMENTS) if prefix + name in documents)
        found = parsed(documents[prefix + keys.ZARR_JSON]) if keys.ZARR_JSON in names else {}
        return cls(names, found if isinstance(found, dict) else {})


async def node_at(end: End, path: str) -> Node:
    """Return what is at a path of a store."""
    prefix = end.prefix + (f"{path}/" if path else "")
    documents: dict[str, bytes] = {}
    for name in keys.DOCUMENTS:
        if name != keys.ZARR_JSON:
            if await end.store.exists(prefix + name):
                documents[name] = b""
        elif (data := await end.store.get(prefix + name, default_buffer_prototype())) is not None:
            documents[name] = data.to_bytes()
    return Node.of(documents, "")


def paths_of(documents: Iterable[str]) -> set[str]:
    """Return the paths of the nodes that have documents."""
    return {key.rpartition("/")[0] for key in documents}


def above(path: str) -> Iterator[str]:
    """Yield the paths above a path, from the top on.

    >>> list(above("a/b/c"))
    ['', 'a', 'a/b']
    """
    parts = path.split("/") if path else []
    for count in range(len(parts)):
        yield "/".join(parts[:count])


def parents(paths: Iterable[str]) -> set[str]:
    """Return all paths above some paths."""
    return {each for path in paths for each in above(path)}


def parsed(text: bytes) -> Any:
    """Return the value of a document; None if it is no JSON."""
    try:
        return json.loads(text, parse_constant=str)  # NaN is not equal to itself
    except ValueError:
        return None
