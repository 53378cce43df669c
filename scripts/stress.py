"""Run tests again and again while other processes keep the cores busy: do any of them depend on the clock?

``hatch run python scripts/stress.py --runs 20 packages/ipldstore/tests/dataset/test_threads.py`` runs pytest on that
module 20 times, beside as many busy processes as there are cores, and prints what failed. Without paths it takes the
modules whose tests use threads, processes or signals. What follows ``--`` goes to pytest.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = r"asyncio|concurrent\.futures|multiprocessing|signal|subprocess|threading"
USES = re.compile(rf"^(?:import|from) (?:{PARTS})\b", re.MULTILINE)
BUSY = "while True: sum(range(100_000))"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="*", help="tests; by default the modules with threads, processes or signals")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 2, help="processes that do nothing but that")
    given, more = sys.argv[1:], []
    if "--" in given:
        at = given.index("--")
        given, more = given[:at], given[at + 1 :]
    options = parser.parse_args(given)
    paths = options.paths or chosen()
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(options.busy)]
    failed = 0
    try:
        for number in range(options.runs):
            start = time.monotonic()
            command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-m", "not soak", *more, *paths]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            last = (done.stdout.strip().splitlines() or ["nothing was printed"])[-1]
            print(f"run {number + 1} of {options.runs}: {last} ({time.monotonic() - start:.0f} s)", flush=True)
            if done.returncode:
                failed += 1
                print(done.stdout + done.stderr, flush=True)
    finally:
        for process in busy:
            process.kill()
    print(f"{failed} of {options.runs} runs failed")
    return 1 if failed else 0


def chosen() -> list[str]:
    """Return the test modules that use threads, processes or signals."""
    found = [path for part in ("packages", "tests") for path in sorted((ROOT / part).rglob("test_*.py"))]
    return [str(path.relative_to(ROOT)) for path in found if USES.search(path.read_text("utf-8"))]


if __name__ == "__main__":
    sys.exit(main())
