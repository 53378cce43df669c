"""What writers of archives, and of blocks in folders, need of a file system: to be the only one, and durable names."""

from __future__ import annotations

from ._file_layout import sync_folder
from ._file_lock import open_locked, unlock

__all__ = ["open_locked", "sync_folder", "unlock"]
