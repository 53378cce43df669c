"""What writers of archives, and of blocks in folders, need of a file system: to be the only one, and durable names."""

from __future__ import annotations

from ipld_car._file.layout import sync_folder

from .lock import open_locked, unlock

__all__ = ["open_locked", "sync_folder", "unlock"]
