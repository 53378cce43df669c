"""Blocks in a mapping."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from ipld_car import CarError, cids
from multiformats import CID

from ._base import ContentAddressableStore
from ._errors import BlockNotFoundError


def _key(cid: CID) -> str:
    binary = cids.to_bytes(cid)
    if binary[0] == 0x12:  # version 0: the same block as version 1 with dag-pb
        binary = b"\x01\x70" + binary
    return cids.to_text(binary)


class MappingCAStore(ContentAddressableStore):
    """Blocks in a ``MutableMapping[str, bytes]``: a dict, an object store, anything with that interface.

    Keys are CIDs of version 1 in base32, as people see them. As safe with threads as the mapping is; a dict is.
    Two stores are equal if their mappings are.

    :param mapping: where the blocks are kept, by default a new dict
    :param hash: see :class:`ContentAddressableStore`

    >>> store = MappingCAStore()
    >>> print(store.put({"hello": "world"}))
    bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae
    """

    def __init__(self, mapping: MutableMapping[str, bytes] | None = None, *, hash: str = "sha2-256") -> None:  # noqa: A002
        super().__init__(hash=hash)
        self._mapping: MutableMapping[str, bytes] = {} if mapping is None else mapping
        # A dict answers at once; what else a mapping is, an object store say, nobody knows.
        self.blocking = not isinstance(self._mapping, dict)

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`."""
        key = _key(cid)
        try:
            return self._mapping[key]
        except KeyError:
            raise BlockNotFoundError(f"no block {key} in this {type(self._mapping).__name__}") from None

    def put_block(self, cid: CID, data: bytes) -> None:
        """See :meth:`ContentAddressableStore.put_block`."""
        self._mapping[_key(cid)] = data

    def has_block(self, cid: CID) -> bool:
        """See :meth:`ContentAddressableStore.has_block`."""
        return _key(cid) in self._mapping

    def delete_block(self, cid: CID) -> None:
        """See :meth:`ContentAddressableStore.delete_block`."""
        self._mapping.pop(_key(cid), None)

    def __iter__(self) -> Iterator[CID]:
        """The CIDs of all blocks; keys of the mapping that are no CID are somebody else's."""
        for key in list(self._mapping):
            try:
                yield cids.from_bytes(cids.to_bytes(key))
            except CarError:
                continue

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MappingCAStore):
            return NotImplemented
        return self._mapping is other._mapping or self._mapping == other._mapping

    __hash__ = None  # type: ignore[assignment]  # as mutable as its mapping

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._mapping)} keys in a {type(self._mapping).__name__}>"
