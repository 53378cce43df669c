"""Builds the Kubo that go.mod here pins, once, and prints where it is: ``python build.py [--find]``.

It needs Go and some minutes, and asks the Go module proxy for sources; go.sum says what they must be. The binary goes
to the user's cache folder, named after the version and what is pinned. With ``--find`` it is only looked for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
VERSION = "0.43.0"


def target() -> Path:
    """Where the binary is, or will be."""
    pinned = hashlib.sha256((HERE / "go.mod").read_bytes() + (HERE / "go.sum").read_bytes()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "ipldstore-tests" / f"kubo-{VERSION}-{pinned[:12]}" / ("ipfs.exe" if os.name == "nt" else "ipfs")


def build() -> Path:
    """Build the binary unless it is there.

    :raises RuntimeError: if there is no Go, or it fails
    """
    binary = target()
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("expected Go (https://go.dev/dl/) on PATH to build Kubo with, found none")
    binary.parent.mkdir(parents=True, exist_ok=True)
    unfinished = binary.with_name(f"building-{os.getpid()}")
    options = ["-mod=readonly", "-buildvcs=false", "-tags=nofuse", "-o", str(unfinished)]
    done = subprocess.run(
        [go, "build", *options, "github.com/ipfs/kubo/cmd/ipfs"],
        cwd=HERE,
        env=os.environ | {"CGO_ENABLED": "0"},
        stdout=sys.stderr,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"go build ended with {done.returncode}")
    unfinished.replace(binary)
    return binary


if __name__ == "__main__":
    if "--find" in sys.argv and not target().exists():
        sys.exit("not built yet")
    try:
        print(build())  # noqa: T201  # that is what it is for
    except RuntimeError as error:
        sys.exit(str(error))
