"""An archive that is read by ranges: any of its blocks, by its index or by one scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from multiformats import CID

from ipld_car import cids
from ipld_car._car.block import BlockLocation
from ipld_car._file.block_table import key_of
from ipld_car._file.scan import is_identity
from ipld_car.errors import BlockAbsentError, HashMismatchError
from ipld_car.hashes import verify_digest

from .planning import Map, planned_at_once, prefetch
from .range_blocks import RangeBlocks
from .source import RangeSource

AnyCID = CID | str | bytes


class CarRangeReader:
    """Reads any block of an archive of which ranges of bytes can be had, such as a file on an HTTP server.

    The constructor reads the first 128 KiB. Blocks are found by multihash. An index of codec 0x0400 or 0x0401 is
    searched where it lies: a block of which nothing is known costs one read of the index and one of the data, if the
    digests are spread evenly and the block is not much larger than others. The read of the data takes what follows
    the block too, at least 128 KiB, so the next blocks cost no read. A block that the index lacks is taken for absent.

    An archive without an index is read from start to end once, when the first block is wanted that is not in memory. So
    is one whose index cannot be read or turns out to be wrong, with a :class:`CarWarning`. :attr:`scan_reason` says
    why.

    Any number of threads may use a reader at once. A forked child makes a reader of its own.

    :param source: the archive; closing it is up to the caller
    :param cache_bytes: the most bytes of blocks, and of entries of the index, that are kept in memory
    :param zero_length_section_as_eof: take a section of length zero for the end of the archive, as archives that are
        padded with zeros need it
    :param allow_truncated: take the whole sections of an archive that was cut off or is damaged, with a
        :class:`CarWarning`. What is whole behind damage is found by its hash, and the archive is read at most four
        times for that
    :raises CarError: if it is no archive, or shorter than its header says
    """

    __module__ = "ipld_car"  # where users import it from; the package does so when it is first used

    def __init__(
        self,
        source: RangeSource,
        *,
        cache_bytes: int = 64 << 20,
        zero_length_section_as_eof: bool = False,
        allow_truncated: bool = False,
    ) -> None:
        self._source = source
        self._blocks = RangeBlocks(
            source, cache_bytes, zero_is_end=zero_length_section_as_eof, allow_truncated=allow_truncated
        )

    @property
    def version(self) -> int:
        """1 or 2."""
        return self._blocks.layout.version

    @property
    def roots(self) -> list[CID]:
        """The CIDs that the header names."""
        return [cids.from_bytes(root) for root in self._blocks.layout.roots]

    @property
    def scan_reason(self) -> str | None:
        """Why the archive was read from start to end; None as long as it was not."""
        return self._blocks.scan_reason

    def get(self, cid: AnyCID, *, verify: bool = True) -> bytes:
        """Return the bytes of a block, verified.

        :param verify: False returns what is in the archive
        :raises BlockAbsentError: if the archive has no such block; a KeyError too
        :raises HashMismatchError: if its bytes in the archive are others
        :raises CarError: if the archive is damaged
        """
        binary = cids.to_bytes(cid)
        if is_identity(binary):
            return binary[cids.prefix_of(binary).size :]
        damaged: HashMismatchError | None = None
        for block in self._blocks.copies(key_of(binary)):
            if not verify:
                return block.data
            try:
                verify_digest(binary, block.data)
            except HashMismatchError as error:
                damaged = damaged or error.at(block.location.payload_offset)
            else:
                return block.data
        try:
            raise damaged or self._absent(binary)
        finally:
            del damaged  # an error that its own frame holds is not freed before the garbage collector runs

    def get_many(
        self,
        wanted: Iterable[AnyCID],
        *,
        verify: bool = True,
        map: Map = map,  # noqa: A002  # it is one, or does as one does
    ) -> Iterator[tuple[AnyCID, bytes]]:
        """Yield CID and bytes of many blocks, in the order in which they are wanted; near blocks are read together.

        :param verify: see :meth:`get`
        :param map: calls a function on each of several items, such as ``ThreadPoolExecutor.map``, for several reads at
            a time
        :raises CarError: as :meth:`get`
        """
        left = iter(wanted)
        while batch := list(islice(left, planned_at_once(self._blocks))):
            self.prefetch(batch, map=map)
            for cid in batch:
                yield cid, self.get(cid, verify=verify)

    def prefetch(self, wanted: Iterable[AnyCID], *, map: Map = map) -> None:  # noqa: A002  # it is one, or does as one does
        """Read blocks that are about to be got, near ones together; what is in memory already is not read.

        A block that is absent or damaged is an error when it is got.

        :param wanted: as many as the cache holds
        :param map: see :meth:`get_many`
        """
        binaries = [cids.to_bytes(cid) for cid in wanted]
        prefetch(self._blocks, [key_of(binary) for binary in binaries if not is_identity(binary)], map)

    def is_cached(self, cid: AnyCID) -> bool:
        """Return whether a block is in memory, so that getting it is likely to cost no read."""
        binary = cids.to_bytes(cid)
        return is_identity(binary) or key_of(binary) in self._blocks.windows

    def location(self, cid: AnyCID) -> BlockLocation:
        """Return where in the archive a block is.

        :raises BlockAbsentError: if the archive has no such block; a KeyError too
        :raises CarError: if the archive is damaged
        """
        binary = cids.to_bytes(cid)
        block = None if is_identity(binary) else next(self._blocks.copies(key_of(binary)), None)
        if block is None:
            raise self._absent(binary)
        return block.location

    def __contains__(self, cid: AnyCID) -> bool:
        """Return whether a block is in memory or in the index; its bytes are not looked at."""
        binary = cids.to_bytes(cid)
        return self.is_cached(binary) or bool(self._blocks.index().find(key_of(binary)))

    def __len__(self) -> int:
        """Return how many blocks the index has; identity CIDs, which hold their bytes themselves, do not count."""
        index = self._blocks.index()
        return len(index) - index.inline

    def __iter__(self) -> Iterator[tuple[CID, BlockLocation]]:
        """CID and location of each block, in the order of the archive, which is read from start to end for that."""
        for offset, cid, begin, size in self._blocks.sections():
            if not is_identity(cid):
                yield cids.from_validated(cid), BlockLocation(offset, begin - offset - len(cid), len(cid), size)

    def _absent(self, cid: bytes) -> BlockAbsentError:
        return BlockAbsentError(f"expected the block {cids.to_text(cid)} in the archive, found none")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: CARv{self.version}, {self._source.size} bytes>"
