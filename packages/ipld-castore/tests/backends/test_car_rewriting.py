"""CAR files that are written anew: what was put lately is kept, and all stores of the process go on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from ipld_castore import BlockCorruptError, CarCAStore
from multiformats import CID


def test_copies_go_on_with_the_new_file(tmp_path: Path) -> None:
    """A dask scheduler in threads pickles stores, whose copies write what the first then commits."""
    with CarCAStore(tmp_path / "a.car", fsync=False) as store:
        kept, dropped = store.put(b"kept"), store.put(b"dropped" * 100)
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # made here
        for rewriting in (store, copy):
            rewriting.rewrite([(kept, b"kept")])
            for each in (store, copy):
                assert each.get(kept) == b"kept"
                assert dropped not in each
            assert store.get(copy.put(b"by the copy")) == b"by the copy"
            assert copy.get(store.put(b"by the first")) == b"by the first"


def test_blocks_that_overwrite_an_index_are_recent(tmp_path: Path) -> None:
    """The file is then longer than its blocks, and so the next one lies before the end of the file."""
    path = tmp_path / "a.car"
    with CarCAStore(path, fsync=False) as store:
        for number in range(100):
            store.put(b"%d" % number)
    with CarCAStore(path, fsync=False) as store:
        first = store.put(b"over the index")
        since = store.now()
        assert first not in store.recent(since)
        second = store.put(b"likewise")
        assert list(store.recent(since)) == [second]
        kept, _ = store.rewrite([], since)
        assert kept == 1
        assert store.get(second) == b"likewise"


def test_a_block_that_is_damaged_is_told_as_such(tmp_path: Path) -> None:
    def damaged() -> Iterator[tuple[CID, bytes]]:
        raise BlockCorruptError("a damaged block")
        yield

    with CarCAStore(tmp_path / "a.car", fsync=False) as store:
        cid = store.put(b"block")
        with pytest.raises(BlockCorruptError, match="a damaged block"):
            store.rewrite(damaged())
        assert store.get(cid) == b"block"
    assert [each.name for each in tmp_path.iterdir()] == ["a.car"]
