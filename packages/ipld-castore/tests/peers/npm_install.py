"""Programs of others that npm installs, once for each version, for tests that talk to them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from ..support.peer_binary import NoBinaryError


def npm_install(pinned: Path, name: str) -> Path:
    """Return a folder of the user's cache in which npm has installed what a lock file pins.

    No script of a package runs.

    :param pinned: the folder with ``package.json`` and ``package-lock.json``
    :param name: how the folder is called
    :raises NoBinaryError: if there is no node or no npm
    :raises RuntimeError: if npm cannot install it
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NoBinaryError(f"no {name}: expected node and npm on PATH")
    files = [pinned / file for file in ("package.json", "package-lock.json")]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = cache / "ipldstore-tests" / f"{name}-{digest[:12]}"
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"npm cannot install {name}: {done.stderr.strip()[-500:]}")
        (folder / "installed").touch()
    return folder
