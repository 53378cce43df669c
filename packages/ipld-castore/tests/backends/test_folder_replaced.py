"""FileSystemCAStore over a folder that is removed or replaced while it is open: nothing is made in its place."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest
from ipld_castore import BackendUnavailableError, FileSystemCAStore, StoreReplacedError


def test_a_folder_that_was_replaced(tmp_path: Path) -> None:
    """The holder of the lock publishes nothing into a new folder at the same path, though the heads are equal."""
    folder = tmp_path / "blocks"
    old = FileSystemCAStore(folder, fsync=False)
    with old.lock() as lock:
        root = old.put("old")
        shutil.rmtree(folder)
        with pytest.raises(StoreReplacedError):
            old.swap_head(None, root)
        with pytest.raises(BackendUnavailableError):  # the same without a lock: it makes no new folder
            pickle.loads(pickle.dumps(old)).swap_head(None, root)  # noqa: S301  # made here
        assert not folder.exists()
        new = FileSystemCAStore(folder, fsync=False)
        with pytest.raises(StoreReplacedError, match="removed or replaced"):
            old.swap_head(None, root)
        with pytest.raises(StoreReplacedError):
            lock.require_current()
        assert new.head is None
        with new.lock():
            new.swap_head(None, new.put("new"))
        with pytest.raises(StoreReplacedError):
            old.swap_head(new.head, root)
    assert not lock.held
    lock.release()


@pytest.mark.parametrize("replaced_by", ["nothing", "an empty folder", "another store"])
def test_nothing_is_made_in_the_place_of_a_folder(tmp_path: Path, replaced_by: str) -> None:
    """Blocks, heads, locks and journals go into the folder that was opened, or nowhere; an error says why."""
    folder = tmp_path / "blocks"
    store = FileSystemCAStore(folder, fsync=False)
    cid = store.put(b"block")
    journal = store.journal("session")
    lock = store.lock()
    assert journal.exchange(None, b"state")
    journal.append("aa", 1, [b"note"])
    shutil.rmtree(folder)
    if replaced_by == "an empty folder":
        folder.mkdir()
    if replaced_by == "another store":
        shutil.copytree(FileSystemCAStore(tmp_path / "other").path, folder)
    before = sorted(tmp_path.rglob("*"))
    for change in (
        lambda: store.put(b"block"),
        lambda: store.put_blocks([(cid, b"block")]),
        lambda: store.swap_head(None, cid),
        store.lock,
        lambda: store.journal("another").exchange(None, b"state"),
        lambda: journal.append("bb", 1, [b"note"]),
    ):
        with pytest.raises(StoreReplacedError, match="removed or replaced"):
            change()
    assert not journal.exchange(b"state", b"next")
    lock.release()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_whose_files_are_touched(tmp_path: Path) -> None:
    """Users touch files to keep them from being purged; the folder is the same."""
    store = FileSystemCAStore(tmp_path, fsync=False)
    for path in tmp_path.rglob("*"):
        os.utime(path, (1, 1))
    assert store.get(store.put(b"block")) == b"block"
