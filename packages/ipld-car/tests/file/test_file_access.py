"""CarFile: who may open what, and all at once: readers beside a writer, threads, forks."""

import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest
from ipld_car import CarError, CarFile, cids
from ipld_car._file.state import map_of

from ..support.car_samples import SMALL_V1, SMALL_V2, outcome
from ..support.file_samples import ABSENT, EMPTY_MAP, HELLO, WORLD, block, check_archive


def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    with pytest.raises(FileNotFoundError):
        CarFile.open(path)
    with CarFile.open(path, "a") as file:
        file.put(HELLO, b"hello")
    with pytest.raises(FileExistsError):
        CarFile.open(path, "x")
    check_archive(path, [(HELLO, b"hello")], [EMPTY_MAP])
    (tmp_path / "empty").touch()
    with CarFile.open(tmp_path / "empty", "a") as file:
        file.put(HELLO, b"hello")
    check_archive(tmp_path / "empty", [(HELLO, b"hello")], [EMPTY_MAP])
    with pytest.raises(OSError, match="directory"):
        CarFile.open(tmp_path)
    with pytest.raises(OSError, match="directory"):
        CarFile.open(tmp_path, "a")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_pipe_is_refused_at_once(mode: Any, tmp_path: Path) -> None:
    """A reader waited for a writer of the pipe."""
    path = tmp_path / "pipe.car"
    os.mkfifo(path)
    with pytest.raises(OSError, match="regular file" if mode == "r" else "Errno"):
        CarFile.open(path, mode)


def test_opening_and_closing_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    with CarFile.open(path, "x") as file:
        file.put(HELLO, b"hello")
    before = path.read_bytes()
    for mode in ("r", "a"):
        with CarFile.open(path, mode) as file:
            file.flush()
            assert HELLO in file
        assert path.read_bytes() == before


@pytest.mark.parametrize("bad", [b"nonsense", b"\x00", SMALL_V1[:20], bytes(1000), SMALL_V2[:40], SMALL_V2[:100]])
def test_a_failed_open_changes_nothing(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "a.car"
    path.write_bytes(bad)
    for mode in ("r", "a"):
        with pytest.raises(CarError):
            CarFile.open(path, mode)
    with pytest.raises(FileExistsError):
        CarFile.open(path, "x")
    assert path.read_bytes() == bad
    assert os.listdir(tmp_path) == ["a.car"]  # noqa: PTH208  # names are all it needs
    path.write_bytes(SMALL_V1)
    CarFile.open(path, "a").close()  # no lock was left


OTHER = """
import sys
from ipld_car import CarFile
try:
    CarFile.open(sys.argv[1], "a")
except BlockingIOError as error:
    print(error)
with CarFile.open(sys.argv[1]) as file:
    print(len(file), [str(root) for root in file.roots])
"""


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    """Here and in another process; the refused one changes nothing."""
    path = tmp_path / "a.car"
    with CarFile.open(path, "x") as file:
        file.put(HELLO, b"hello")
        file.roots = [cids.from_bytes(HELLO)]
        file.flush()
        file.put(WORLD, b"world")
        before = path.read_bytes()
        with pytest.raises(BlockingIOError, match=r"no other writer of .*a\.car"):
            CarFile.open(path, "a")
        done = subprocess.run([sys.executable, "-c", OTHER, path], check=True, capture_output=True, text=True)
        assert f"expected no other writer of {path}" in done.stdout
        assert f"1 ['{cids.to_text(HELLO)}']" in done.stdout
        assert path.read_bytes() == before
    CarFile.open(path, "a").close()


def test_a_reader_beside_a_writer(tmp_path: Path) -> None:
    """It has all that was there, though its index is overwritten; what it misses it looks for again, and finds."""
    path = tmp_path / "a.car"
    old = [block(number, 50) for number in range(500)]
    new = [block(number, 50) for number in range(500, 3000)]
    with CarFile.open(path, "x") as writer:
        for name, data in old:
            writer.put(name, data)
    with CarFile.open(path) as reader, CarFile.open(path, "a") as writer:
        assert reader.scan_reason is None
        for count, (name, data) in enumerate(new):
            writer.put(name, data)
            if count % 500 == 0:
                writer.flush()
                assert reader.get(old[count // 5][0]) == old[count // 5][1]
                assert reader.get(name) == data
                assert ABSENT not in reader
                assert len(reader) == 500 + count + 1
        for name, data in old:
            assert reader.get(name) == data
        writer.close()
        for name, data in old + new:
            assert reader.get(name) == data
        assert len(reader) == 3000
        assert reader.scan_reason is None
        assert len(list(reader)) == 3000


def test_a_writer_forgotten_is_closed(tmp_path: Path) -> None:
    """When it is dropped, and when Python ends."""
    path = tmp_path / "a.car"
    file = CarFile.open(path, "x")
    file.put(HELLO, b"hello")
    del file
    gc.collect()
    check_archive(path, [(HELLO, b"hello")], [EMPTY_MAP])
    code = "import sys; from ipld_car import *; f = CarFile.open(sys.argv[1], 'a'); f.put(sys.argv[2], b'world')"
    subprocess.run([sys.executable, "-c", code, path, cids.to_text(WORLD)], check=True)
    check_archive(path, [(HELLO, b"hello"), (WORLD, b"world")], [EMPTY_MAP])


FORK = """
import os, sys
from ipld_car import CarFile, cids
path, hello, world = sys.argv[1:]
file = CarFile.open(path, "x")
file.put(hello, b"hello")
if sys.argv[0] == "-c" and not (child := os.fork()):
    assert file.get(hello) == b"hello" and not file.writable
    for verb in (lambda: file.put(world, b"world"), file.flush):
        try:
            verb()
        except ValueError as error:
            assert "forked" in str(error)
        else:
            os._exit(3)
    file.close()
    sys.exit()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
file.put(world, b"world")
sleeper = os.fork()
if not sleeper:
    os.read(0, 1)
    os._exit(0)
file.close()
CarFile.open(path, "a").close()  # the sleeper has no lock
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks there")
def test_a_fork_reads_and_does_not_write(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    command = [sys.executable, "-c", FORK, str(path), cids.to_text(HELLO), cids.to_text(WORLD)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, input="x", timeout=60)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
    check_archive(path, [(HELLO, b"hello"), (WORLD, b"world")], [EMPTY_MAP])


def test_a_map_is_never_given_up_for_one_that_ends_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that is slow to map the file must not undo what a writer's thread has mapped meanwhile."""
    with CarFile.open(tmp_path / "a.car", "a", fsync=False) as file:
        file.put(*block(1, 20))
        file.flush()
        blocks = file._open_blocks()
        begun, go_on, made = threading.Event(), threading.Event(), map_of

        def slow_at_first(handle: FileIO, end: int) -> mmap:
            mapped = made(handle, end)
            if not begun.is_set():
                begun.set()
                go_on.wait(0.5)  # the other may have to wait for this thread
            return mapped

        monkeypatch.setattr("ipld_car._file.file_blocks.map_of", slow_at_first)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(file.get, block(1, 20)[0])
            assert begun.wait(60)
            file.put(*block(2, 20))
            file.flush()
            assert len(list(file)) == 2
            go_on.set()
            assert reading.result() == block(1, 20)[1]
        assert len(blocks.table.buffer) == blocks.table.end


@pytest.mark.slow
def test_threads_put_get_and_flush_at_once(tmp_path: Path) -> None:
    """Each block once, whole at every moment, in a file and in one that has an index already."""
    path = tmp_path / "a.car"
    common = [block(number, 3000) for number in range(2000)]
    for rounds in range(2):
        with CarFile.open(path, "a", fsync=False) as file:
            start = threading.Barrier(8)

            def work(thread: int, file: CarFile = file, start: threading.Barrier = start, rounds: int = rounds) -> int:
                start.wait()
                new = 0
                for number in range(thread, len(common), 2):
                    new += file.put(*common[number])
                    own = block(10_000 * (8 * rounds + thread + 1) + number, 20)
                    new += file.put(*own)
                    assert file.get(own[0]) == own[1]
                    assert file.get(common[number][0]) == common[number][1]
                    if number % 500 < 2:
                        file.flush()
                        assert len(list(file)) >= new
                return new

            with ThreadPoolExecutor(8) as pool:
                new = sum(pool.map(work, range(8)))
            own = sum(len(range(thread, len(common), 2)) for thread in range(8))
            assert new == own + (len(common) if not rounds else 0)
    with CarFile.open(path) as file:
        assert len(file) == len(common) + 2 * own
        for name, _ in file:
            file.get(name)
    assert outcome(path.read_bytes()).error is None
