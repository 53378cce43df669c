"""A block store whose lost nodes are read from another one, so that what is below them can be told."""

from __future__ import annotations

from ipld_car import cids
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockNotFoundError,
    ContentAddressableStore,
    ReadOnlyStoreError,
)
from multiformats import CID

from .report import Failure, Kind


class NodesElsewhereCAStore(ContentAddressableStore):
    """The blocks of a store, and for nodes that it has lost those of another store. It only reads.

    :param castore: the store
    :param source: the other store; chunks are never read from it
    """

    def __init__(self, castore: ContentAddressableStore, source: ContentAddressableStore) -> None:
        super().__init__()
        self._castore = castore
        self._source = source
        self.local = castore.local
        self.lost: dict[bytes, Failure] = {}
        """The nodes that were read from the other store, by binary CID."""

    @property
    def address(self) -> str:
        """See :attr:`ContentAddressableStore.address`."""
        return self._castore.address

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`."""
        binary = bytes(cid)
        if cids.codec_of(binary) != cids.DAG_CBOR:
            return self._castore.get_block(cid)
        try:
            return self._castore.get_raw(cid)
        except (BlockNotFoundError, BlockCorruptError) as error:
            try:
                data = self._source.get_raw(cid)
            except (BlockNotFoundError, BlockCorruptError, BackendUnavailableError):
                raise error from None
            kind: Kind = "missing" if isinstance(error, BlockNotFoundError) else "damaged"
            self.lost[binary] = Failure("", cid, kind, str(error), None)
            return data

    def put_block(self, cid: CID, data: bytes) -> None:
        """Raise an error: nothing is written.

        :raises ReadOnlyStoreError: always
        """
        raise ReadOnlyStoreError(f"cannot write block {cid}: {self!r} only reads")
