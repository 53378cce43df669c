"""Links of chunks by the arrays that they are chunks of, so that each array gets its links at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from ipldstore._format import keys
from ipldstore._format.bulk.index import LinkArrays
from ipldstore._format.bulk.leaves import CID_BYTES
from ipldstore._format.chunk_form import ChunkForm, chunk_form

_DEEPER: Final = 2
"""Groups with numbers as names that an array may be in, as the levels of a pyramid are."""

MetadataOf = Callable[[str], Mapping[str, Any] | None]
"""Returns the metadata of an array by its path; None if there is none that can be read as JSON."""


class ArrayLinks:
    """Links of chunks of one array, as they are collected.

    :param form: of the keys of its chunks
    """

    def __init__(self, form: ChunkForm) -> None:
        self.form = form
        self._numbers: list[int] = []
        self._links: list[bytes] = []

    def add(self, numbers: list[int], link: bytes) -> None:
        """Add a chunk."""
        self._numbers += numbers
        self._links.append(link)

    def arrays(self) -> LinkArrays:
        """Return the links as arrays."""
        coordinates = np.array(self._numbers, np.int64).reshape(-1, self.form.axes)
        return LinkArrays(coordinates, np.frombuffer(b"".join(self._links), np.uint8).reshape(-1, CID_BYTES))

    def items(self, path: str) -> Iterator[tuple[str, bytes]]:
        """Yield key and link of each chunk."""
        prefix = f"{path}/" if path else ""
        axes = self.form.axes
        for at, link in enumerate(self._links):
            yield prefix + self.form.key(self._numbers[at * axes : (at + 1) * axes]), link

    def __len__(self) -> int:
        return len(self._links)


def group_by_array(
    links: Iterable[tuple[str, bytes]], metadata_of: MetadataOf
) -> tuple[dict[str, ArrayLinks], dict[str, bytes]]:
    """Return the links of chunks by the path of their array, and those of all other keys.

    :param links: keys that the format allows, and their links
    """
    groups: dict[str, ArrayLinks] = {}
    rest: dict[str, bytes] = {}
    forms: dict[str, ChunkForm | None] = {}
    for key, link in links:
        for path, below in _cuts(key) if len(link) == CID_BYTES else ():
            if path not in forms:
                forms[path] = _form_of(metadata_of(path))
            form = forms[path]
            numbers = form.numbers(below) if form is not None and keys.is_chunk_key(below) else None
            if form is not None and numbers:
                if path not in groups:
                    groups[path] = ArrayLinks(form)
                groups[path].add(numbers, link)
                break
        else:
            rest[key] = link
    return groups, rest


def _form_of(metadata: Mapping[str, Any] | None) -> ChunkForm | None:
    shape = None if metadata is None else metadata.get("shape")
    if metadata is None or not isinstance(shape, list):
        return None
    try:
        return chunk_form(metadata, len(shape))
    except (ValueError, KeyError, TypeError):  # no metadata that zarr would take
        return None


def _cuts(key: str) -> Iterator[tuple[str, str]]:
    """Yield the paths of arrays that a key may be a chunk of, each with the rest of the key.

    >>> list(_cuts("a/0/1"))
    [('a', '0/1'), ('a/0', '1')]
    >>> list(_cuts("a/c/0/1"))
    [('a', 'c/0/1'), ('a/c', '0/1'), ('a/c/0', '1')]
    """
    parts = key.split("/")
    first = len(parts) - 1
    while first and parts[first - 1].isdigit():
        first -= 1
    if first and parts[first - 1] == "c":
        first -= 1
    for at in range(first, min(first + _DEEPER + 1, len(parts))):
        yield "/".join(parts[:at]), "/".join(parts[at:])
