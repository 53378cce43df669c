"""Ranges are hashed alike in threads and in processes, and whatever happens to a process costs time only."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import spawn
from pathlib import Path
from typing import IO

import pytest
from ipld_castore import BackendUnavailableError, BlockCorruptError, FileRefusedError, RangeHasher
from ipld_castore._reference import processes

MIB = 1 << 20
FIRST = processes._FIRST_BYTES // MIB
RANGES = [(number * MIB, MIB) for number in range(FIRST)]
"""As much as is hashed before a process is started."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of 65 MiB, nearly all of it a hole."""
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.write(random.Random(0).randbytes(2 * MIB))
        file.truncate((FIRST + 1) * MIB)
    return path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Return the processes that are started; at the end all have ended."""
    found: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[call-overload]
            found.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    yield found
    assert all(process.returncode is not None for process in found)


def expected(path: Path, ranges: list[tuple[int, int]]) -> list[bytes]:
    found = []
    with path.open("rb") as file:
        for offset, length in ranges:
            file.seek(offset)
            found.append(hashlib.sha256(file.read(length)).digest())
    return found


def test_digests_of_processes_are_those_of_threads(path: Path, started: list[object]) -> None:
    ranges = [(5, 3 * MIB), (0, 0), (7, 700_000), (4 * MIB, 1), (100, MIB), (99, 200)]
    with RangeHasher() as hasher:
        hasher.digest(str(path), RANGES)
        assert hasher.digest(str(path), ranges) == expected(path, ranges)
        assert list(hasher.digests([(str(path), ranges), (str(path), ranges[:3])])) == [
            expected(path, ranges),
            expected(path, ranges[:3]),
        ]
        assert started
    count = len(started)
    assert hasher.digest(str(path), ranges) == expected(path, ranges)  # in this thread
    assert len(started) == count


def test_sizes_of_files(path: Path) -> None:
    hasher = RangeHasher(allow=[path.parent])
    assert hasher.size(str(path)) == (FIRST + 1) * MIB
    with pytest.raises(BackendUnavailableError, match="no-file"):
        hasher.size(f"{path.parent}/no-file")
    with pytest.raises(FileRefusedError):
        hasher.size("http://127.0.0.1/x")


def test_few_bytes_start_no_process(path: Path, started: list[object]) -> None:
    with RangeHasher() as hasher:
        assert hasher.digest(str(path), RANGES[1:]) == expected(path, RANGES[1:])
        assert not started
        hasher.digest(str(path), RANGES[:1])
        assert len(started) == 1
        hasher.digest(str(path), [(0, 1000)])  # faster here than by asking
        hasher.digest(str(path), RANGES[:1])
        assert len(started) == 1


def test_processes_that_were_killed_are_replaced(path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    with RangeHasher() as hasher:
        hasher.digest(str(path), RANGES)
        for _ in range(3):
            started[-1].kill()
            started[-1].wait()
            assert hasher.digest(str(path), RANGES[:3]) == expected(path, RANGES[:3])
            assert hasher.digest(str(path), RANGES[:3]) == expected(path, RANGES[:3])
    assert len(started) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_process_that_dies_at_work_is_replaced(path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    with RangeHasher() as hasher:
        hasher.digest(str(path), RANGES)
        started[0].send_signal(signal.SIGSTOP)
        found = hasher.digests([(str(path), RANGES[:1]), (str(path), RANGES[:1])])  # one of them asks what is stopped
        os.kill(started[0].pid, signal.SIGKILL)
        assert list(found) == [expected(path, RANGES[:1])] * 2


def test_interrupts_are_for_the_process_that_asks(path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    with RangeHasher() as hasher:
        hasher.digest(str(path), RANGES)
        started[0].send_signal(signal.SIGINT)  # as a terminal sends it to all
        assert hasher.digest(str(path), RANGES[:1]) == expected(path, RANGES[:1])
        assert len(started) == 1


def test_errors_are_those_of_threads(path: Path, started: list[object]) -> None:
    beyond = [*RANGES, (FIRST * MIB + 1, MIB)]
    with RangeHasher() as hasher:
        with pytest.raises(BlockCorruptError, match=f"expected {FIRST * MIB + 1 + MIB} bytes or more in {path}"):
            hasher.digest(str(path), beyond)
        with pytest.raises(BackendUnavailableError, match="absent"):
            hasher.digest(str(path.with_name("absent")), RANGES)
        with pytest.raises(BackendUnavailableError, match="cannot read"):
            hasher.digest(str(path.parent), RANGES)
        assert hasher.digest(str(path), RANGES[:1]) == expected(path, RANGES[:1])
        assert len(started) == 1


def test_where_no_process_can_be_started_threads_hash(
    path: Path, started: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "get_executable", lambda: b"/absent/python")
    with RangeHasher() as hasher:
        assert hasher.digest(str(path), RANGES) == expected(path, RANGES)
    assert not started


def test_a_relative_path_is_one_of_the_folder_that_this_process_is_in(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RangeHasher() as hasher:
        hasher.digest(str(path), RANGES)
        monkeypatch.chdir(path.parent)
        assert hasher.digest("x", RANGES[:1]) == expected(path, RANGES[:1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_asks_processes_of_its_own(path: Path, started: list[object]) -> None:
    with RangeHasher() as hasher:
        hasher.digest(str(path), RANGES)
        child = os.fork()
        if not child:
            found = hasher.digest(str(path), RANGES)
            hasher.__exit__(None, None, None)
            os._exit(found != expected(path, RANGES) or len(started) != 2)
        _, status = os.waitpid(child, 0)
        assert status == 0
        assert hasher.digest(str(path), RANGES[:1]) == expected(path, RANGES[:1])


class _Forking:
    """The pipe to a process. With each write this process has a child, which has ended when the write returns."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def write(self, data: bytes) -> int:
        count = self._pipe.write(data)
        child = os.fork()
        if not child:
            self._pipe.close()
            os._exit(0)
        os.waitpid(child, 0)
        return count

    def flush(self) -> None:
        self._pipe.flush()

    def close(self) -> None:
        self._pipe.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_is_forked_while_a_process_is_asked_asks_it_nothing(
    path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """Else the process would answer twice, and each later request would get the digests of the one before."""
    with RangeHasher() as hasher:
        hasher.digest(str(path), RANGES)
        assert started[0].stdin is not None
        started[0].stdin = _Forking(started[0].stdin)  # type: ignore[assignment]  # what it needs of a pipe
        for ranges in (RANGES[:1], RANGES[1:2], RANGES[:1]):
            assert hasher.digest(str(path), ranges) == expected(path, ranges)


def test_where_processes_die_at_once_no_more_are_started(
    path: Path, started: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an application brings a Python that does not run alone."""
    monkeypatch.setattr(processes, "_OPTIONS", ("-c", "raise SystemExit(1)"))
    with RangeHasher() as hasher:
        for _ in range(5):
            assert hasher.digest(str(path), RANGES) == expected(path, RANGES)
    assert len(started) == 3


def test_an_application_with_python_in_it_is_not_started_again(
    path: Path, started: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "get_executable", lambda: shutil.which("true"))
    with RangeHasher() as hasher:
        assert hasher.digest(str(path), RANGES) == expected(path, RANGES)
    assert not started
