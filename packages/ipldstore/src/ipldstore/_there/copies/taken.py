"""Which chunks the target of a copy has already, so that they are not read again."""

from __future__ import annotations

import os
from collections.abc import Callable

from ipldstore._format import keys
from ipldstore._there.ends import End
from ipldstore._tree.lookup import AnyTarget

from .listing import Listing
from .marks import Marks
from .stale import folder_of


class Taken:
    """What a target has of a source. Safe with threads.

    Between two datasets of ours links tell. Else a chunk is noted with its state in the source (ETag, size and time, or
    link) and in the target (link, or size and time of its file), and counts while both are the same.

    :param listing: of the source
    :param marks: where chunks are noted
    """

    def __init__(self, source: End, target: End, listing: Listing, marks: Marks) -> None:
        self._source, self._target = _Links(source), _Links(target)
        self._listing = listing
        self._marks = marks
        self._has_chunks = False

    def look(self) -> None:
        """Look whether the target has chunks before any is copied: a new one is not asked for each."""
        self._has_chunks = self._target.has_chunks() if self._target else self._marks.are_there

    def own(self, key: str) -> AnyTarget | None:
        """Return the document or link that the source has for a key, if it is a dataset."""
        return self._source.find(key)

    def stamp(self, key: str, own: AnyTarget | None) -> str | None:
        """Return the state of a chunk in the source; None where it does not tell, or links of both ends do.

        :param own: what the source has for the key, if it is a dataset
        """
        if not self._source:
            return self._listing.stamp(key)
        return own.hex() if self._marks.state is not None and isinstance(own, bytes) else None

    def is_there(self, key: str, own: AnyTarget | None, stamp: str | None) -> bool:
        """Return whether the target has a chunk as the source has it.

        :param own: what the source has for the key, if it is a dataset
        :param stamp: the state in the source
        """
        if not self._has_chunks:
            return False
        if self._source and self._target:
            return isinstance(own, bytes) and own == self._target.find(key)
        if stamp is None or not self._marks.are_there:
            return False
        if self._marks.state is not None:
            return self._marks.has(key, f"{stamp} {self._marks.state(key)}")
        link = self._target.find(key)
        return isinstance(link, bytes) and self._marks.has(
            key, f"{stamp} {link.hex()}"
        )  # else it was overwritten since

    def note(self, key: str, stamp: str | None, link: bytes) -> None:
        """Note a chunk that was put.

        :param stamp: the state in the source, before it was read
        :param link: the link of the chunk in a dataset
        """
        if stamp is not None and self._marks.are_kept:
            self._marks.note(key, stamp if self._marks.state is not None else f"{stamp} {link.hex()}")


def states_in(target: End) -> Callable[[str], str] | None:
    """Return what tells the state of a chunk in a target by its key: an empty text where it is not there.

    :return: None where the target is no folder of zarr, or nothing is noted
    """
    folder = folder_of(target.store) if target.marks is not None and target.dataset is None else None
    if folder is None:
        return None
    top = f"{folder}/{target.prefix}"

    def state(key: str) -> str:
        try:
            status = os.stat(top + key)  # noqa: PTH116  # a fifth of the time, at each chunk
        except OSError:
            return ""
        return f"{status.st_size}-{status.st_mtime_ns}"

    return state


class _Links:
    """What an end of a copy has for its keys, if it is a dataset of ours; else it is false."""

    def __init__(self, end: End) -> None:
        self._data = None if end.dataset is None else end.dataset._data  # noqa: SLF001  # links of chunks that are not read
        self._prefix = end.key_prefix

    def __bool__(self) -> bool:
        return self._data is not None

    def has_chunks(self) -> bool:
        """Return whether there may be chunks."""
        own = () if self._data is None else self._data.keys(self._prefix)
        return any(key.rpartition("/")[2] not in keys.DOCUMENTS for key in own)

    def find(self, key: str) -> AnyTarget | None:
        """Return the document or link of a key, relative to the end; None where there is none."""
        return None if self._data is None else self._data.find(self._prefix + key)
