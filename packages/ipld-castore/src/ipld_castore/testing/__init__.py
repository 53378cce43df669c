"""Tests that a backend should pass; they need pytest, which nothing else here imports.

A backend of one's own, and all of its tests::

    import pytest
    from ipld_castore import BlockNotFoundError, ContentAddressableStore
    from ipld_castore.testing import CAStoreTests

    class ListCAStore(ContentAddressableStore):
        def __init__(self, **options):
            super().__init__(**options)
            self.pairs = []

        def get_block(self, cid):
            for digest, data in self.pairs:
                if digest == cid.digest:
                    return data
            raise BlockNotFoundError(f"no block {cid} in the list")

        def put_block(self, cid, data):
            self.pairs.append((cid.digest, data))

    class TestListCAStore(CAStoreTests):
        can_list = can_delete = can_repair = can_corrupt = False

        @pytest.fixture
        def castore(self):
            return ListCAStore()
"""

from __future__ import annotations

from ._blocks import BlockTests
from ._graphs import GraphTests
from ._use import UseTests
from ._values import ValueTests

__all__ = ["CAStoreTests"]


class CAStoreTests(BlockTests, ValueTests, GraphTests, UseTests):
    """What every :class:`~ipld_castore.ContentAddressableStore` does. Subclass it and collect the subclass by pytest.

    The subclass overrides the fixture ``castore``, which gives a new, empty store, and :meth:`corrupt`, which damages a
    block behind the store's back; it sets class attributes for what its backend cannot do. What is said to
    be impossible must fail as it should.

    ``pytest.register_assert_rewrite("ipld_castore.testing")`` in a ``conftest.py`` makes failures tell more.
    """
