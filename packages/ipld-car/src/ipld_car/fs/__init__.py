"""File-system helpers for writers: one lock for a file, durable names, files that appear whole.

Any room of any package may import it; it imports nothing.
"""

from __future__ import annotations

from .atomic import atomic_write, write_whole
from .lock import FileReplacedError, is_current, open_locked, require_current, unlock, wait_locked
from .sync import sync_folder
from .unfinished import unfinished_beside

__all__ = [
    "FileReplacedError",
    "atomic_write",
    "is_current",
    "open_locked",
    "require_current",
    "sync_folder",
    "unfinished_beside",
    "unlock",
    "wait_locked",
    "write_whole",
]
