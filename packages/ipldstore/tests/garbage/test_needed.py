"""What is needed is found out, or nothing is freed: a block store that fails is not one that lacks the block."""

from __future__ import annotations

import pytest
from ipld_castore import BackendUnavailableError, BlockCorruptError, MappingCAStore
from ipldstore._garbage.needed import reach_from_young
from multiformats import CID


class Failing(MappingCAStore):
    """A store that cannot give one of its blocks now."""

    lost: CID | None = None

    def get_block(self, cid: CID) -> bytes:
        if cid == self.lost:
            raise BackendUnavailableError(f"no way to {cid}")
        return super().get_block(cid)


def test_a_store_that_fails_stops_the_collection() -> None:
    """Else the blocks below the one that could not be read would be freed, as nobody knew of them."""
    castore = Failing()
    leaf = castore.put_raw(b"leaf")
    node = castore.put([leaf])
    top = castore.put([node])
    seen: set[bytes] = set()
    reach_from_young(castore, iter([bytes(top)]), seen)
    assert seen >= {bytes(node), bytes(leaf)}
    castore.lost = node
    with pytest.raises(BackendUnavailableError):
        reach_from_young(castore, iter([bytes(top)]), set())
    castore.lost = None
    castore.put_block(node, b"damaged")
    with pytest.raises(BlockCorruptError):
        reach_from_young(castore, iter([bytes(top)]), set())


def test_what_only_looks_like_a_link_is_passed_over() -> None:
    """Any block may be dag-cbor by chance; its links may lead nowhere."""
    castore = MappingCAStore()
    absent = MappingCAStore().put_raw(b"never put here")
    leaf = castore.put_raw(b"leaf")
    top = castore.put([absent, castore.put({"a": leaf})])
    noise = castore.put_raw(b"\x82\xd8\x2a\x41\x00\x01")
    seen: set[bytes] = set()
    reach_from_young(castore, iter([bytes(noise), bytes(top)]), seen)
    assert bytes(leaf) in seen
