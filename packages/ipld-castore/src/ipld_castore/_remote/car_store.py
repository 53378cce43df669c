"""One CAR file at a URL as a store."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, Literal, NoReturn

from ipld_car import BlockAbsentError, BlockLocation, CarError, CarRangeReader, HashMismatchError, cids
from ipld_car.lru import LRU
from multiformats import CID

from ipld_castore._backends.car import CarCAStore
from ipld_castore._core import graph
from ipld_castore._core.backend import AnyCID
from ipld_castore._core.heads import is_head
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.concurrency import ForkLocal
from ipld_castore.errors import BlockCorruptError, BlockNotFoundError, ReadOnlyStoreError

from .file_url import parse_file_url
from .http_source import HTTPRangeSource
from .object_source import ObjectRangeSource

_HTTP: Final = ("http", "https")
_BUCKETS: Final = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss")
_IN_FLIGHT: Final = 16
"""Requests at a time."""
_AHEAD: Final = 512
"""Blocks that a walk is about to come to, which are looked for at once."""
_MAX_READERS: Final = 4
_MAX_BYTES: Final = 64 << 20
"""Bytes of blocks, and of entries of the index, that a store keeps in memory."""


class _Readers:
    """The readers of stores out of pickles, in one process: a worker gets one pickle after the other."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_pickle: LRU[bytes, CarRangeReader] = LRU(_MAX_READERS)


_readers = ForkLocal(_Readers)


class _Opened:
    """The reader of a store in one process, opened when it is needed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reader: CarRangeReader | None = None


class RemoteCarCAStore(CarCAStore, schemes=(*_HTTP, *_BUCKETS)):
    """A :class:`CarCAStore` over a URL: it reads, by ranges. See there.

    :param url: the URL of the file
    :param mode: "r"
    :param storage_options: see :class:`CarCAStore`
    """

    blocking = True
    local = False

    def __init__(
        self,
        url: str,
        mode: Literal["r", "x", "a"] = "r",
        *,
        fsync: bool = True,
        hash: str = "sha2-256",  # noqa: A002  # the name users know
        zero_length_section_as_eof: bool = False,
        allow_truncated: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        ContentAddressableStore.__init__(self, hash=hash)
        if mode != "r":
            raise ValueError(f'expected the mode "r" with a URL, found {mode!r}: an archive at a URL is only read')
        self._source = _source_of(url, dict(storage_options or {}))
        self._zeros_end = zero_length_section_as_eof
        self._allows_truncated = allow_truncated
        self._opened = ForkLocal(_Opened)
        self._is_copy = False
        self._reader()

    def _reader(self) -> CarRangeReader:
        opened = self._opened.value
        if opened.reader is None:
            with opened.lock:
                if opened.reader is None:
                    opened.reader = self._shared_reader() if self._is_copy else self._new_reader()
        return opened.reader

    def _new_reader(self) -> CarRangeReader:
        try:
            return CarRangeReader(
                self._source,
                cache_bytes=_MAX_BYTES,
                zero_length_section_as_eof=self._zeros_end,
                allow_truncated=self._allows_truncated,
            )
        except CarError as error:
            error.of_file(self.address)
            raise

    def _shared_reader(self) -> CarRangeReader:
        """Return the reader of all copies of one store in this process."""
        key = pickle.dumps((self._source, self._zeros_end, self._allows_truncated))
        shared = _readers.value
        with shared.lock:
            reader = shared.by_pickle.get(key)
            if reader is None:
                reader = self._new_reader()
                shared.by_pickle.put(key, reader)
            return reader

    @contextmanager
    def _reading(self, what: object) -> Iterator[CarRangeReader]:
        """Yield the reader, and raise its errors as those of a store."""
        try:
            yield self._reader()
        except BlockAbsentError as error:
            raise BlockNotFoundError(f"{error.message}: {self.address}") from error
        except CarError as error:
            raise BlockCorruptError(f"cannot read {what}: {error.of_file(self.address)}") from error

    @property
    def address(self) -> str:
        """The URL, without credentials and query; of a bucket with the endpoint, if it is not the default."""
        return self._source.where

    @property
    def url(self) -> str:
        """The URL, without credentials and query, and without an endpoint: as references to its bytes name it."""
        return self._source.url

    @property
    def path(self) -> NoReturn:
        """Raise an error: a URL has no path on this machine.

        :raises AttributeError: always
        """
        raise AttributeError(f"expected an archive on this machine, found {self.address}, which has no path here")

    @property
    def roots(self) -> list[CID]:
        """The roots in the header of the archive."""
        return self._reader().roots

    @property
    def lost(self) -> list[tuple[int, int]]:
        """Nothing: these are ranges that :meth:`rewrite` leaves out, and an archive at a URL is not written."""
        return []

    @property
    def writable(self) -> bool:
        """False: an archive at a URL is only read."""
        return False

    # -- reading --

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`."""
        with self._reading(cid) as reader:
            return reader.get(cid, verify=False)

    def get_replica(self, cid: CID) -> bytes | None:
        """See :meth:`ContentAddressableStore.get_replica`: an archive may have a block twice."""
        with self._reading(cid) as reader:
            try:
                return reader.get(cid)
            except HashMismatchError:
                return None

    def has_block(self, cid: CID) -> bool:
        """See :meth:`ContentAddressableStore.has_block`: as the index of the archive says."""
        with self._reading(cid) as reader:
            return cid in reader

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`."""
        with self._reading(cid) as reader:
            return reader.location(cid).payload_size

    def location(self, cid: AnyCID) -> BlockLocation:
        """See :meth:`CarCAStore.location`."""
        with self._reading(cid) as reader:
            return reader.location(cid)

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_blocks`; near blocks come together, many requests are in flight."""
        with self._reading("blocks") as reader, ThreadPoolExecutor(_IN_FLIGHT) as pool:
            for cid, data in reader.get_many(wanted, verify=False, map=pool.map):
                yield cid if isinstance(cid, CID) else cids.from_validated(cids.to_bytes(cid)), data

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_dag`; blocks are read before the walk comes to them."""
        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            yield from graph.walk(self.get_raw, cids.to_bytes(root), prefetch=self._ahead(pool))

    def _ahead(self, pool: ThreadPoolExecutor) -> Callable[[Sequence[bytes], Container[bytes]], None]:
        def ahead(waiting: Sequence[bytes], seen: Container[bytes]) -> None:
            reader = self._reader()
            if waiting and not reader.is_cached(waiting[-1]):
                coming = [cid for cid in reversed(waiting[-_AHEAD:]) if cid not in seen]
                reader.prefetch(coming, map=pool.map)

        return ahead

    def __iter__(self) -> Iterator[CID]:
        """Return the CIDs of all blocks, in the order of the archive, which is read from start to end for that."""
        seen: set[bytes] = set()
        with self._reading("the CIDs") as reader:
            for cid, _ in reader:
                key = cids.multihash_of(cids.to_bytes(cid))  # an archive may have a block twice
                if key not in seen:
                    seen.add(key)
                    yield cid

    # -- not writing --

    def _refusal(self, what: str) -> ReadOnlyStoreError:
        return ReadOnlyStoreError(f"cannot write {what}: {self!r} only reads, as it is at a URL")

    def put_block(self, cid: CID, data: bytes) -> None:
        """Raise an error: an archive at a URL is only read.

        :raises ReadOnlyStoreError: always
        """
        raise self._refusal(f"block {cid}")

    def swap_head(self, expected: CID | None, new: CID) -> None:
        """Raise an error: an archive at a URL is only read.

        :raises ReadOnlyStoreError: always
        """
        raise self._refusal(f"root {new}")

    def check_head(self, cid: CID) -> None:
        """Raise an error: an archive at a URL is only read.

        :raises ReadOnlyStoreError: always
        """
        raise self._refusal(f"root {cid}")

    def persist(self, root: CID, previous: CID | None = None) -> None:
        """Require that ``root`` is the root of the archive.

        :raises ReadOnlyStoreError: if it is not
        """
        if not is_head(root, self.head):
            raise self._refusal(f"root {root}")

    def flush(self) -> None:
        """Do nothing: an archive at a URL is only read."""

    def close(self) -> None:
        """Close the connections. A closed store opens new ones when it is used."""
        self._source.close()

    def abandon(self) -> None:
        """Close the connections."""
        self.close()

    # -- the store itself --

    def __getstate__(self) -> Any:
        return self._source, self._hash_code, self._zeros_end, self._allows_truncated

    def __setstate__(self, state: Any) -> None:
        self._source, self._hash_code, self._zeros_end, self._allows_truncated = state
        self._opened, self._is_copy = ForkLocal(_Opened), True


def _source_of(url: str, options: dict[str, Any]) -> HTTPRangeSource | ObjectRangeSource:
    if url.partition(":")[0].lower() in _BUCKETS:
        return ObjectRangeSource.from_url(url, options)
    timeout, retries, token = options.pop("timeout", 30.0), options.pop("retries", 3), options.pop("token", None)
    if options:
        raise ValueError(f"expected the options timeout, retries and token with http, found {', '.join(options)}")
    if not (isinstance(timeout, (int, float)) and timeout > 0):
        raise ValueError(f"expected a timeout of more than 0 seconds, found {timeout!r}")
    if not (isinstance(retries, int) and retries >= 0):
        raise ValueError(f"expected a number of retries from 0 on, found {retries!r}")
    return HTTPRangeSource(parse_file_url(url).with_token(token), timeout, retries)
