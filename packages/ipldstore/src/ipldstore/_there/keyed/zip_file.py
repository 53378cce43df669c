"""Zarr in a zip file of this machine."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from ipldstore._format import keys
from ipldstore._there.folders import is_leftover
from ipldstore._there.model import Source, content

from .source import Reference, source_of

MAGIC = b"PK\x03\x04", b"PK\x05\x06"
"""The first bytes of a zip file, of an empty one the second."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_IS_ENCRYPTED = 1


def zarr_zip(path: str) -> Source:
    """Return a zarr store in a zip file of this machine. Each key is a member; the formats stay what they are.

    The bytes of members that are stored are ranges of the file. Members that are deflated are no bytes of chunks as
    they lie: they are inflated when the source is taken in, one after the other.

    :raises ValueError: if it is no zip file, or a member is encrypted or compressed in another way
    """
    try:
        with ZipFile(path) as archive:
            members = [
                each for each in archive.NameToInfo.values() if not each.is_dir() and not is_leftover(each.filename)
            ]
    except BadZipFile as error:
        raise ValueError(f"expected a zip file, found {path}: {error}") from error
    with open(path, "rb") as file:  # noqa: PTH123  # as it is read at each member

        def read(offset: int, size: int) -> bytes:
            file.seek(offset)
            return file.read(size)

        def items() -> Iterator[tuple[str, Reference]]:
            for member in members:
                offset = _begin_of(path, member, read)
                if member.compress_type == ZIP_DEFLATED:
                    inflate = partial(_inflated, path, member, offset)
                    yield member.filename, content(inflate) if _is_document(member) else inflate
                elif _is_document(member):
                    yield member.filename, _checked(path, member, read(offset, member.file_size))
                else:
                    yield member.filename, (path, offset, member.file_size)

        source = source_of(path, items())
    source.inflated = sum(bool(each.compress_type) and not _is_document(each) for each in members)
    return source


def _is_document(member: ZipInfo) -> bool:
    return member.filename.rpartition("/")[2] in keys.DOCUMENTS


def _begin_of(path: str, member: ZipInfo, read: Callable[[int, int], bytes]) -> int:
    """Return where the bytes of a member begin: behind its own header, whose length the directory does not say.

    :raises ValueError: if there is no header, or the member cannot be read
    """
    if member.flag_bits & _IS_ENCRYPTED or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        how = "encrypted" if member.flag_bits & _IS_ENCRYPTED else f"compressed by method {member.compress_type}"
        raise ValueError(
            f"expected members that are stored or deflated in {path}, found {member.filename!r} {how}: unpack it"
        )
    header = read(member.header_offset, _LOCAL_HEADER.size)
    if len(header) != _LOCAL_HEADER.size or not header.startswith(MAGIC[0]):
        raise ValueError(
            f"expected the member {member.filename!r} at {member.header_offset} of {path}, found no header"
        )
    _, name, extra = _LOCAL_HEADER.unpack(header)
    return member.header_offset + _LOCAL_HEADER.size + int(name) + int(extra)


def _inflated(path: str, member: ZipInfo, offset: int) -> bytes:
    """Return the bytes of a deflated member, as many as the directory says and no more.

    :raises ValueError: if it has other bytes
    """
    with open(path, "rb") as file:  # noqa: PTH123  # at each member
        file.seek(offset)
        packed = file.read(member.compress_size)
    try:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.file_size + 1)
    except zlib.error as error:
        raise ValueError(f"expected deflated bytes of {member.filename!r} at {offset} of {path}: {error}") from error
    return _checked(path, member, data)


def _checked(path: str, member: ZipInfo, data: bytes) -> bytes:
    if len(data) != member.file_size or zlib.crc32(data) != member.CRC:
        raise ValueError(
            f"expected the bytes of {member.filename!r} in {path} that its sum is of, found others: it is damaged"
        )
    return data
