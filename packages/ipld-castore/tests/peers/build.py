"""Build the server that a folder here pins, once, and print where it is: ``python build.py kubo [--find]``.

It needs Go and some minutes, and asks the Go module proxy for sources; the folder's go.sum says what they must be. The
binary goes to the user's cache folder, named after the version and what is pinned. With ``--find`` it is only looked
for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Peer(NamedTuple):
    """A server that the tests talk to."""

    version: str
    package: str
    """The Go package of its command."""
    command: str
    """The name of the binary."""
    tags: str = ""
    """Go's build tags."""


PEERS = {
    "kubo": Peer("0.43.0", "github.com/ipfs/kubo/cmd/ipfs", "ipfs", "nofuse"),
    "versitygw": Peer("1.8.0", "github.com/versity/versitygw/cmd/versitygw", "versitygw"),
}
"""By the folder here that has its go.mod and go.sum."""


def target(name: str) -> Path:
    """Return where the binary is, or will be."""
    peer, folder = PEERS[name], HERE / name
    pinned = hashlib.sha256((folder / "go.mod").read_bytes() + (folder / "go.sum").read_bytes()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    file = f"{peer.command}.exe" if os.name == "nt" else peer.command
    return cache / "ipldstore-tests" / f"{name}-{peer.version}-{pinned[:12]}" / file


def build(name: str) -> Path:
    """Build the binary unless it is there.

    :raises RuntimeError: if there is no Go, or it fails
    """
    peer, binary = PEERS[name], target(name)
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        raise RuntimeError(f"expected Go (https://go.dev/dl/) on PATH to build {name} with, found none")
    binary.parent.mkdir(parents=True, exist_ok=True)
    unfinished = binary.with_name(f"building-{os.getpid()}")
    options = ["-mod=readonly", "-buildvcs=false", f"-tags={peer.tags}", "-o", str(unfinished)]
    done = subprocess.run(
        [go, "build", *options, peer.package],
        cwd=HERE / name,
        env=os.environ | {"CGO_ENABLED": "0"},
        stdout=sys.stderr,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"go build of {name} ended with {done.returncode}")
    unfinished.replace(binary)
    return binary


def main(arguments: list[str]) -> str | None:
    """Print the path of a binary; return what is wrong, if anything is."""
    names = [argument for argument in arguments if argument != "--find"]
    if len(names) != 1 or names[0] not in PEERS:
        return f"expected one of {', '.join(PEERS)}, found {' '.join(names) or 'none'}"
    if "--find" in arguments and not target(names[0]).exists():
        return f"{names[0]} is not built yet"
    try:
        print(build(names[0]))  # noqa: T201  # that is what it is for
    except RuntimeError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
