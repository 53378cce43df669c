"""What processes do that write one dataset until they are killed, or freeze it at once."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import ipldstore
from ipldstore import ConflictError, FileSystemCAStore, IPFSStore, IPLDStore, ObjectCAStore
from zarr.core.buffer import default_buffer_prototype

from .buckets import copy_of_another_process
from .elsewhere import wait_for


def content(key: str) -> bytes:
    """Return the bytes that a key has, from which half of them can be told."""
    return f"{key} ".encode() * 100


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_as_worker(pickled: str) -> None:
    """Write key after key to a copy, and tell of each that it is there."""
    store: IPLDStore = pickle.loads(Path(pickled).read_bytes())  # noqa: S301  # made by the test
    tell("ready")
    for number in range(1_000_000):
        key = f"w{os.getpid()}/{number}"
        store[key] = content(key)
        tell(key)


def write_at_once(pickled: str) -> None:
    """Write six keys at a time to a copy, in one event loop, as zarr does; and tell of each that it is there."""
    store: IPLDStore = pickle.loads(Path(pickled).read_bytes())  # noqa: S301  # made by the test
    make = default_buffer_prototype().buffer.from_bytes

    async def write(first: int) -> None:
        for number in range(first, 1_000_000, 6):
            key = f"w{os.getpid()}/{number}"
            await store.set(key, make(content(key)))
            tell(key)

    async def write_all() -> None:
        await asyncio.gather(*map(write, range(6)))

    tell("ready")
    asyncio.run(write_all())


def write_as_coordinator(place: dict[str, Any]) -> None:
    """Write keys through a copy, as a worker would, and some of its own, which count when they are frozen."""
    _write_both(ipldstore.open(**place, mode="a"))


def write_as_coordinator_on_node(url: str, root: str) -> None:
    """Write as :func:`write_as_coordinator` does, over an IPFS node."""
    _write_both(IPLDStore(IPFSStore(url), root=root))


def _write_both(store: IPLDStore) -> None:
    copy = copy_of_another_process(pickle.dumps(store))
    tell("ready")
    for number in range(1_000_000):
        key = f"c{os.getpid()}/{number}"
        if number % 4 == 3:
            store[key] = content(key)
            store.freeze()
        else:
            copy[key] = content(key)
        tell(key)


def freeze_once(place: dict[str, Any], folder: Path, number: int) -> tuple[str, str] | None:
    """Change a dataset that many share, and freeze when all are ready; return the roots before and after."""
    what, options = place["what"], place.get("storage_options")
    castore = ObjectCAStore.from_url(what, **options) if options else FileSystemCAStore(what, fsync=False)
    castore.persist_moves_head = True
    store = IPLDStore(castore)
    before = str(store.root_cid)
    store[f"k/{number}"] = b"%d" % number
    (folder / f"ready-{number}").touch()
    wait_for(folder / "go")
    try:
        return before, str(store.freeze())
    except ConflictError:
        return None


def freeze_at_once(place: dict[str, Any], folder: str, count: int) -> None:
    """Freeze into one head in many children of this process, which has no threads; write what each has returned."""
    at = Path(folder)
    for number in range(count):
        if os.fork() == 0:
            (at / f"result-{number}").write_text(json.dumps(freeze_once(place, at, number)))
            os._exit(0)
    for number in range(count):
        wait_for(at / f"ready-{number}")
    (at / "go").touch()
    for _ in range(count):
        os.wait()
