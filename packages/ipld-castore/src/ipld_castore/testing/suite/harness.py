"""What the subclass says of its backend, and what the tests build blocks with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ipld_car import cids, dagcbor, hashes
from multiformats import CID

from ipld_castore._core.hash_policy import HASH_CODES
from ipld_castore._core.store import ContentAddressableStore


class Harness:
    """The fixture, the hook and the attributes that a subclass overrides."""

    can_list: bool = True
    """The store is a :class:`~ipld_castore.SupportsList`."""
    keeps_codecs: bool = True
    """Iterating gives the codecs that blocks were put with; else all are raw."""
    can_delete: bool = True
    """The store is a :class:`~ipld_castore.SupportsDelete`."""
    can_pickle: bool = True
    """A store can be pickled, and the copy, which is equal, has the same blocks."""
    can_corrupt: bool = True
    """``corrupt`` is there; only a backend that nothing gets behind may do without."""
    can_repair: bool = True
    """Putting a block whose bytes are damaged replaces them."""
    shows_damage: bool = True
    """``get_raw(verify=False)`` gives damaged bytes as they are; else the backend verifies, and they are an error."""
    hash: str = "sha2-256"
    """The hash function that the store of the fixture was made with."""
    depth: int = 10_000
    """Blocks in the longest chain; less where a block takes more than some milliseconds."""
    width: int = 2_000
    """Links in the widest node; as above."""

    @pytest.fixture
    def castore(self) -> Iterator[ContentAddressableStore]:
        """A new, empty store."""
        raise NotImplementedError("override the fixture castore: it gives a new, empty store")

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        """Give the block of ``cid`` these bytes without the store's knowledge; None removes it."""
        raise NotImplementedError("override corrupt(), or set can_corrupt = False if nothing gets behind the backend")

    # -- blocks --

    def make_cid(self, data: bytes, codec: int = cids.RAW) -> CID:
        """The CID that the store should give these bytes, worked out beside it."""
        code = HASH_CODES[self.hash]
        return cids.from_bytes(cids.make(codec, hashes.digest_of(code, data), code))

    def chain(self, castore: ContentAddressableStore, length: int) -> CID:
        """Put ``length`` nodes that link each other; returns the first."""
        cid = castore.put_raw(dagcbor.encode_node({"end": 0}), "dag-cbor")
        for _ in range(length - 1):
            cid = castore.put_raw(dagcbor.encode_node({"next": bytes(cid)}), "dag-cbor")
        return cid

    @pytest.fixture
    def damage(self, castore: ContentAddressableStore) -> Callable[[CID, bytes | None], None]:
        """:meth:`corrupt` for the store of the test."""
        if not self.can_corrupt:
            pytest.skip("the subclass says that nothing gets behind this backend")
        return lambda cid, data: self.corrupt(castore, cid, data)
