"""Where verbs read from and write to: files, or standard input and output for ``-``."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO

from .exit_codes import RefusedError
from .progress import progress

STANDARD = "-"
_COPY_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""What only writing ends with."""


@contextmanager
def reading(path: str) -> Iterator[IO[bytes]]:
    """A file, or standard input, to be read once from start to end."""
    if path == STANDARD:
        yield sys.stdin.buffer
    else:
        with Path(path).open("rb") as file:
            yield file


@contextmanager
def on_disk(path: str) -> Iterator[Path]:
    """A file that can be read anywhere: what comes through a pipe is kept in a temporary one meanwhile."""
    if path != STANDARD and not _is_stream(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="ipld-car-") as folder:
        kept = Path(folder, "input")
        with reading(path) as stream, kept.open("xb") as file, progress("reading") as bar:
            while piece := stream.read(_COPY_BYTES):
                file.write(piece)
                bar.advance(len(piece))
        yield kept


@contextmanager
def mapped_file(path: str) -> Iterator[tuple[Path, mmap | bytes]]:
    """A file, or what standard input gives kept in one, and its bytes, which are read when they are asked for."""
    with on_disk(path) as name, name.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:  # which cannot be mapped
            yield name, b""
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as view:
            yield name, view


@contextmanager
def writing(path: str, *, seekable: bool = False) -> Iterator[IO[bytes]]:
    """A file to write, or standard output; a file gets its name when all is written, and is not there if it fails.

    :param seekable: go back in it, too: what goes to a pipe is kept in a temporary file until it is whole
    """
    if path == STANDARD or _is_stream(path):
        with _stream_out(path) as stream:
            if not seekable:
                yield stream
            else:
                with tempfile.TemporaryFile(prefix="ipld-car-") as file:
                    yield file
                    file.seek(0)
                    shutil.copyfileobj(file, stream, _COPY_BYTES)
            stream.flush()
        return
    target = Path(os.path.realpath(path))  # a link stays, and what it names is replaced
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    unfinished = target.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.unfinished")
    try:
        with unfinished.open("xb") as file:
            yield file
        if target.exists():
            shutil.copymode(target, unfinished)
        unfinished.replace(target)
    except OSError as error:
        if error.filename == str(unfinished) or error.errno in _NO_ROOM:  # the name that people know
            error.filename, error.filename2 = path, None
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def stat_of_output(path: str) -> os.stat_result | None:
    """What is in the place that a verb will write to; None if nothing is."""
    try:
        return os.fstat(sys.stdout.fileno()) if path == STANDARD else Path(path).stat()
    except FileNotFoundError:
        return None


def not_over(output: str, *inputs: str) -> None:
    """Refuse to write what does not hold all of an input over it; archives of archives may take their places.

    :raises RefusedError: if the output is one of the inputs, by whatever name
    """
    there = None if output == STANDARD else stat_of_output(output)
    for path in inputs:
        if there and path != STANDARD and os.path.samestat(Path(path).stat(), there):
            raise RefusedError(f"{output} is read, so nothing is written over it: name another output")


@contextmanager
def _stream_out(path: str) -> Iterator[IO[bytes]]:
    if path == STANDARD:
        yield sys.stdout.buffer
    else:
        with Path(path).open("wb") as file:
            yield file


def _is_stream(path: str) -> bool:
    """Whether this is a pipe or a device."""
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
