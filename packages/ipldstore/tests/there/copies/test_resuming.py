"""Copies into folders of zarr that were stopped go on where they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore._there.copies.chunks.reading import DatasetReader, FolderReader
from zarr.storage import LocalStore

DATA = np.arange(40, dtype="i4")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["folder", "dataset"])
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    zarr.create_array(tmp_path / "a.zarr", name="a", shape=(40,), chunks=(1,), dtype="i4", fill_value=9)[:] = DATA
    if request.param == "folder":
        return tmp_path / "a.zarr"
    ipldstore.copy(tmp_path / "a.zarr", tmp_path / "a.car")
    return tmp_path / "a.car"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Which chunks are read; the 20th fails once."""
    read: list[str] = []

    def counted(kind: Any) -> None:
        whole = kind.read_sync

        def read_sync(self: Any, key: str, found: Any) -> Any:
            read.append(key)
            if len(read) == 20:
                raise ConnectionError("stopped")
            return whole(self, key, found)

        monkeypatch.setattr(kind, "read_sync", read_sync)

    counted(FolderReader)
    counted(DatasetReader)
    return read


def test_a_stopped_copy_goes_on(tmp_path: Path, source: Any, reads: list[str]) -> None:
    """What was written is not read again, unless the target or the source has changed since. No notes are left."""
    target = tmp_path / "b.zarr"
    with pytest.raises(ConnectionError, match="stopped"):
        ipldstore.copy(source, target)
    there = [key for key in contents(target) if key.startswith("a/c/")]
    assert len(there) > 5
    (target / there[0]).write_bytes(b"others")
    (target / there[1]).unlink()
    reads.clear()
    reads.extend([""] * 20)
    ipldstore.copy(source, target)
    assert sorted(reads[20:]) == sorted({f"a/c/{number}" for number in range(40) if number != 9} - set(there[2:]))
    expected = contents(tmp_path / "a.zarr")
    assert {key: text for key, text in contents(target).items() if "/c/" in key} == {
        key: text for key, text in expected.items() if "/c/" in key
    }
    assert [path.name for path in tmp_path.iterdir() if "copied" in path.name and path.name != "a.car.copied"] == []


def test_a_source_that_changed_meanwhile(tmp_path: Path, source: Any, reads: list[str]) -> None:
    target = tmp_path / "b.zarr"
    with pytest.raises(ConnectionError, match="stopped"):
        ipldstore.copy(source, target)
    assert len(reads) >= 20
    with ipldstore.open(source, "a") if source.suffix == ".car" else LocalStore(source) as store:
        zarr.open_array(store, path="a", mode="r+")[:] = DATA[::-1]
    ipldstore.copy(source, target)
    assert np.asarray(zarr.open_array(target, path="a", mode="r")[:]).tolist() == DATA[::-1].tolist()
