"""The limit of a folder that several stores and processes keep blocks in."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

from ipld_castore import FileSystemCAStore, MappingCAStore, TieredCAStore

LIMIT = 100_000
BLOCK = 1000


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.data"))


def tiered(folder: Path, far: MappingCAStore) -> TieredCAStore:
    return TieredCAStore(FileSystemCAStore(folder, fsync=False), far, max_bytes=LIMIT)


def test_stores_over_one_folder_share_the_limit(tmp_path: Path) -> None:
    """Also a pickle, which does not list the folder again."""
    far = MappingCAStore()
    cids = [far.put(os.urandom(BLOCK)) for _ in range(150)]
    first = tiered(tmp_path, far)
    other = tiered(tmp_path, far)
    copy = pickle.loads(pickle.dumps(first))  # noqa: S301  # made here
    assert copy._limit is first._limit is other._limit
    for number, cid in enumerate(cids):
        (first, other, copy)[number % 3].get_raw(cid)
    assert size_of(tmp_path) == LIMIT
    assert all(cid in first.near for cid in cids[50:])


def test_a_folder_that_was_replaced_has_a_limit_of_its_own(tmp_path: Path) -> None:
    """Also in the process that had the first one open: a cache that was deleted is made anew."""
    folder = tmp_path / "cache"
    for number in range(2):
        with tiered(folder, MappingCAStore()) as store:
            assert store.near.has_block(store.put(b"block"))
        folder.rename(tmp_path / f"old {number}")


def test_the_oldest_are_deleted_first_after_a_new_start(tmp_path: Path) -> None:
    near = FileSystemCAStore(tmp_path, fsync=False)
    cids = [near.put(os.urandom(BLOCK)) for _ in range(100)]
    for age, cid in enumerate(cids):
        os.utime(near._file(cid), (age * 1000, age * 1000))
    far = MappingCAStore()
    new = [far.put(os.urandom(BLOCK)) for _ in range(10)]
    store = tiered(tmp_path, far)
    for cid in new:
        store.get_raw(cid)
    assert [cid in near for cid in cids] == [False] * 10 + [True] * 90


FILL = """
import os, sys
from ipld_castore import FileSystemCAStore, MappingCAStore, TieredCAStore
store = TieredCAStore(FileSystemCAStore(sys.argv[1], fsync=False), MappingCAStore(), max_bytes=int(sys.argv[2]))
for _ in range(300):
    store.get_raw(store.far.put(os.urandom(1000)))
"""


def test_other_processes_exceed_the_limit_by_a_quarter_at_most(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", FILL, str(tmp_path), str(LIMIT)], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [process.communicate()[1] for process in running] == [b""] * 3
    assert [process.returncode for process in running] == [0] * 3
    assert 0 < size_of(tmp_path) <= LIMIT + 3 * (LIMIT // 4 + BLOCK)
