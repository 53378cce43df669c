"""Blocks in a mapping."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, Final
from weakref import WeakValueDictionary

from ipld_car import CarError, cids
from multiformats import CID

from ipld_castore._core.heads import check_head
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.concurrency import ForkLocal
from ipld_castore.errors import BackendUnavailableError, BlockCorruptError, BlockNotFoundError

from .head_file import HEAD_FILE, format_head, parse_head
from .put_times import KeyTimes

_times: Final[WeakValueDictionary[int, _MappingTimes]] = WeakValueDictionary()
"""The times of each mapping that a store is over, by its identity: stores over one mapping share them."""
_sharing: Final = ForkLocal(threading.Lock)
"""Held while a store looks up its times."""
_swapping: Final = ForkLocal(threading.Lock)
"""Held while the head of a mapping is compared and replaced."""


class _MappingTimes(KeyTimes[str]):
    """The times of a mapping, which lives as long as they do: no other mapping gets its identity."""

    def __init__(self, mapping: MutableMapping[str, bytes]) -> None:
        super().__init__()
        self.mapping = mapping


def _times_of(mapping: MutableMapping[str, bytes]) -> _MappingTimes:
    with _sharing.value:
        return _times.setdefault(id(mapping), _MappingTimes(mapping))


def _key(cid: CID) -> str:
    binary = cids.to_bytes(cid)
    if binary[0] == 0x12:  # version 0: the same block as version 1 with dag-pb
        binary = b"\x01\x70" + binary
    return cids.to_text(binary)


def _cid_of(key: object) -> CID | None:
    """Return the CID whose block is at a key of the mapping; None if this store would not look for it there."""
    if not isinstance(key, str):
        return None
    try:
        cid = cids.from_bytes(cids.to_bytes(key))
    except CarError:
        return None
    return cid if _key(cid) == key else None


class MappingCAStore(ContentAddressableStore):
    """Blocks in a ``MutableMapping[str, bytes]``: a dict, an object store, anything with that interface.

    Keys are CIDs of version 1 in base32, as people see them. As safe with threads as the mapping is; a dict is.
    A store knows which blocks this process has put lately (:class:`SupportsRecent`), so garbage is collected beside
    its threads. Two stores are equal if their mappings are. The head is at the key ``HEAD``, once it was set; it moves
    atomically among the threads of a process, and not among processes that share a mapping.

    :param mapping: where the blocks are kept, by default a new dict
    :param hash: see :class:`ContentAddressableStore`

    >>> store = MappingCAStore()
    >>> print(store.put({"hello": "world"}))
    bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae
    """

    def __init__(self, mapping: MutableMapping[str, bytes] | None = None, *, hash: str = "sha2-256") -> None:  # noqa: A002  # as above
        super().__init__(hash=hash)
        self._mapping: MutableMapping[str, bytes] = {} if mapping is None else mapping
        self._times = _times_of(self._mapping)
        # A dict answers at once; another mapping may be over a network.
        self.blocking = not isinstance(self._mapping, dict)

    @property
    def address(self) -> str:
        """See :attr:`ContentAddressableStore.address`."""
        return f"{type(self._mapping).__name__}-{id(self._mapping)}"

    @property
    def mapping(self) -> MutableMapping[str, bytes]:
        """The mapping that has the blocks."""
        return self._mapping

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`.

        :raises BlockCorruptError: if the value is no byte string
        """
        key = _key(cid)
        try:
            value = self._mapping[key]
        except KeyError:
            raise BlockNotFoundError(f"no block {key} in this {type(self._mapping).__name__}") from None
        except OSError as error:
            raise BackendUnavailableError(f"cannot read block {key}: {error}") from error
        if isinstance(value, bytes):
            return value
        if isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        raise BlockCorruptError(f"expected bytes for key {key} of {self!r}, found {type(value).__name__}")

    def put_block(self, cid: CID, data: bytes) -> None:
        """See :meth:`ContentAddressableStore.put_block`."""
        key = _key(cid)
        self._times.note(key)
        try:
            self._mapping[key] = data
        except OSError as error:
            raise BackendUnavailableError(f"cannot write block {key}: {error}") from error

    def has_block(self, cid: CID) -> bool:
        """See :meth:`ContentAddressableStore.has_block`."""
        key = _key(cid)
        try:
            return key in self._mapping
        except OSError as error:
            raise BackendUnavailableError(f"cannot look for block {key}: {error}") from error

    @property
    def head(self) -> CID | None:
        """See :attr:`SupportsHead.head`; it is at the key ``HEAD`` of the mapping, as the text of the CID.

        :raises BackendUnavailableError: if the mapping cannot be read, or what is there is no CID
        """
        try:
            return parse_head(bytes(memoryview(self._mapping[HEAD_FILE])))
        except KeyError:
            return None
        except (OSError, CarError, TypeError) as error:
            raise BackendUnavailableError(f"cannot read the head of {self!r}: {error}") from error

    def swap_head(self, expected: CID | None, new: CID) -> None:
        """See :meth:`SupportsHead.swap_head`; safe with the threads of this process."""
        with _swapping.value:
            check_head(self, expected, self.head)
            try:
                self._mapping[HEAD_FILE] = format_head(new)
            except OSError as error:
                raise BackendUnavailableError(f"cannot write the head of {self!r}: {error}") from error

    def delete_block(self, cid: CID) -> None:
        """See :meth:`SupportsDelete.delete_block`."""
        key = _key(cid)
        try:
            del self._mapping[key]  # pop() of a MutableMapping would read the block first
        except KeyError:
            return
        except OSError as error:
            raise BackendUnavailableError(f"cannot delete block {key}: {error}") from error

    def now(self) -> float:
        """See :meth:`SupportsRecent.now`."""
        return time.time()

    def recent(self, since: float) -> Iterator[CID]:
        """See :meth:`SupportsRecent.recent`; of all stores of this process over the same mapping."""
        return (cid for key in self._times.since(since) if (cid := _cid_of(key)) is not None)

    def delete_old(self, cids: Iterable[CID], before: float) -> Iterator[CID]:
        """See :meth:`SupportsDeleteOld.delete_old`; puts by other threads wait meanwhile."""
        with self._times.deleting(before) as forget:
            deleted = [cid for cid in cids if forget(_key(cid))]
            for cid in deleted:
                self.delete_block(cid)
        return iter(deleted)

    def __iter__(self) -> Iterator[CID]:
        """Return the CIDs of all blocks; other keys of the mapping are passed over."""
        try:
            keys = list(self._mapping)
        except OSError as error:
            raise BackendUnavailableError(f"cannot list blocks: {error}") from error
        return (cid for key in keys if (cid := _cid_of(key)) is not None)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MappingCAStore):
            return NotImplemented
        return self._mapping is other._mapping or self._mapping == other._mapping

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_times"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._times = _times_of(self._mapping)

    __hash__ = None  # type: ignore[assignment]  # as mutable as its mapping

    def __repr__(self) -> str:
        name = type(self._mapping).__name__
        # Only a dict counts its keys for nothing; another mapping may have to list a bucket.
        what = f"{len(self._mapping)} keys in a dict" if isinstance(self._mapping, dict) else f"blocks in a {name}"
        return f"<{type(self).__name__}: {what}>"
