"""Durable names."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def sync_folder(folder: str | Path) -> None:
    """Wait until the names in a folder are on the disk.

    Windows does this without being asked, and cannot open a folder: nothing is done there.

    :raises OSError: if the folder cannot be opened or synced
    """
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
