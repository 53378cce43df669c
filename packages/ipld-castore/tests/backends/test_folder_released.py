"""Errors of a folder leave nothing open and keep nothing alive, with the garbage collector off."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from ipld_car import cids, hashes
from ipld_castore import (
    BackendUnavailableError,
    FileSystemCAStore,
    HeadMovedError,
)
from multiformats import CID


def open_files(folder: Path) -> list[str]:
    """Return the files in a folder that this process has open."""
    handles = Path("/proc/self/fd")
    found = (str(handle.readlink()) for handle in handles.iterdir() if handle.is_symlink())
    return sorted(name for name in found if name.startswith(str(folder)))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_errors_hold_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of each verb all files and locks are free, with the garbage collector off."""
    store = FileSystemCAStore(tmp_path)
    one, two = store.put(1), store.put(2)
    store.swap_head(None, one)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    gc.disable()
    try:
        with pytest.raises(HeadMovedError):
            store.swap_head(two, one)
        monkeypatch.setattr(os, "fsync", full)
        for verb in (
            lambda: store.swap_head(one, two),
            lambda: store.put(3),
            lambda: store.put_blocks([(two, store.get_raw(two))] * 9),
        ):
            with pytest.raises(BackendUnavailableError, match="No space"):
                verb()
            assert open_files(tmp_path) == []
        assert store.head == one
        monkeypatch.undo()
        store.swap_head(one, two)
        with store.lock():
            assert open_files(tmp_path) == [str(tmp_path / "HEAD.lock"), str(tmp_path / "SHARDING")]
        assert open_files(tmp_path) == []
    finally:
        gc.enable()
    assert list(tmp_path.rglob("put-*")) == []


def test_errors_of_many_puts_are_in_no_cycle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of many puts the caller's arrays are free, with the garbage collector off."""

    class Data:
        pass

    def fail(store: FileSystemCAStore) -> weakref.ref[Data]:
        data = Data()

        def pairs() -> Iterator[tuple[CID, bytes]]:
            for number in range(50):
                assert data is not None
                yield cids.from_bytes(cids.make(cids.RAW, hashes.sha2_256(b"%d" % number))), b"%d" % number

        with pytest.raises(BackendUnavailableError):
            store.put_blocks(pairs())
        return weakref.ref(data)

    store = FileSystemCAStore(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    gc.disable()
    try:
        assert fail(store)() is None
    finally:
        gc.enable()
