"""What the tests of all buckets share: the suite of backends, which damages stored blocks, and races for a head."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from ipld_castore import ContentAddressableStore, HeadMovedError, ObjectCAStore
from ipld_castore.testing import CAStoreTests
from multiformats import CID


class ObjectTests(CAStoreTests):
    """Tests of a bucket; subclasses have the fixture ``castore``."""

    keeps_codecs = False

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        assert isinstance(castore, ObjectCAStore)
        castore.flush()
        below = f"{castore.prefix}/" if castore.prefix else ""
        key = base64.b32encode(bytes(cid)[2:]).decode().rstrip("=")
        assert bytes(cid)[:2] == b"\x01\x55"
        name = f"{below}{key[-3:-1]}/{key}.data"
        castore.store.head(name)  # it is there
        if data is None:
            castore.store.delete(name)
        else:
            castore.store.put(name, data)


def race_for_head(stores: list[ObjectCAStore], expected: CID | None, heads: list[CID]) -> list[int]:
    """Let all move the head at once; return the numbers of those that did."""
    start = Barrier(len(stores))

    def move(number: int) -> bool:
        start.wait()
        try:
            stores[number].swap_head(expected, heads[number])
        except HeadMovedError:
            return False
        return True

    with ThreadPoolExecutor(len(stores)) as pool:
        return [number for number, won in enumerate(pool.map(move, range(len(stores)))) if won]
