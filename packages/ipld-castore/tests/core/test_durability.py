"""Files of FileSystemCAStore are whole or absent, and what was put survives."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ipld_castore import BackendUnavailableError, FileSystemCAStore, MappingCAStore
from multiformats import CID

KILLER = """
    import os, random, signal, sys, time
    from ipld_castore import FileSystemCAStore
    for attempt in range(20):
        here, there = os.pipe()
        writer = os.fork()
        if not writer:
            store = FileSystemCAStore(sys.argv[1], fsync=sys.argv[2] == "True")
            noise = random.Random(attempt)
            while True:
                cid = store.put(noise.randbytes(noise.choice([0, 5_000, 1_000_000, 1_000_000])))
                os.write(there, f"{cid}\\n".encode())
        os.close(there)
        with open(here) as put:
            print(put.readline(), end="")
            time.sleep(random.uniform(0, 0.03))
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
            print(put.read(), end="")
"""


def digest_of(key: str) -> bytes:
    return base64.b32decode(key + "=" * (-len(key) % 8))[2:]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to kill at random instants there")
@pytest.mark.parametrize("fsync", [True, False])
def test_a_writer_that_is_killed(tmp_path: Path, *, fsync: bool) -> None:
    """After a kill at any instant each file of a block is whole, and each block whose put returned is there."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLER), str(tmp_path), str(fsync)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    put = done.stdout.split()
    assert len(put) >= 20
    for file in tmp_path.rglob("*.data"):
        assert hashlib.sha256(file.read_bytes()).digest() == digest_of(file.stem), file
    store = FileSystemCAStore(tmp_path)
    for cid in put:
        store.get(cid)
    # What a killed writer leaves besides is one temporary file at most.
    others = [path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".data"]
    assert len(others) <= 21
    assert all(name == "SHARDING" or name.startswith("put-") for name in others)
    left = sum(path.stat().st_size for path in tmp_path.rglob("put-*"))
    assert store.delete_leftovers() == left
    assert list(tmp_path.rglob("put-*")) == []
    for cid in put:
        store.get(cid)


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
    """A disk that is full in the middle of a file is an error, and no part of the file stays."""
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
    """A file system that records each sync, each folder, and each name that a file gets by a rename or a link."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.root = root
        self.log: list[str] = []
        fsync, mkdir, replace, link = os.fsync, os.mkdir, os.replace, os.link

        def logged_fsync(handle: int) -> None:
            fsync(handle)
            self.note("sync", Path(f"/proc/self/fd/{handle}").readlink())

        def logged_mkdir(path: str | Path, mode: int = 0o777) -> None:
            if not Path(path).exists():
                self.note("make", path)
            mkdir(path, mode)

        def logged_replace(path: str | Path, target: str | Path) -> None:
            self.note("name", target)
            replace(path, target)

        def logged_link(path: str | Path, target: str | Path) -> None:
            self.note("name", target)
            link(path, target)

        monkeypatch.setattr(os, "fsync", logged_fsync)
        monkeypatch.setattr(os, "mkdir", logged_mkdir)
        monkeypatch.setattr(os, "replace", logged_replace)
        monkeypatch.setattr(os, "link", logged_link)

    def note(self, what: str, path: str | Path) -> None:
        parts = Path(path).relative_to(self.root).parts
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
    """Bytes are synced, then the name, then the folder: no crash leaves a name with other bytes."""
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
    """A block that another process wrote is synced too, as that process may not have synced it."""
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


def test_many_blocks_are_all_synced(disk: Disk) -> None:
    """Many blocks are synced several at a time. When the call returns, all bytes and names are."""
    source = MappingCAStore()
    root = source.put([source.put(b"%d" % number) for number in range(100)])
    FileSystemCAStore(disk.root / "blocks").import_car(source.to_car(root))
    log = disk.take()
    for file in (disk.root / "blocks").rglob("*.data"):
        shard = f"blocks {file.parent.name}"
        named = log.index(f"name {shard} {file.name}")
        assert f"sync {shard} put-" in log[:named]
        assert f"sync {shard}" in log[named:]
        assert "sync blocks" in log[log.index(f"make {shard}") :]
    assert sum(line.startswith("name") for line in log) == 102


def test_blocks_before_an_error_are_synced(disk: Disk) -> None:
    """If the iterable fails, the blocks before the error are synced."""
    store = FileSystemCAStore(disk.root / "blocks")

    def source() -> Iterator[tuple[CID, bytes]]:
        memory = MappingCAStore()
        for number in range(50):
            yield memory.put_raw(b"%d" % number), b"%d" % number
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.put_blocks(source())
    assert len(list(store)) == 50
    log = disk.take()
    for file in (disk.root / "blocks").rglob("*.data"):
        assert f"sync blocks {file.parent.name}" in log[log.index(f"name blocks {file.parent.name} {file.name}") :]


def test_one_of_many_that_cannot_be_written(tmp_path: Path) -> None:
    """If one of many blocks cannot be written, the call raises its error, also beside an error of the iterable."""
    store = FileSystemCAStore(tmp_path)
    memory = MappingCAStore()
    pairs = [(memory.put_raw(b"%d" % number), b"%d" % number) for number in range(50)]
    for cid, _ in pairs:
        key = base64.b32encode(bytes(cid.digest)).decode().rstrip("=")
        (tmp_path / key[-3:-1] / f"{key}.data").mkdir(parents=True)  # nothing can be renamed to that
    for last in ([], [(memory.put_raw(b"x"), b"x")] * 100):
        with pytest.raises(BackendUnavailableError, match="cannot write block"):
            store.put_blocks(iter([*pairs[-1:], *last]))

    def source() -> Iterator[tuple[CID, bytes]]:
        yield pairs[0]
        raise ZeroDivisionError

    with pytest.raises(BackendUnavailableError, match="cannot write block") as caught:
        store.put_blocks(source())
    assert isinstance(caught.value.__context__, ZeroDivisionError)


def test_blocks_on_their_way_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few blocks are under way, so a fast iterable does not fill the memory while the disk is slow."""
    waiting = [0, 0]
    lock, several = threading.Lock(), threading.Event()
    put_block = FileSystemCAStore.put_block

    def slow(store: FileSystemCAStore, cid: CID, data: bytes) -> None:
        several.wait(60)  # the bound below fails if the iterable is not read on meanwhile
        put_block(store, cid, data)
        with lock:
            waiting[0] -= len(data)

    monkeypatch.setattr(FileSystemCAStore, "put_block", slow)

    def source() -> Iterator[tuple[CID, bytes]]:
        memory = MappingCAStore()
        for number in range(60):
            data = bytes([number]) * (1 << 20)
            with lock:
                waiting[0] += len(data)
                waiting[1] = max(waiting)
            if number == 3:
                several.set()
            yield memory.put_raw(data), data
            memory.mapping.clear()

    FileSystemCAStore(tmp_path).put_blocks(source())
    assert 4 << 20 <= waiting[1] <= 10 << 20


def test_shards_are_synced_once(disk: Disk) -> None:
    """The names of the shards of an old folder are synced once, not once for each shard."""
    old = FileSystemCAStore(disk.root)
    for number in range(50):
        old.put(b"%d" % number)
    disk.take()
    store = FileSystemCAStore(disk.root)
    for number in range(50):
        store.put(b"%d" % number)
    assert disk.take().count("sync") == 1
