"""The index of an archive that is far away: in memory where it is small, else searched where it lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ipld_car import varint
from ipld_car._car.index import MULTIHASH_INDEX_SORTED, Buffer, CarIndex

from .bucket_search import BucketSearch
from .source import HeadsBuffer


class RangeIndex:
    """An index that is searched by a few ranges; see :class:`BucketSearch`.

    The constructor reads the heads of the buckets, which costs a read for each bucket but the first.

    :param read: reads a range of the archive, by offset and size
    :param heads: the archive as slices
    :param start: where the index begins
    :param cache_bytes: the most bytes of entries that are kept
    :raises CarError: if there is no index of codec 0x0400 or 0x0401, or it claims more than there is
    """

    def __init__(self, read: Callable[[int, int], bytes], heads: HeadsBuffer, start: int, cache_bytes: int) -> None:
        index = CarIndex(cast(Buffer, heads), start)
        self._count = len(index)
        self.inline = index.inline
        """Number of entries for identity CIDs; some writers index them."""
        self._has_codes = index.codec == MULTIHASH_INDEX_SORTED
        self._searches = {
            key: BucketSearch(read, bucket, cache_bytes) for key, bucket in index.buckets.items() if bucket.entries
        }

    def find(self, multihash: bytes) -> list[int]:
        """See :meth:`CarIndex.find`."""
        code, position = varint.decode(multihash)
        size, position = varint.decode(multihash, position)
        search = self._searches.get((code if self._has_codes else None, size))
        return [] if search is None else search.find(multihash[position:])

    def __len__(self) -> int:
        """Return the number of entries."""
        return self._count
