"""The environment of py-hamt, made once: ``python environment.py [--find]`` prints its Python.

It needs Python 3.12 or newer, and pip. The environment goes to the user's cache folder, named after what
``requirements.txt`` pins. With ``--find`` it is only looked for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
MINORS = range(14, 11, -1)


def target() -> Path:
    """Return where the Python of the environment is, or will be."""
    pinned = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = cache / "ipldstore-tests" / f"py-hamt-{pinned[:12]}"
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make() -> Path:
    """Make the environment unless it is there.

    :raises RuntimeError: if there is no Python for it, or pip fails
    """
    python = target()
    ready = python.parents[1] / "ready"
    if ready.exists():
        return python
    base = next(_pythons(), None)
    if base is None:
        raise RuntimeError("expected Python 3.12 or newer for py-hamt, found none")
    for command in (
        [base, "-m", "venv", "--clear", str(python.parents[1])],
        [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    ready.touch()
    return python


def find() -> Path | None:
    """Return the Python of the environment; None if it was not made yet."""
    python = target()
    return python if (python.parents[1] / "ready").exists() else None


def _pythons() -> Iterator[str]:
    """Yield Pythons that py-hamt runs on: this one, those on PATH, and those of pyenv."""
    if sys.version_info >= (3, 12):
        yield sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"
    for minor in MINORS:
        on_path = shutil.which(f"python3.{minor}")
        for found in [*([on_path] if on_path else []), *map(str, sorted(pyenv.glob(f"3.{minor}.*/bin/python")))]:
            if not subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
                yield found


if __name__ == "__main__":
    try:
        made = find() if "--find" in sys.argv else make()
    except RuntimeError as error:
        sys.exit(str(error))
    if made is None:
        sys.exit("no environment with py-hamt was made yet")
    print(made)  # noqa: T201  # for the caller
