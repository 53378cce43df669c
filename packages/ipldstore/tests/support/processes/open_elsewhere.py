"""What other processes do with opened stores, in a module that spawned processes can import."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import warnings

import ipldstore


def close_and_drop(pickled: bytes) -> bytes:
    """Read a copy, close it and drop it; return what was read."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = pickle.loads(pickled)  # noqa: S301  # from the parent
        data: bytes = store["new"]
        store.close()
        del store
        gc.collect()
    return data


def freeze_for_ever(path: str) -> None:
    """Write and freeze, and tell each root, until the process is killed."""
    store = ipldstore.open(path, "a")
    number = 0
    while True:
        store["number"] = b"%d" % number
        store["noise"] = os.urandom(3000)
        sys.stdout.write(f"{store.freeze()}\n")
        sys.stdout.flush()
        number += 1
