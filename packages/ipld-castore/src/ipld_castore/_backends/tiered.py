"""A near store in front of a far one."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from ipld_car import cids
from multiformats import CID

from ipld_castore._core import graph
from ipld_castore._core.any_store import AnyCAStore, castore_of
from ipld_castore._core.backend import AnyCID
from ipld_castore._core.capabilities import SupportsDelete, SupportsList
from ipld_castore._core.composed import base_of, blank
from ipld_castore._core.hash_policy import check_hash, identity_bytes, verify
from ipld_castore._core.path import PathStep
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.concurrency import InFlight
from ipld_castore.errors import BlockCorruptError, BlockNotFoundError, CAStoreError

from .near_limit import NearLimit, limit_of
from .tiered_capabilities import class_for

_BATCH_BLOCKS: Final = 1024
_BATCH_BYTES: Final = 16 << 20


class TieredCAStore(ContentAddressableStore):
    """A near store, usually a folder or memory, that keeps what was read from a far one, such as a gateway or a node.

    A block is read from ``near``; if that lacks it, or has other bytes, from ``far``, verified, and then kept in
    ``near``. What is written goes to ``far`` and then to ``near``, so that ``near`` has nothing that ``far`` has not
    been given. Listing is that of ``far``; deleting deletes in both. Where ``near`` cannot be written, as its disk is
    full or its folder was removed, a warning says so once, and ``far`` is read and written all the same.

    Threads: as safe as the two stores are; however many threads want a block, it is got from ``far`` once.
    Two stores are equal if both of their parts are.

    Capabilities: a store lists, and has a head, pins, names and journals, if ``far`` does; it deletes if both
    stores do, and knows the ages of blocks if ``far`` does and ``near`` deletes.

    :param near: where to look first, and to keep what was found; a dataset stands for its block store
    :param far: where everything is, likewise
    :param max_bytes: the most bytes of blocks to keep in ``near``; those that were not used for the longest time are
        deleted. It counts what ``near`` has to begin with, so this must be able to list and delete. Where ``near`` is
        a folder that other processes write to, each may exceed the limit by a quarter. By default there is no limit
    :param hash: see :class:`ContentAddressableStore`
    :raises ValueError: if ``max_bytes`` is negative
    :raises TypeError: if there is a limit, and ``near`` does not list and delete; or one of the two is no block store

    >>> from ipld_castore import MappingCAStore
    >>> near, far = MappingCAStore(), MappingCAStore()
    >>> cid = far.put(b"data")
    >>> TieredCAStore(near, far).get(cid), cid in near
    (b'data', True)
    """

    def __init__(
        self,
        near: AnyCAStore,
        far: AnyCAStore,
        *,
        max_bytes: int | None = None,
        hash: str = "sha2-256",  # noqa: A002  # as the base class has it
    ) -> None:
        super().__init__(hash=hash)
        if max_bytes is not None and max_bytes < 0:
            raise ValueError(f"expected a limit from 0 bytes on, found {max_bytes}")
        self.near = near = castore_of(near)
        """Where blocks are looked for first."""
        self.far = far = castore_of(far)
        """Where all blocks are."""
        self.blocking = near.blocking or far.blocking
        self.local = near.local and far.local
        self.sends_graphs = far.sends_graphs
        self._max_bytes = max_bytes
        self._has_warned = False
        self._in_flight: InFlight[bytes] = InFlight()
        self._limit = self._bounded()
        self._take_class()

    def _take_class(self) -> None:
        self.__class__ = class_for(type(self), self.near, self.far)

    def _bounded(self) -> NearLimit | None:
        """Return what limits the near store; None if nothing does."""
        near = self.near
        if self._max_bytes is None:
            return None
        if not (isinstance(near, SupportsList) and isinstance(near, SupportsDelete)):
            raise TypeError(
                f"expected with max_bytes a near store that lists and deletes its blocks (SupportsList and "
                f"SupportsDelete), found {near!r}"
            )
        return limit_of(near, self._max_bytes)

    @property
    def writable(self) -> bool:
        """Whether the far store takes blocks."""
        return self.far.writable

    @property
    def persist_moves_head(self) -> bool:
        """Whether :meth:`persist` moves the head of the far store."""
        return self.far.persist_moves_head

    @persist_moves_head.setter
    def persist_moves_head(self, moves: bool) -> None:
        self.far.persist_moves_head = moves

    @property
    def address(self) -> str:
        """The address of the far store: see :attr:`ContentAddressableStore.address`."""
        return self.far.address

    # -- reading --

    def _near(self, binary: bytes) -> bytes | None:
        """Return the verified bytes that the near store has; None if it has none, or others."""
        try:
            data = self.near.get_raw(binary)
        except (BlockNotFoundError, BlockCorruptError):  # a damaged block is as good as none: it is got again
            return None
        if self._limit is not None:
            self._limit.note_read(binary)
        return data

    def _keep(self, binary: bytes, data: bytes) -> None:
        """Put a verified block into the near store, which may fail: see :meth:`_told`."""
        with self._told():
            if self._limit is None:
                self.near.put_block(cids.from_validated(binary), data)
            else:
                self._limit.put(binary, data)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Warn once where the near store fails: a disk is full, or a folder was removed. All is in the far store."""
        try:
            yield
        except (CAStoreError, OSError) as error:
            if not self._has_warned:
                self._has_warned = True
                warnings.warn(f"blocks are not kept in {self.near!r}: {error}", UserWarning, stacklevel=4)

    def _get(self, binary: bytes) -> bytes:
        """Return the verified bytes of a block, from either store."""
        inline = identity_bytes(binary)
        if inline is not None:
            return inline
        check_hash(binary)
        data = self._near(binary)
        if data is not None:
            return data
        return self._in_flight.fetch(cids.multihash_of(binary), lambda: self._fetch(binary))

    def _fetch(self, binary: bytes) -> bytes:
        data = self._near(binary)  # the call before this one may have brought it
        if data is None:
            data = self.far.get_raw(binary)
            self._keep(binary, data)
        return data

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`; what comes from the far store is verified and kept.

        :raises BlockCorruptError: if the far store has other bytes, and the near one has not the right ones
        :raises HashRefusedError: if the CID's hash function proves nothing
        """
        return self._get(cids.to_bytes(cid))

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_blocks`; what the near store lacks is asked of the far one at once."""
        left = iter(wanted)
        here: list[tuple[CID, bytes]] = []
        held = 0
        is_full = True

        def missing() -> Iterator[CID]:
            """Yield the CIDs to ask of the far store; end before too many near blocks wait in memory."""
            nonlocal held, is_full
            for cid in left:
                data = self._near(cids.to_bytes(cid))
                if data is None:
                    yield cid
                    continue
                here.append((cid, data))
                held += len(data)
                if held > _BATCH_BYTES or len(here) >= _BATCH_BLOCKS:
                    is_full = True
                    return

        while is_full:
            is_full = False
            for cid, data in self.far.get_many_raw(missing()):
                self._keep(cids.to_bytes(cid), data)
                yield cid, data
                while here:
                    yield here.pop()
                held = 0
            while here:
                yield here.pop()
            held = 0

    def _take(self, binary: bytes, data: bytes) -> None:
        """Verify a block that the far store gave, and put it into the near one."""
        check_hash(binary)
        verify(binary, data)
        self._keep(binary, data)

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_dag`.

        Where a node is missing in the near store, what is below it comes from the far one as that sends whole graphs.
        """
        return graph.walk(_FarGraphs(self).get, cids.to_bytes(root))

    def get_path(self, cid: AnyCID, names: Sequence[str]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_path`; from the first block that is missing on, from the far store."""
        step: PathStep | None = PathStep(cids.to_bytes(cid), names)
        given: set[bytes] = set()
        while step is not None:
            data = identity_bytes(step.cid) or self._near(step.cid)
            if data is None:
                for found, data in self.far.get_path(step.start.cid, step.start.names):
                    binary = cids.to_bytes(found)
                    if binary in given:  # a shard is asked for from its directory on
                        continue
                    if identity_bytes(binary) is None:
                        self._take(binary, data)
                    yield found, data
                return
            given.add(step.cid)
            current, step = step, step.next(data)
            yield cids.from_validated(current.cid), data

    def has_block(self, cid: CID) -> bool:
        """Return whether one of the two has a block for ``cid``."""
        return self.near.has_block(cid) or self.far.has_block(cid)

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`."""
        data = self._near(cids.to_bytes(cid))
        return self.far.block_size(cid) if data is None else len(data)

    def check_dag(self, root: AnyCID) -> None:
        """See :meth:`ContentAddressableStore.check_dag`: whether the far store has everything."""
        self.far.check_dag(root)

    # -- writing --

    def put_block(self, cid: CID, data: bytes) -> None:
        """See :meth:`ContentAddressableStore.put_block`; in the far store first."""
        self.far.put_block(cid, data)
        self._keep(cids.to_bytes(cid), data)

    def put_blocks(self, pairs: Iterable[tuple[CID, bytes]]) -> None:
        """See :meth:`ContentAddressableStore.put_blocks`."""
        batch: list[tuple[CID, bytes]] = []
        size = 0
        try:
            for cid, data in pairs:
                batch.append((cid, data))
                size += len(data)
                if size > _BATCH_BYTES or len(batch) >= _BATCH_BLOCKS:
                    full, batch, size = batch, [], 0
                    self._put_batch(full)
        finally:  # what came before an error is kept
            self._put_batch(batch)

    def _put_batch(self, batch: list[tuple[CID, bytes]]) -> None:
        if batch:
            self.far.put_blocks(batch)
        for cid, data in batch:
            self._keep(cids.to_bytes(cid), data)

    def _forget(self, cid: CID) -> None:
        if self._limit is not None:
            self._limit.note_deleted(cids.to_bytes(cid))

    def flush(self) -> None:
        """See :meth:`ContentAddressableStore.flush`: that of both."""
        self.far.flush()
        with self._told():
            self.near.flush()

    def persist(self, root: CID, previous: CID | None = None) -> None:
        """See :meth:`ContentAddressableStore.persist`; the far store persists."""
        with self._told():
            self.near.flush()
        self.far.persist(root, previous)

    def close(self) -> None:
        """Close both stores."""
        try:
            self.far.close()
        finally:
            self.near.close()

    # -- the store itself --

    def __reduce__(self) -> tuple[object, ...]:
        return blank, (base_of(type(self)),), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_limit": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._limit = self._bounded()
        self._take_class()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TieredCAStore):
            return NotImplemented
        return self.near == other.near and self.far == other.far

    __hash__ = None  # type: ignore[assignment]  # as mutable as its parts

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.near!r} before {self.far!r}>"


class _FarGraphs:
    """Blocks for a walk: near ones, and where a node is missing, what the far store sends for all below it."""

    def __init__(self, store: TieredCAStore) -> None:
        self._store = store
        self._coming: Iterator[tuple[CID, bytes]] = iter(())

    def get(self, cid: bytes) -> bytes:
        store = self._store
        inline = identity_bytes(cid)
        if inline is not None:
            return inline
        check_hash(cid)
        data = store._near(cid)  # noqa: SLF001  # parts of one store
        if data is not None:
            return data
        data = self._next(cid)
        if data is None and cids.codec_of(cid) != cids.RAW:
            self._coming = store.far.get_dag(cid)
            data = self._next(cid)
        if data is None:
            return store._get(cid)  # noqa: SLF001  # as above
        store._keep(cid, data)  # noqa: SLF001  # as above; get_dag has verified it
        return data

    def _next(self, wanted: bytes) -> bytes | None:
        """Return the wanted block if it comes: this walk skips some blocks, and has the order of the far one."""
        return next((data for cid, data in self._coming if cids.to_bytes(cid) == wanted), None)
