"""What other processes do with copies of a store, in a module that spawned processes can import."""

from __future__ import annotations

import pickle
from typing import Any
from unittest import mock

from ipldstore import IPLDStore
from ipldstore._dataset import pickling

from ...support.store_samples import contents

KEYS = [f"a/c/{number}" for number in range(12)]
BASE = {"zarr.json": b"{}", "a/c/x": b"base"}


def copy_of_another_process(pickled: bytes) -> IPLDStore:
    """Return what a pickle becomes in another process."""
    with mock.patch.object(pickling, "process_id", return_value="another"):
        store: Any = pickle.loads(pickled)  # noqa: S301  # our own
    assert isinstance(store, IPLDStore)
    return store


def write(store: IPLDStore, keys: list[str], run: int) -> int:
    """Write keys; the bytes tell key and run."""
    for key in keys:
        store[key] = f"{key} {run}".encode()
    return len(keys)


def read(store: IPLDStore) -> dict[str, bytes]:
    return contents(store)


def copy_elsewhere(store: IPLDStore) -> IPLDStore:
    """Return the copy that another process would have, in this one."""
    state = pickle.loads(pickle.dumps(store))  # registers the session  # noqa: S301  # our own
    assert state._data is store._data
    return copy_of_another_process(pickle.dumps(store))


def is_note(request: Any) -> bool:
    """Return whether a request puts a note of a session."""
    return bool(request.method == "PUT" and "/.sessions/" in request.path)


async def right(exchange: Any) -> None:
    """Answer a request as the server does."""
    answer = await exchange.forward()
    await exchange.send(answer.head + answer.body)


def values_of(keys: list[str], text: str = "") -> dict[str, bytes]:
    """Return a value for each key, which the text makes another."""
    return {key: f"{key} {text}".encode() for key in keys}
