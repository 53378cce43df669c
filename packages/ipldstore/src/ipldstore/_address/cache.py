"""A folder that keeps the blocks that were read from far away."""

from __future__ import annotations

import os
from typing import Final

from ipld_castore import ContentAddressableStore, FileSystemCAStore, TieredCAStore

VARIABLE: Final = "IPLDSTORE_CACHE"
"""The environment variable with the path of the folder."""
BYTES_VARIABLE: Final = "IPLDSTORE_CACHE_BYTES"
"""The environment variable with the most bytes to keep."""
DEFAULT_BYTES: Final = 16 << 30


class Cache:
    """Where to keep blocks, and how many bytes of them.

    :param path: the folder; by default that of ``$IPLDSTORE_CACHE``, else there is no cache; "" is no cache
    :param max_bytes: the most bytes of blocks; by default ``$IPLDSTORE_CACHE_BYTES``, else 16 GiB
    :raises ValueError: if the variable is no number
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, max_bytes: int | None = None) -> None:
        found = os.environ.get(VARIABLE, "") if path is None else os.fspath(path)
        self.path: str | None = found or None
        """The folder; None for no cache."""
        text = os.environ.get(BYTES_VARIABLE, "").strip()
        if max_bytes is None and text and self.path is not None:
            if not text.isdecimal():
                raise ValueError(f"expected a number of bytes in ${BYTES_VARIABLE}, found {text!r}")
            max_bytes = int(text)
        self.max_bytes = DEFAULT_BYTES if max_bytes is None else max_bytes
        """The most bytes of blocks in the folder."""

    def before(self, castore: ContentAddressableStore) -> ContentAddressableStore:
        """Return a store that reads from the folder first; a store on this machine is returned as it is."""
        if self.path is None or castore.local:
            return castore
        near = FileSystemCAStore(self.path, fsync=False)  # what a crash loses is read again
        return TieredCAStore(near, castore, max_bytes=self.max_bytes)
