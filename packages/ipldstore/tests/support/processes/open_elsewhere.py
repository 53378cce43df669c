"""What other processes do with opened stores, in a module that spawned processes can import."""

from __future__ import annotations

import gc
import pickle
import warnings


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
