"""The CAR files that stores out of pickles go on with, and the stores that go on with a file that was rewritten."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Final, Protocol
from weakref import WeakValueDictionary

from ipld_car import CarFile

from ipld_castore.errors import BackendUnavailableError


class HasFile(Protocol):
    """A store over a CAR file, as this module knows it."""

    _file: CarFile


_written: Final[WeakValueDictionary[str, CarFile]] = WeakValueDictionary()
"""The files that this process writes, by the name that pickles of their stores carry."""
_writers: Final[WeakValueDictionary[int, HasFile]] = WeakValueDictionary()
"""The stores over these files, by identity: several may be equal."""
_read: Final[WeakValueDictionary[str, CarFile]] = WeakValueDictionary()
"""The files that stores out of pickles read."""
_recent: Final[deque[CarFile]] = deque(maxlen=4)
"""The last of these, as a worker gets one pickle after the other, and opening a file may be scanning it."""


def register(store: HasFile, name: str) -> None:
    """Let copies of a store find the file that it writes.

    :param name: what pickles of the store carry
    """
    _written[name] = store._file  # noqa: SLF001  # see the class
    _writers[id(store)] = store


def replace_file(name: str, old: CarFile, new: CarFile) -> None:
    """Switch all stores over a file to the one that takes its place."""
    _written[name] = new  # first: see join()
    for reference in _writers.valuerefs():
        store = reference()
        if store is not None and store._file is old:  # noqa: SLF001  # as above
            store._file = new  # noqa: SLF001


def join(store: HasFile, name: str, path: Path, *, zeros_end: bool, allow_truncated: bool) -> None:
    """Give a store out of a pickle its file: the one that this process writes, else the one at the path."""
    while (file := _written.get(name)) is not None and file.writable:
        store._file = file  # noqa: SLF001  # as above
        _writers[id(store)] = store
        if _written.get(name) is file:  # else it has just been replaced
            return
    store._file = _reading(path, zeros_end=zeros_end, allow_truncated=allow_truncated)  # noqa: SLF001


def _reading(path: Path, *, zeros_end: bool, allow_truncated: bool) -> CarFile:
    """Return the file at a path as it is now, open for reading; one for all copies."""
    try:
        status = path.stat()
        key = f"{status.st_dev} {status.st_ino} {zeros_end} {allow_truncated} {path}"
        file = _read.get(key)
        if file is None:
            file = _read[key] = CarFile.open(
                path, zero_length_section_as_eof=zeros_end, allow_truncated=allow_truncated
            )
            _recent.append(file)
    except OSError as error:
        raise BackendUnavailableError(f"cannot open {path}: {error}") from error
    return file
