"""Build the packages, install what was built, and run their tests against it, not the checkout.

``hatch run dists:check`` does it for wheels and for sdists.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ["ipld-car", "ipld-castore", "ipldstore"]
UV = os.environ["HATCH_UV"]


def main(kind: str) -> None:
    # Below the checkout, so that the tests of an unpacked sdist find conftest.py above them.
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="dists-") as folder:
        dists = [build(package, kind, Path(folder)) for package in PACKAGES]
        # Only ours may need building: a dependency without a wheel would ask users for a compiler.
        ours = [f"--no-binary-package={package}" for package in PACKAGES]
        run(UV, "pip", "install", "--quiet", "--only-binary=:all:", *ours, "--reinstall", *map(str, dists))
        # Out of the checkout, as a user is; -I leaves out the folder that this runs in.
        show = (
            "import ipld_car, ipld_castore, ipldstore as s; print(ipld_car.__file__, ipld_castore.__file__, s.__file__)"
        )
        shown = subprocess.run([sys.executable, "-I", "-c", show], check=True, capture_output=True, text=True)
        for place in shown.stdout.split():
            if not Path(place).is_relative_to(sys.prefix):
                sys.exit(f"check_dists: {place} was imported, which is no installed {kind}")
        if kind == "wheel":
            tests = [ROOT / "packages" / package / "tests" for package in PACKAGES]
        else:
            tests = [unpack(dist, Path(folder)) / "tests" for dist in dists]
        os.environ.setdefault("IPLD_FIXTURES", str(ROOT.parent / "shared" / "fixtures"))
        run(sys.executable, "-m", "pytest", "-c", "pyproject.toml", "--rootdir", ".", *map(str, tests))


def build(package: str, kind: str, folder: Path) -> Path:
    run(UV, "build", "--quiet", f"--{kind}", "--out-dir", str(folder), str(ROOT / "packages" / package))
    name = package.replace("-", "_")
    (dist,) = [path for path in folder.glob(f"{name}-*") if path.name.endswith((".whl", ".tar.gz"))]
    if kind == "wheel":
        with zipfile.ZipFile(dist) as wheel:
            files = wheel.namelist()
        wanted = [f"{name}/__init__.py", f"{name}/py.typed", "/licenses/LICENSE"]
    else:
        with tarfile.open(dist) as sdist:
            files = sdist.getnames()
        wanted = [f"/src/{name}/py.typed", "/tests", "/README.md", "/CHANGELOG.md", "/LICENSE"]
    missing = [want for want in wanted if not any(file.endswith(want) for file in files)]
    if missing:
        sys.exit(f"check_dists: {dist.name} lacks {', '.join(missing)}")
    print(f"built {dist.name}: {len(files)} files, {dist.stat().st_size:,} bytes", flush=True)
    return dist


def unpack(dist: Path, folder: Path) -> Path:
    with tarfile.open(dist) as sdist:
        sdist.extractall(folder, filter="data")
    return folder / dist.name.removesuffix(".tar.gz")


def run(*command: str) -> None:
    subprocess.run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except subprocess.CalledProcessError as error:
        sys.exit(f"check_dists: {error}")
