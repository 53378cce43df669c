"""What tests do with opened stores in other processes; there, it must be imported."""

from __future__ import annotations

import gc
import pickle
import warnings


def close_and_drop(pickled: bytes) -> bytes:
    """A copy reads, is closed and dropped."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = pickle.loads(pickled)  # noqa: S301  # from the parent
        data: bytes = store["new"]
        store.close()
        del store
        gc.collect()
    return data
