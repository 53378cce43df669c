"""Tests that a backend should pass; they need pytest, which nothing else here imports.

A backend of one's own, and all of its tests::

    import sqlite3
    import pytest
    from ipld_castore import BlockNotFoundError, ContentAddressableStore
    from ipld_castore.testing import CAStoreTests

    class SQLiteCAStore(ContentAddressableStore):
        def __init__(self, path):
            super().__init__()
            self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self.db.execute("CREATE TABLE IF NOT EXISTS blocks (hash BLOB PRIMARY KEY, data BLOB)")

        def get_block(self, cid):
            row = self.db.execute("SELECT data FROM blocks WHERE hash = ?", [cid.digest]).fetchone()
            if row is None:
                raise BlockNotFoundError(f"no block {cid}")
            return row[0]

        def put_block(self, cid, data):
            self.db.execute("REPLACE INTO blocks VALUES (?, ?)", [cid.digest, data])

        def close(self):
            self.db.close()

    class TestSQLiteCAStore(CAStoreTests):
        can_list = can_delete = can_pickle = False

        @pytest.fixture
        def castore(self):
            with SQLiteCAStore(":memory:") as store:
                yield store

        def corrupt(self, castore, cid, data):
            castore.db.execute("DELETE FROM blocks WHERE hash = ?", [cid.digest])
            if data is not None:
                castore.put_block(cid, data)
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
