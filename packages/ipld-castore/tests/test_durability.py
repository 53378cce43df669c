"""Files of FileSystemCAStore are whole or absent, and what was put survives."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from ipld_castore import FileSystemCAStore

WRITER = """
    import random, sys
    from ipld_castore import FileSystemCAStore
    store = FileSystemCAStore(sys.argv[1], fsync=sys.argv[2] == "True")
    noise = random.Random(int(sys.argv[3]))
    while True:
        data = noise.randbytes(noise.choice([0, 1, 5_000, 100_000, 1_000_000]))
        print(store.put(data), flush=True)
"""


def digest_of(key: str) -> bytes:
    return base64.b32decode(key + "=" * (-len(key) % 8))[2:]


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
@pytest.mark.parametrize("fsync", [True, False])
def test_a_writer_that_is_killed(tmp_path: Path, *, fsync: bool) -> None:
    """At whatever instant: every file of a block is whole, and every block whose put returned is there."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), str(fsync)]
    instants = random.Random()
    put: list[str] = []
    for attempt in range(4):
        writer = subprocess.Popen([*command, str(attempt)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        with writer, writer.stdout:
            put.append(writer.stdout.readline().strip())
            time.sleep(instants.uniform(0, 0.15))
            writer.send_signal(signal.SIGKILL)
            *lines, _ = writer.stdout.read().split("\n")
            put.extend(lines)
    assert len(put) >= 4
    for file in tmp_path.rglob("*.data"):
        assert hashlib.sha256(file.read_bytes()).digest() == digest_of(file.stem), file
    store = FileSystemCAStore(tmp_path)
    for cid in put:
        store.get(cid)
    # What a killed writer leaves besides are its temporary files, at most one each.
    others = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".data"]
    names = [path.name for path in others if path.name != "SHARDING"]
    assert len(names) <= 4
    assert all(name.startswith("put-") for name in names)


FULL = """
    import os, pathlib, resource, sys
    from ipld_castore import BackendUnavailableError, FileSystemCAStore
    store = FileSystemCAStore(sys.argv[1], fsync=sys.argv[2] == "True")
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    small, large = os.urandom(40_000), os.urandom(100_000)
    cid = store.put(small)
    try:
        store.put(large)
    except BackendUnavailableError as error:
        print("refused:", error)
    (file,) = pathlib.Path(sys.argv[1]).rglob("*.data")
    file.write_bytes(b"damaged")
    store.put(small)
    assert store.get(cid) == small
    print(sorted(path.name for path in pathlib.Path(sys.argv[1]).rglob("*") if path.is_file()))
"""


@pytest.mark.skipif(os.name == "nt", reason="no resource limits there")
@pytest.mark.parametrize("fsync", [True, False])
def test_a_disk_that_is_full(tmp_path: Path, *, fsync: bool) -> None:
    """The kernel refuses to write on in the middle of a file: an error, and nothing of it stays."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path), str(fsync)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    refused, clean = done.stdout.splitlines()
    assert refused.startswith("refused: cannot write block bafkrei")
    assert "File too large" in refused
    assert re.fullmatch(r"\['[A-Z2-7]+\.data', 'SHARDING'\]", clean)


# -- the disk is asked, and in the right order --


class Disk:
    """Writes down what is synced, made and renamed, and does it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.root = root
        self.log: list[str] = []
        fsync, mkdir, replace = os.fsync, Path.mkdir, Path.replace

        def logged_fsync(handle: int) -> None:
            fsync(handle)
            self.note("sync", Path(f"/proc/self/fd/{handle}").readlink())

        def logged_mkdir(path: Path, *, exist_ok: bool = False) -> None:
            if not path.exists():
                self.note("make", path)
            mkdir(path, exist_ok=exist_ok)

        def logged_replace(path: Path, target: Path) -> Path:
            self.note("name", target)
            return replace(path, target)

        monkeypatch.setattr(os, "fsync", logged_fsync)
        monkeypatch.setattr(Path, "mkdir", logged_mkdir)
        monkeypatch.setattr(Path, "replace", logged_replace)

    def note(self, what: str, path: Path) -> None:
        parts = path.relative_to(self.root).parts
        self.log.append(" ".join([what, *("put-" if part.startswith("put-") else part for part in parts)]))

    def take(self) -> list[str]:
        log, self.log = self.log, []
        return log


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Disk:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("what is synced is told from /proc/self/fd")
    return Disk(monkeypatch, tmp_path)


def test_a_block_is_synced_before_it_has_its_name(disk: Disk) -> None:
    """Bytes, then name, then folder: no order of a crash gives a file of the right name and other bytes."""
    store = FileSystemCAStore(disk.root / "a" / "blocks")
    assert disk.take() == [
        *["make a", "sync", "make a blocks", "sync a"],
        *["sync a blocks put-", "name a blocks SHARDING", "sync a blocks"],
    ]
    cid = store.put(b"hello")
    name = next(disk.root.rglob("*.data"))
    shard = f"a blocks {name.parent.name}"
    assert disk.take() == [
        *[f"make {shard}", "sync a blocks"],
        *[f"sync {shard} put-", f"name {shard} {name.name}", f"sync {shard}"],
    ]
    name.write_bytes(b"")
    store.put(b"hello")
    assert disk.take() == [f"sync {shard} put-", f"name {shard} {name.name}", f"sync {shard}"]
    assert store.get(cid) == b"hello"


def test_a_block_that_another_wrote_is_synced_too(disk: Disk) -> None:
    """Its writer may have left that to the system, or have come no further than its name."""
    store = FileSystemCAStore(disk.root, fsync=False)
    store.put(b"hello")
    name = next(disk.root.rglob("*.data"))
    shard = name.parent.name
    # The rule is safe even so: without it none of the blocks could be read.
    assert disk.take() == ["sync put-", "name SHARDING", "sync", f"make {shard}", f"name {shard} {name.name}"]
    careful = FileSystemCAStore(disk.root)
    careful.put(b"hello")
    assert disk.take() == ["sync", f"sync {shard} {name.name}", f"sync {shard}"]
    careful.put(b"hello")
    assert disk.take() == [f"sync {shard} {name.name}", f"sync {shard}"]


def test_shards_are_synced_once(disk: Disk) -> None:
    """An old folder costs one sync of its shards' names, not one for each."""
    old = FileSystemCAStore(disk.root)
    for number in range(50):
        old.put(b"%d" % number)
    disk.take()
    store = FileSystemCAStore(disk.root)
    for number in range(50):
        store.put(b"%d" % number)
    assert disk.take().count("sync") == 1
