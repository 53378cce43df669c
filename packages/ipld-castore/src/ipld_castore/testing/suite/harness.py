"""The attributes by which a subclass describes its backend, and helpers that make blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ipld_car import cids, dagcbor, hashes
from multiformats import CID

from ipld_castore._core.hash_policy import HASH_CODES
from ipld_castore._core.store import ContentAddressableStore


class Harness:
    """The fixture ``castore``, the method ``corrupt`` and the attributes that a subclass overrides."""

    can_list: bool = True
    """Whether the store is a :class:`~ipld_castore.SupportsList`."""
    keeps_codecs: bool = True
    """Iterating gives the codecs that blocks were put with; else all are raw."""
    can_delete: bool = True
    """Whether the store is a :class:`~ipld_castore.SupportsDelete`."""
    can_pickle: bool = True
    """A store can be pickled, and the copy has the same blocks."""
    can_corrupt: bool = True
    """The subclass has ``corrupt``. False is for a backend whose blocks cannot be changed from outside."""
    can_repair: bool = True
    """Putting a block whose bytes are damaged replaces them."""
    shows_damage: bool = True
    """``get_raw(verify=False)`` returns damaged bytes as they are. False is for a backend that verifies them itself."""
    hash: str = "sha2-256"
    """The hash function that the store of the fixture was made with."""
    depth: int = 10_000
    """Blocks in the longest chain; set a smaller number where a block takes more than some milliseconds."""
    width: int = 2_000
    """Links in the widest node; set a smaller number where a block takes more than some milliseconds."""

    @pytest.fixture
    def castore(self) -> Iterator[ContentAddressableStore]:
        """Return a new, empty store."""
        raise NotImplementedError(
            "expected the subclass to override the fixture castore, which returns a new, empty store"
        )

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        """Replace the bytes of the block of ``cid`` behind the store's back; None removes the block."""
        raise NotImplementedError(
            "expected corrupt() to be overridden, or can_corrupt = False where nothing changes blocks"
        )

    # -- blocks --

    def make_cid(self, data: bytes, codec: int = cids.RAW) -> CID:
        """Return the CID that the store should give these bytes, without asking the store."""
        code = HASH_CODES[self.hash]
        return cids.from_bytes(cids.make(codec, hashes.digest_of(code, data), code))

    def chain(self, castore: ContentAddressableStore, length: int) -> CID:
        """Put ``length`` nodes, each of which links the next; return the CID of the first."""
        cid = castore.put_raw(dagcbor.encode_node({"end": 0}), "dag-cbor")
        for _ in range(length - 1):
            cid = castore.put_raw(dagcbor.encode_node({"next": bytes(cid)}), "dag-cbor")
        return cid

    @pytest.fixture
    def damage(self, castore: ContentAddressableStore) -> Callable[[CID, bytes | None], None]:
        """Return :meth:`corrupt` for the store of the test."""
        if not self.can_corrupt:
            pytest.skip("the subclass sets can_corrupt = False")
        return lambda cid, data: self.corrupt(castore, cid, data)
