"""Tests that a backend should pass; they need pytest, which nothing else here imports.

A backend of one's own, and all of its tests::

    import zlib
    import pytest
    from ipld_castore import BlockNotFoundError, ContentAddressableStore
    from ipld_castore.testing import CAStoreTests

    class CompressedCAStore(ContentAddressableStore):
        def __init__(self, mapping):
            super().__init__()
            self.mapping = mapping

        def get_block(self, cid):
            try:
                return zlib.decompress(self.mapping[cid.digest])
            except KeyError:
                raise BlockNotFoundError(f"no block {cid}") from None

        def put_block(self, cid, data):
            self.mapping[cid.digest] = zlib.compress(data)

    class TestCompressedCAStore(CAStoreTests):
        can_list = can_delete = can_pickle = False

        @pytest.fixture
        def castore(self):
            return CompressedCAStore({})

        def corrupt(self, castore, cid, data):
            if data is None:
                del castore.mapping[cid.digest]
            else:
                castore.put_block(cid, data)
"""

from __future__ import annotations

from . import faults
from .server.block_server import BlockServer, Exchange, Fault, Request
from .server.pinning_server import PinningServer
from .server.replies import Reply
from .server.timeouts import expiring_timeouts
from .suite.blocks import BlockTests
from .suite.graphs import GraphTests
from .suite.journals import JournalTests
from .suite.use import UseTests
from .suite.values import ValueTests

__all__ = [
    "BlockServer",
    "CAStoreTests",
    "Exchange",
    "Fault",
    "JournalTests",
    "PinningServer",
    "Reply",
    "Request",
    "expiring_timeouts",
    "faults",
]


class CAStoreTests(BlockTests, ValueTests, GraphTests, UseTests):
    """The conformance suite of every :class:`~ipld_castore.ContentAddressableStore`. Subclass it; pytest collects that.

    The subclass overrides the fixture ``castore``, which gives a new, empty store, and :meth:`corrupt`, which damages a
    block behind the store's back; it sets class attributes for what its backend cannot do. What is said to
    be impossible must fail as it should.

    ``pytest.register_assert_rewrite("ipld_castore.testing")`` in a ``conftest.py`` makes failures tell more.
    """
