"""Build the packages, install what was built, and run the tests that the sdists carry against it.

``hatch run dists:check``. The wheels are built from the sdists, as an index user's pip would.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {"ipld-car": "ipld_car", "ipld-castore": "ipld_castore", "ipldstore": "ipldstore"}
UV = os.environ["HATCH_UV"]
SHOW = "import ipld_car, ipld_castore, ipldstore as s; print(ipld_car.__file__, ipld_castore.__file__, s.__file__)"


def main() -> None:
    (ROOT / "build").mkdir(exist_ok=True)
    # Below the checkout, so that conftest.py is above the tests of an unpacked sdist as well.
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="dists-") as name:
        folder = Path(name)
        for package, module in PACKAGES.items():
            build(package, module, folder)
        wheels = [str(wheel) for wheel in folder.glob("*.whl")]
        again = [f"--reinstall-package={package}" for package in PACKAGES]
        # No dependency may need building: it would ask users for a compiler.
        run(UV, "pip", "install", "--quiet", "--only-binary=:all:", *again, *wheels)
        # -I, as the folder that this runs in must not help.
        shown = subprocess.run([sys.executable, "-I", "-c", SHOW], check=True, capture_output=True, text=True)
        for place in shown.stdout.split():
            if not Path(place).is_relative_to(sys.prefix):
                sys.exit(f"check_dists: {place} was imported, which is not what was installed")
        os.environ.setdefault("IPLD_FIXTURES", str(ROOT.parent / "shared" / "fixtures"))
        tests = [str(path) for path in folder.glob("*/tests")]
        run(sys.executable, "-m", "pytest", "-c", "pyproject.toml", "--rootdir", ".", *tests)


def build(package: str, module: str, folder: Path) -> None:
    """Build an sdist, and a wheel from it; look at what is in them, and unpack the sdist."""
    run(UV, "build", "--quiet", "--out-dir", str(folder), str(ROOT / "packages" / package))
    (sdist_path,) = folder.glob(f"{module}-*.tar.gz")
    (wheel_path,) = folder.glob(f"{module}-*.whl")
    with tarfile.open(sdist_path) as sdist:
        require(sdist.getnames(), ["/tests/test_", "/LICENSE", "/README.md", "/CHANGELOG.md"], sdist_path)
        sdist.extractall(folder, filter="data")
    with zipfile.ZipFile(wheel_path) as wheel:
        require(wheel.namelist(), [f"{module}/__init__.py", f"{module}/py.typed", "/licenses/LICENSE"], wheel_path)
    print(f"built {sdist_path.name} and {wheel_path.name}, {wheel_path.stat().st_size:,} bytes", flush=True)


def require(files: list[str], parts: list[str], dist: Path) -> None:
    if missing := [part for part in parts if not any(part in file for file in files)]:
        sys.exit(f"check_dists: {dist.name} lacks {', '.join(missing)}")


def run(*command: str) -> None:
    if code := subprocess.run(command, check=False, cwd=ROOT).returncode:
        sys.exit(f"check_dists: exit status {code} of {' '.join(command[:4])} ...")


if __name__ == "__main__":
    main()
