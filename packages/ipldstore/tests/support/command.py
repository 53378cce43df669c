"""What the tests of the command line share: a process that has run, and datasets to run it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import zarr


def write_air(store: Any, days: int = 48, start: float = 0.0) -> None:
    """Write an array ``air`` with a coordinate to a store."""
    group = zarr.create_group(store, attributes={"title": "air\x1b[2J<b>"}, overwrite=True)
    air = group.create_array("air", shape=(days, 10), chunks=(12, 5), dtype="f4", dimension_names=("time", "lat"))
    air[:] = np.arange(days * 10).reshape(days, 10) + start
    time = group.create_array("time", shape=(days,), chunks=(48,), dtype="i8", dimension_names=("time",))
    time[:] = np.arange(days)


def air_car(path: Path) -> Path:
    """Return the path of a CAR file with ``air``."""
    with ipldstore.open(path, "a") as store:
        write_air(store)
    return path


def damage(path: Path, chunk: bytes) -> None:
    """Change a byte of a chunk in a CAR file."""
    data = path.read_bytes()
    at = data.index(chunk) + len(chunk) // 2
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
