"""Hash the chunks of a source, and make links and records of an index of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from ipld_car import cids, unixfs
from ipld_castore import ContentAddressableStore

from .model import Ranges, Source

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


class SourceLinks:
    """The chunks of a source while they are hashed.

    :param source: what it holds
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._parts: list[tuple[str | None, Ranges]] = [(path, array.ranges) for path, array in source.arrays.items()]
        self._keys = [key for key, place in source.values.items() if not isinstance(place, bytes)]
        places = [place for place in source.values.values() if not isinstance(place, bytes)]
        self._parts.append((None, Ranges.of(0, (([], *place) for place in places))))
        self._digests: list[list[bytes]] = []

    def jobs(self) -> Iterator[Job]:
        """Yield each file with its ranges, in the order of the files; at least one job."""
        by_file: list[list[tuple[int, int]]] = [[] for _ in self.source.files]
        for _, ranges in self._parts:
            for file, offset, length in zip(
                ranges.file.tolist(), ranges.offset.tolist(), ranges.length.tolist(), strict=True
            ):
                by_file[file].extend(blocks_of(offset, length))
        yield from zip(self.source.files, by_file, strict=True)

    @property
    def is_complete(self) -> bool:
        """Whether the digests of all jobs have been given."""
        return len(self._digests) >= len(self.source.files)

    def give(self, digests: list[bytes]) -> None:
        """Take the digests of the next job."""
        self._digests.append(digests)

    def finish(self, castore: ContentAddressableStore) -> tuple[dict[str, Linked], dict[str, bytes]]:
        """Return the links of each array, and those of other keys.

        Nodes of chunks over 1 MiB, and chunks that no file holds, are put into the block store.

        :raises CAStoreError: if a block cannot be put
        """

        def put(cid: bytes, block: bytes) -> None:
            castore.put_block(cids.from_validated(cid), block)

        coming = [iter(digests) for digests in self._digests]
        linked: dict[str, Linked] = {}
        values: dict[str, bytes] = {}
        for path, ranges in self._parts:
            binary = b"".join(_links(ranges, coming, put))
            links = np.frombuffer(binary, np.uint8).reshape(-1, 36)
            if path is None:
                values.update(zip(self._keys, (link.tobytes() for link in links), strict=True))
                continue
            inlined = self.source.arrays[path].inlined
            if inlined:
                own = b"".join(unixfs.build(data, put) for data in inlined.values())
                links = np.concatenate([links, np.frombuffer(own, np.uint8).reshape(-1, 36)])
            axes = ranges.coordinates.shape[1]
            at = np.array(list(inlined), np.int64).reshape(len(inlined), axes)
            linked[path] = Linked(np.concatenate([ranges.coordinates, at]), links)
        for key, place in self.source.values.items():
            if isinstance(place, bytes):
                values[key] = unixfs.build(place, put)
        return linked, values

    def records(self, numbers: list[int]) -> bytes:
        """Return the records of an index for all blocks that lie in the files.

        :param numbers: the number of each file in the index
        """
        found = []
        for (_, ranges), number, digests in zip(self.jobs(), numbers, self._digests, strict=True):
            records = np.empty(len(ranges), RECORD)
            records["digest"] = np.frombuffer(b"".join(digests), "V32")
            records["file"] = number
            places: npt.NDArray[Any] = np.array(ranges, np.int64).reshape(len(ranges), 2)
            records["offset"], records["length"] = places[:, 0], places[:, 1]
            found.append(records.tobytes())
        return b"".join(found)


def blocks_of(offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield offset and length of the blocks of a chunk: of one, or of leaves of 1 MiB (format, section 2)."""
    if length <= BLOCK:
        yield offset, length
        return
    for start in range(0, length, BLOCK):
        yield offset + start, min(BLOCK, length - start)


def _links(ranges: Ranges, coming: list[Iterator[bytes]], put: Put) -> Iterator[bytes]:
    """Yield the binary CID of each chunk.

    :param coming: the digests of the blocks of each file, in the order of the chunks
    """
    for file, length in zip(ranges.file.tolist(), ranges.length.tolist(), strict=True):
        digests = coming[file]
        if length <= BLOCK:
            yield _RAW + next(digests)
            continue
        leaves = (unixfs.Tree(_RAW + next(digests), size, size) for _, size in blocks_of(0, length))
        yield unixfs.join(leaves, put).cid
