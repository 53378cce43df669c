"""Report the coverage of each package, and fail below the threshold.

``hatch run coverage`` combines what the processes of test runs left beside ``COVERAGE_FILE`` (see ``.ci/run``), prints
the lines and branches that no test reached, and exits with 1 if a package has less than 95% of them covered.
"""

import io
import os
import sys
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

ROOT = Path(__file__).parents[1]
PACKAGES = {"ipld-car": "ipld_car", "ipld-castore": "ipld_castore", "ipldstore": "ipldstore"}
AT_LEAST = 95.0


def main() -> int:
    os.environ.setdefault("COVERAGE_FILE", str(ROOT / "build" / "coverage" / "data"))
    measured = Coverage(config_file=str(ROOT / "pyproject.toml"))
    try:
        measured.combine(keep=False)
    except NoDataError:  # combined by an earlier call
        measured.load()
    low = []
    totals = []
    for package, module in PACKAGES.items():
        print(f"\n{package}: what no test reached", flush=True)
        table = io.StringIO()
        try:
            covered = measured.report(include=[str(ROOT / "packages" / package / "src" / module / "*")], file=table)
        except NoDataError:
            covered = 0.0
        print(table.getvalue())
        totals.append(f"{package} {covered:.1f}%")
        if covered < AT_LEAST:
            low.append(package)
    print(f"coverage of lines and branches: {', '.join(totals)}; at least {AT_LEAST:g}% is needed")
    if low:
        print(f"coverage_report: too low in {', '.join(low)}", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
