"""Processes that hash ranges of files of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from multiprocessing import spawn
from pathlib import Path
from typing import IO, Final

from ipld_castore.concurrency import ForkLocal

from . import hashing

_FIRST_BYTES: Final = 64 << 20
"""Bytes that callers hash themselves before a process is started, which takes as long as hashing a third of them."""
_LEAST_BYTES: Final = 512 << 10
"""Bytes of a request that are worth asking another process."""
_DEATHS: Final = 3
"""Processes that die at work, one after the other, until none is started any more: they cannot run here."""
_PYTHON: Final = ("python", "pypy")
"""What names of programs that run Python begin with. Another one is an application with Python in it, as QGIS."""
_OPTIONS: Final = ("-I", "-S")
"""Options of Python: the program imports nothing but the standard library."""


class _State:
    """The processes of one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle: list[subprocess.Popen[bytes]] = []
        self.left = _FIRST_BYTES
        self.is_open = True


class HashProcesses:
    """Hash ranges of files in processes. Each thread that asks has one, which is started when it is needed first.

    A thread that hashes releases the GIL, and has to get it back for each range. Where another thread runs Python, both
    wait for each other, half of the time on a machine of two processors. Processes do not.

    They never raise: where none can be started, one has died, or a file cannot be read, the caller hashes the ranges
    itself. Threads may share this, and a child of ``fork`` gets processes of its own.
    """

    def __init__(self) -> None:
        self._state = ForkLocal(_State)
        executable = spawn.get_executable()  # where Python is embedded, ``multiprocessing`` is told which program it is
        is_python = Path(os.fsdecode(executable or b"")).name.lower().startswith(_PYTHON)
        can_start = is_python and not getattr(sys, "frozen", False) and Path(hashing.__file__).is_file()
        self._deaths = 0
        """How many processes have died at work since one has answered."""
        self._command = [os.fsdecode(executable), *_OPTIONS, hashing.__file__] if can_start else []

    def hash(self, path: str, flags: int, spans: list[hashing.Span]) -> bytes | None:
        """Return the digests of all ranges, one after the other; None if the caller has to hash them.

        :param path: the file
        :param flags: how it is opened
        """
        process = self._take(sum(stop - start for start, stop, _ in spans))
        if process is None:
            return None
        request = hashing.encode_request(os.fsencode(os.path.abspath(path)), flags, spans)  # noqa: PTH100  # at each task
        size = hashing.DIGEST_BYTES * sum(len(ranges) for _, _, ranges in spans)
        try:
            state, digests = _ask(process, request, size)
        except OSError:
            state, digests = b"", b""  # it has died
        except BaseException:
            _end(process)
            raise
        if state == hashing.FAILED or (state == hashing.DONE and len(digests) == size):
            self._deaths = 0
            self._put_back(process)
            return digests if state == hashing.DONE else None
        _end(process)
        self._deaths += 1
        if self._deaths >= _DEATHS:
            self._command = []
        return None

    def _take(self, size: int) -> subprocess.Popen[bytes] | None:
        """Return an idle process; None if none is idle, or a process is not worth its start."""
        state = self._state.value
        with state.lock:
            state.left -= size
            command = self._command
            if not command or state.left > 0 or size < _LEAST_BYTES or not state.is_open:
                return None
            if state.idle:
                return state.idle.pop()
        try:
            return subprocess.Popen(  # noqa: S603  # this Python, and a program of this package
                command,
                bufsize=0,  # a child of ``fork`` would send what waits in a buffer once more
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError:
            self._command = []  # the system allows no further process
            return None

    def _put_back(self, process: subprocess.Popen[bytes]) -> None:
        state = self._state.value
        with state.lock:
            if state.is_open:
                state.idle.append(process)
                return
        _end(process)

    def close(self) -> None:
        """End all processes, one that is asked at the moment when it has answered. None is started any more."""
        state = self._state.value
        with state.lock:
            state.is_open = False
            idle, state.idle = state.idle, []
        for process in idle:
            _end(process)


def _ask(process: subprocess.Popen[bytes], request: bytes, size: int) -> tuple[bytes, bytes]:
    """Return the state that a process answers, and the digests; less than ``size`` bytes where it has died."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  # see _take
    rest = memoryview(request)
    while rest:
        rest = rest[process.stdin.write(rest) :]
    state = process.stdout.read(1)
    return state, _read(process.stdout, size) if state == hashing.DONE else b""


def _read(stream: IO[bytes], size: int) -> bytes:
    """Return ``size`` bytes, or less where the stream ends before."""
    pieces = []
    while size and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # it has nothing to lose
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  # see _take
    process.stdout.close()
    process.stdin.close()
    process.wait()
