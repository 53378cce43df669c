"""What other processes do in the tests of this folder, in a module that spawned processes can import."""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import ipldstore
from ipld_castore import FileSystemCAStore
from ipldstore import Changes, ConflictError, IPLDStore

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


def write_until_killed(folder: str, role: str) -> None:
    """Write key after key, and say of each that it is there; as a worker, or as a coordinator that freezes."""
    if role == "worker":
        store: IPLDStore = pickle.loads(Path(folder, "pickled").read_bytes())  # noqa: S301  # made by the test
        name = f"w{os.getpid()}"
    else:
        store = ipldstore.open(Path(folder, "blocks"), "a", fsync=False)
        pickle.dumps(store)
        name = f"c{os.getpid()}"
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for number in range(1_000_000):
        store[f"{name}/{number}"] = b"%d " % number * 300
        if role == "coordinator" and number % 3 == 2:
            store.freeze()
        if role == "worker" or number % 3 == 2:
            sys.stdout.write(f"{name}/{number}\n")
            sys.stdout.flush()


def freeze_into_one_head(folder: str, number: int) -> tuple[str, str] | None:
    """Open a folder that many share, change it, and freeze when all are ready; return the roots before and after."""
    castore = FileSystemCAStore(folder, fsync=False)
    castore.persist_moves_head = True
    store = IPLDStore(castore)
    before = str(store.root_cid)
    store[f"k/{number}"] = b"%d" % number
    Path(f"{folder}-ready-{number}").touch()
    wait_for(Path(f"{folder}-go"))
    try:
        return before, str(store.freeze())
    except ConflictError:
        return None


def fork_and_freeze(folder: str, count: int) -> None:
    """Freeze into one head in many children of this process, which has no threads; write what each has returned."""
    for number in range(count):
        if os.fork() == 0:
            Path(f"{folder}-result-{number}").write_text(json.dumps(freeze_into_one_head(folder, number)))
            os._exit(0)
    for number in range(count):
        wait_for(Path(f"{folder}-ready-{number}"))
    Path(f"{folder}-go").touch()
    for _ in range(count):
        os.wait()


if __name__ == "__main__":
    if sys.argv[2] == "freeze":
        fork_and_freeze(sys.argv[1], 20)
    else:
        write_until_killed(sys.argv[1], sys.argv[2])
