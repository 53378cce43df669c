"""Reference netCDF-4 files next to bare sha256 of their bytes: wall and processor time. 4 MB a file.

python benchmarks/existing_data/bench_reference.py                # 200 MB in 50 files
python benchmarks/existing_data/bench_reference.py --files 1000   # 4 GB
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import h5py
import ipldstore
import numpy as np

SHAPE = (4, 360, 720)


def write(path: Path, number: int, values: np.random.Generator) -> None:
    with h5py.File(path, "w") as file:
        axes = np.arange(SHAPE[0]) + SHAPE[0] * number, np.linspace(-90, 90, SHAPE[1]), np.arange(SHAPE[2]) / 2
        data = file.create_dataset("t2m", SHAPE, "f4", chunks=(1, *SHAPE[1:]))
        data[:] = values.random(SHAPE, "f4")
        for at, (name, axis) in enumerate(zip(("time", "lat", "lon"), axes, strict=True)):
            scale = file.create_dataset(name, data=axis)
            scale.make_scale(name)
            data.dims[at].attach_scale(scale)
        file["time"].attrs["units"] = "days since 2000-01-01"


def bare(files: list[Path]) -> None:
    for path in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")


def processor() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=50)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        values = np.random.default_rng(0)
        files = [folder / f"{number:05}.nc" for number in range(given.files)]
        for number, path in enumerate(files):
            write(path, number, values)
        ipldstore.reference(files[:2], folder / "warm.car", concat_dim="time")
        bare(files)
        for number in range(3):
            start, used = time.perf_counter(), processor()
            bare(files)
            alone, alone_used = time.perf_counter() - start, processor() - used
            start, used = time.perf_counter(), processor()
            ipldstore.reference(files, folder / f"{number}.car", concat_dim="time")
            whole, whole_used = time.perf_counter() - start, processor() - used
            size = sum(path.stat().st_size for path in files)
            print(
                f"{len(files)} files, {size / 1e6:.0f} MB: sha256 alone {alone:.2f} s ({alone_used:.2f} s processor), "
                f"reference {whole:.2f} s ({whole_used:.2f} s): {whole / alone:.2f} times"
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
