"""Measure the index of references: bytes an entry, time of a look-up, memory."""

import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from ipld_castore import ReferenceIndex, ReferenceIndexWriter
from ipld_castore._reference.layout import RECORD


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.index")
        start = time.perf_counter()
        with ReferenceIndexWriter(path) as writer:
            for number in range(1000):
                writer.file(f"/data/model/era5/t2m/air_temperature_{number:06}.nc", bytes(16))
            for at in range(0, count, 10_000):
                new = random.randbytes(320_000)
                writer.add_records(
                    b"".join(RECORD.pack(new[32 * i : 32 * i + 32], at % 1000, 4096 * i, 4096) for i in range(10_000))
                )
        print(f"written in {time.perf_counter() - start:.1f} s, {path.stat().st_size / count:.1f} bytes an entry")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        index = ReferenceIndex(path)
        wanted = [index.record(random.randrange(count))[0] for _ in range(20_000)]
        start = time.perf_counter()
        for digest in wanted:
            next(index.places(digest))
        print(f"{(time.perf_counter() - start) / len(wanted) * 1e6:.1f} us a look-up")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"peak memory {before / 1024:.0f} MB with writing, {grown / 1024:.0f} MB more with reading")


if __name__ == "__main__":
    main()
