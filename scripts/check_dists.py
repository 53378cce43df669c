"""Build the packages, and test what was built: each layer alone, as its users get it.

``hatch run dists`` builds sdists, and wheels from them. Layer by layer, a new environment gets the wheel with nothing
above it and no extra. There, every module of the wheel is imported, each of its imports has to be declared, and the
tests of its sdist that are marked ``smoke`` run: the wheel is complete, and the layer needs nothing undeclared.
What the code does is tested from the checkout, once; with ``--all`` all tests of the sdists run here too.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = {"ipld-car": "ipld_car", "ipld-castore": "ipld_castore", "ipldstore": "ipldstore"}  # from the bottom
UV = os.environ["HATCH_UV"]
PYTHON = "Scripts/python.exe" if os.name == "nt" else "bin/python"


def main() -> None:
    (ROOT / "build").mkdir(exist_ok=True)
    # Below the checkout, so that conftest.py is above the tests of an unpacked sdist as well.
    chosen = ["-n", "2"] if "--all" in sys.argv[1:] else ["-m", "smoke"]
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="dists-") as name:
        folder = Path(name)
        wheels = [build(package, module, folder) for package, module in LAYERS.items()]
        os.environ.setdefault("IPLD_FIXTURES", str(ROOT.parent / "shared" / "fixtures"))
        for module, wheel in zip(LAYERS.values(), wheels, strict=True):
            python = install(wheel, folder)
            look_at_installed(python, module)
            run(str(python), "-I", str(ROOT / "scripts" / "check_imports.py"), module)
            (tests,) = folder.glob(f"{module}-*/tests")
            # -P, as nothing of the checkout must help.
            run(
                str(python),
                "-P",
                "-m",
                "pytest",
                "-c",
                "pyproject.toml",
                "--rootdir",
                str(tests.parent),
                "--confcutdir",
                ".",
                *chosen,
                str(tests),
            )


def build(package: str, module: str, folder: Path) -> Path:
    """Build an sdist, and a wheel from it; look at what is in them, and unpack the sdist."""
    run(UV, "build", "--quiet", "--out-dir", str(folder), str(ROOT / "packages" / package))
    (sdist_path,) = folder.glob(f"{module}-*.tar.gz")
    (wheel_path,) = folder.glob(f"{module}-*.whl")
    with tarfile.open(sdist_path) as sdist:
        look_for(["/test_", "/LICENSE", "/README.md", "/CHANGELOG.md"], sdist.getnames(), sdist_path)
        sdist.extractall(folder, filter="data")
    with zipfile.ZipFile(wheel_path) as wheel:
        look_for([f"{module}/__init__.py", f"{module}/py.typed", "/licenses/LICENSE"], wheel.namelist(), wheel_path)
    print(f"built {sdist_path.name} and {wheel_path.name}, {wheel_path.stat().st_size:,} bytes", flush=True)
    return wheel_path


def install(wheel: Path, folder: Path) -> Path:
    """Give a wheel, what it needs and what its tests need an environment; returns the Python of that."""
    venv = folder / f"venv-{wheel.stem}"
    run(UV, "venv", "--quiet", "--no-config", "--python", sys.executable, str(venv))
    # No dependency may need building, it would ask users for a compiler. Ours are found in the folder.
    wanted = ["--only-binary=:all:", "--find-links", str(folder), "--group", "pyproject.toml:test", str(wheel)]
    run(UV, "pip", "install", "--quiet", "--python", str(venv / PYTHON), *wanted)
    return venv / PYTHON


def look_at_installed(python: Path, module: str) -> None:
    modules = list(LAYERS.values())
    above = modules[modules.index(module) + 1 :]
    show = f"import importlib.util as u, {module} as m; print(m.__file__, *filter(u.find_spec, {above}))"
    shown = subprocess.run([str(python), "-I", "-c", show], check=True, capture_output=True, text=True)
    place, *found = shown.stdout.split()
    if not Path(place).is_relative_to(python.parents[1]) or found:
        sys.exit(f"check_dists: expected {module} alone in {python.parents[1]}, found {place} {found}")
    print(f"\n{module} alone, from its wheel; the tests from its sdist", flush=True)


def look_for(parts: list[str], files: list[str], dist: Path) -> None:
    if missing := [part for part in parts if not any(part in file for file in files)]:
        sys.exit(f"check_dists: {dist.name} lacks {', '.join(missing)}")


def run(*command: str) -> None:
    if code := subprocess.run(command, check=False, cwd=ROOT).returncode:
        sys.exit(f"check_dists: exit status {code} of {' '.join(command[:4])} ...")


if __name__ == "__main__":
    main()
