"""The CAR files that stores out of pickles go on with."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from ipld_car import CarFile

from ipld_castore.errors import BackendUnavailableError

WRITTEN: Final[WeakValueDictionary[str, CarFile]] = WeakValueDictionary()
"""The files that this process writes, by the name that pickles of their stores carry."""
_read: Final[WeakValueDictionary[str, CarFile]] = WeakValueDictionary()
"""The files that stores out of pickles read."""
_recent: Final[deque[CarFile]] = deque(maxlen=4)
"""The last of these, as a worker gets one pickle after the other, and opening a file may be scanning it."""


def reading(path: Path, *, zeros_end: bool, allow_truncated: bool) -> CarFile:
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
