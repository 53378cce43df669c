"""Hash the chunks of a source, and make links and records of an index of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from ipld_car import cids, unixfs
from ipld_castore import ContentAddressableStore

from .model import Ranges, Source, content

BLOCK: Final = unixfs.CHUNK_SIZE
RECORD: Final = np.dtype([("digest", "V32"), ("file", ">u4"), ("offset", ">u8"), ("length", ">u4")])
"""A record of an index, as ``docs/formats/references.md`` has it."""
_RAW: Final = cids.make(cids.RAW, bytes(32))[:4]

Put = Callable[[bytes, bytes], object]
Job = tuple[str, list[tuple[int, int]]]
"""A file and its ranges, as :class:`ipld_castore.RangeHasher` takes them."""


class Linked(NamedTuple):
    """The links of an array of a source."""

    coordinates: npt.NDArray[np.int64]
    links: npt.NDArray[np.uint8]
    """(n, 36) binary CIDs."""


class _Blocks(NamedTuple):
    """The blocks of chunks: of each chunk one, or leaves of 1 MiB (format, section 2)."""

    first: npt.NDArray[np.int64]
    """For each chunk the position of its first block, and at the end the number of all blocks."""
    file: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]

    @classmethod
    def of(cls, chunks: Ranges) -> _Blocks:
        counts = np.maximum(1, -(-chunks.length // BLOCK))
        first = np.concatenate(([0], np.cumsum(counts)))
        if len(chunks.length) == first[-1]:
            return cls(first, chunks.file, chunks.offset, chunks.length)
        at = (np.arange(first[-1]) - np.repeat(first[:-1], counts)) * BLOCK
        file, offset, length = (np.repeat(each, counts) for each in chunks[1:])
        return cls(first, file, offset + at, np.minimum(length - at, BLOCK))


class SourceLinks:
    """The chunks of a source while they are hashed.

    :param source: what it holds
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._arrays = list(source.arrays.values())
        self._keys = [key for key, place in source.values.items() if isinstance(place, tuple)]
        places = [place for place in source.values.values() if isinstance(place, tuple)]
        parts = [array.ranges for array in self._arrays] + [Ranges.of(0, (([], *place) for place in places))]
        self._starts = np.cumsum([0, *(len(part.file) for part in parts)]).tolist()
        none = np.zeros((0, 0), np.int64)
        self._blocks = _Blocks.of(Ranges(none, *(np.concatenate([part[at] for part in parts]) for at in (1, 2, 3))))
        self._digests = np.empty((len(self._blocks.file), 32), np.uint8)

    @property
    def size(self) -> int:
        """The number of bytes that are hashed."""
        return int(self._blocks.length.sum())

    def _by_file(self) -> Iterator[npt.NDArray[np.intp]]:
        """Yield for each file the positions of its blocks."""
        if len(self.source.files) == 1:
            yield np.arange(len(self._blocks.file))
            return
        order = np.argsort(self._blocks.file, kind="stable")
        bounds = np.searchsorted(self._blocks.file[order], np.arange(len(self.source.files) + 1)).tolist()
        for start, stop in pairwise(bounds):
            yield order[start:stop]

    def jobs(self) -> Iterator[Job]:
        """Yield each file with its ranges, in the order of the files."""
        for name, own in zip(self.source.files, self._by_file(), strict=True):
            yield name, list(zip(self._blocks.offset[own].tolist(), self._blocks.length[own].tolist(), strict=True))

    def hash(self, hash_files: Callable[[Iterator[Job]], Iterable[list[bytes]]]) -> None:
        """Hash all chunks.

        :param hash_files: returns for each job the digests of its ranges
        """
        for own, digests in zip(self._by_file(), hash_files(self.jobs()), strict=True):
            self._digests[own] = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)

    def finish(self, castore: ContentAddressableStore) -> tuple[dict[str, Linked], dict[str, bytes]]:
        """Return the links of each array, and those of other keys.

        Nodes of chunks over 1 MiB, and chunks that no file holds, are put into the block store.

        :raises CAStoreError: if a block cannot be put
        """

        def put(cid: bytes, block: bytes) -> None:
            castore.put_block(cids.from_validated(cid), block)

        all_links = self._links(put)
        linked: dict[str, Linked] = {}
        for (start, stop), array in zip(pairwise(self._starts), self._arrays, strict=False):
            coordinates, links = array.ranges.coordinates, all_links[start:stop]
            if array.inlined:
                own = b"".join(unixfs.build(content(data), put) for data in array.inlined.values())
                links = np.concatenate([links, np.frombuffer(own, np.uint8).reshape(-1, 36)])
                at = np.array(list(array.inlined), np.int64).reshape(len(array.inlined), coordinates.shape[1])
                coordinates = np.concatenate([coordinates, at])
            linked[array.path] = Linked(coordinates, links)
        rest = all_links[self._starts[-2] :]
        values = dict(zip(self._keys, (link.tobytes() for link in rest), strict=True))
        for key, place in self.source.values.items():
            if not isinstance(place, tuple):
                values[key] = unixfs.build(content(place), put)
        return linked, values

    def _links(self, put: Put) -> npt.NDArray[np.uint8]:
        """Return the binary CID of each chunk."""
        first, lengths = self._blocks.first, self._blocks.length
        links = np.empty((len(first) - 1, 36), np.uint8)
        links[:, :4] = np.frombuffer(_RAW, np.uint8)
        links[:, 4:] = self._digests[first[:-1]]
        for chunk in np.flatnonzero(np.diff(first) > 1).tolist():
            own = range(int(first[chunk]), int(first[chunk + 1]))
            leaves = (
                unixfs.Tree(_RAW + self._digests[at].tobytes(), size, size)
                for at, size in zip(own, lengths[own.start : own.stop].tolist(), strict=True)
            )
            links[chunk] = np.frombuffer(unixfs.join(leaves, put).cid, np.uint8)
        return links

    def records(self, numbers: list[int]) -> bytes:
        """Return the records of an index for all blocks that lie in the files.

        :param numbers: the number of each file in the index
        """
        records = np.empty(len(self._digests), RECORD)
        records["digest"] = self._digests.view("V32").ravel()
        records["file"] = np.array(numbers, np.int64)[self._blocks.file]
        records["offset"], records["length"] = self._blocks.offset, self._blocks.length
        return records.tobytes()
