"""Members of zip files that are stored as they are, read and written in few calls of the system.

zipfile makes nine calls to read a member, and six to write one, as it writes the header twice. At each of them two
threads of Python may wait for each other.
"""

from __future__ import annotations

import os
import struct
import time
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, Final

_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
"""What stands before each member of a zip file: a signature, and the lengths of the name and of more that follow."""
_MODE: Final = 0o644 << 16
"""The permissions of a member, as ZipStore of zarr sets them."""
_OF_STORE: Final = ("_zf", "_lock", "_set", "compression")
"""What is used of a ZipStore of zarr beside its public methods."""
_OF_ARCHIVE: Final = ("fp", "start_dir", "filelist", "NameToInfo", "_didModify")
"""What is used of a zipfile.ZipFile beside its public methods."""


def are_reachable(store: Any) -> bool:
    """Return whether members can be read and written here: another version of zarr or Python may name parts otherwise.

    :param store: a ZipStore of zarr that is open
    """
    return all(hasattr(store, name) for name in _OF_STORE) and all(hasattr(store._zf, name) for name in _OF_ARCHIVE)  # noqa: SLF001  # see above


def stored(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    """Return a member that is stored as it is, read in two calls of the system.

    :return: the bytes, which their checksum tells to be right; None where zipfile has to read the member, or to say
        what is wrong with it
    """
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 or not hasattr(os, "pread"):
        return None
    try:
        handle = archive.fp.fileno()  # type: ignore[union-attr]  # an archive that is open has a file
    except (AttributeError, OSError):  # it is closed, or in memory
        return None
    head = os.pread(handle, _LOCAL_HEADER.size, member.header_offset)
    if len(head) < _LOCAL_HEADER.size:
        return None
    signature, name, more = _LOCAL_HEADER.unpack(head)
    data = os.pread(handle, member.file_size, member.header_offset + _LOCAL_HEADER.size + name + more)
    is_right = signature == b"PK\x03\x04" and len(data) == member.file_size and zlib.crc32(data) == member.CRC
    return data if is_right else None


def member(name: str, data: bytes) -> zipfile.ZipInfo:
    """Return a new member that is stored, with its checksum."""
    made = zipfile.ZipInfo(name, time.localtime()[:6])
    made.external_attr = _MODE
    made.file_size = made.compress_size = len(data)
    made.CRC = zlib.crc32(data)
    return made


def append(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], values: Sequence[bytes]) -> None:
    """Write new members behind the last one, with their values. After an error, others are written in their place.

    One thread does so at a time.
    """
    file = archive.fp
    assert file is not None  # noqa: S101  # see the caller
    place = archive.start_dir
    file.seek(place)
    for each, data in zip(members, values, strict=True):
        each.header_offset = place
        head = each.FileHeader()
        file.write(head)
        file.write(data)
        place += len(head) + len(data)
    archive._didModify = True  # type: ignore[attr-defined]  # noqa: SLF001  # else the archive gets no directory
    archive.start_dir = place
    archive.filelist += members
    archive.NameToInfo.update((each.filename, each) for each in members)
