"""Keep the memory of a benchmark, so that fresh pages do not disturb what is measured.

Copying 128 KiB takes 3 us into memory that was touched before, and 75 us or several times that into fresh pages,
depending on the machine and the minute. If the heap is kept, each round gets memory that the round before has touched.

The memory of files belongs to the system. A virtual machine may return free memory to its host after some seconds:
there the same copy into a file took 35 us or 250 us. So a benchmark touches free memory shortly before it writes files.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

# Settings of glibc (mallopt(3)); elsewhere they have no effect.
_KEEP = {
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_ARENA_MAX": "1",
}


def keep_heap() -> None:
    """Restart the script with settings that return no memory to the system, unless they are set."""
    if not _KEEP.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | _KEEP)  # noqa: S606  # itself


def touch_free_memory(folder: Path, size: int) -> None:
    """Use ``size`` bytes of free memory for a moment, by a file, so that the next file gets pages that were touched."""
    part = bytes(1 << 20)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(-(-size // len(part))):
            file.write(part)
