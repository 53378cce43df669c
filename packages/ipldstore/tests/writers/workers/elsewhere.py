"""What other processes do in the tests of this folder, in a module that spawned processes can import."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ipldstore import Changes, IPLDStore

_WAIT = 60.0


def wait_for(file: Path) -> None:
    """Wait until another process has made a file."""
    end = time.monotonic() + _WAIT
    while not file.exists():
        if time.monotonic() > end:
            raise TimeoutError(file)
        time.sleep(0.005)


def write(store: IPLDStore, changes: dict[str, bytes | None]) -> int:
    """Write and delete keys; return which process this is."""
    for key, data in changes.items():
        if data is None:
            del store[key]
        else:
            store[key] = data
    return os.getpid()


def read(store: IPLDStore, key: str) -> bytes | None:
    return store.mapping.get(key)


def write_and_read(store: IPLDStore, changes: dict[str, bytes | None], key: str) -> bytes | None:
    write(store, changes)
    return read(store, key)


def change_in_step(store: IPLDStore, key: str, data: bytes, read_file: Path, others_read: Path) -> bytes | None:
    """Read a key, and write it when another process has read it too: what zarr does with a part of a chunk."""
    found = store.mapping.get(key)
    read_file.touch()
    wait_for(others_read)
    store[key] = data
    return found


def changes_of(fork: IPLDStore, changes: dict[str, bytes | None]) -> Changes:
    """Write to a fork; return what it has changed."""
    write(fork, changes)
    return fork.changes()


def region(store: IPLDStore, path: str, start: int, stop: int, value: int) -> None:
    """Write a part of an array."""
    import zarr

    array: Any = zarr.open_array(store, path=path, mode="r+")
    array[start:stop] = value
