"""The suite of backends as every bucket has it, whose stored blocks it can damage."""

from __future__ import annotations

import base64

from ipld_castore import ContentAddressableStore, ObjectCAStore
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
