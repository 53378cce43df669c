"""A program over go-car and go-ipld-prime that tests ask.

peers/go is built by Go, once, into the user's cache folder, in the versions that its go.sum says; without Go there is
nothing to ask.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parents[1] / "peers" / "go"

Peer = Callable[..., Any]


def build() -> str:
    """The program's path; skips if it cannot be built."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go here: no go-car to read our files, and no go-ipld-prime to explore them")
    sources = b"".join((SOURCES / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ipldstore-tests"
    built = cache / f"go-car-{hashlib.sha256(sources).hexdigest()[:16]}{'.exe' if os.name == 'nt' else ''}"
    if not built.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = cache / f"go-car-building-{os.getpid()}"
        command = [go, "build", "-mod=readonly", "-buildvcs=false", "-o", str(unfinished), "."]
        environment = os.environ | {"CGO_ENABLED": "0"}
        done = subprocess.run(command, cwd=SOURCES, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = f"Go cannot build go-car here: {done.stderr.strip()[-500:]}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        unfinished.replace(built)
    return str(built)


def ask(program: str, *arguments: object, stdin: list[str] | None = None) -> Any:
    """Run a verb of peers/go/main.go and return its answer."""
    lines = "".join(f"{line}\n" for line in stdin or [])
    done = subprocess.run([program, *map(str, arguments)], input=lines.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout if arguments[0] == "index" else json.loads(done.stdout)
