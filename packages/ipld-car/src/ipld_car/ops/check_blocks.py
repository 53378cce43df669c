"""Verify blocks where they lie in memory: the hot loop of :func:`~ipld_car.ops.verify`."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from mmap import mmap
from typing import Any, Final, NamedTuple

from multiformats import CID

from ipld_car import cids
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car._file.scan import check_length, cid_at, length_at
from ipld_car._graph.walk import KNOWN_CODECS, binary_links
from ipld_car.errors import CarError, HashMismatchError, UnverifiableError, without_frames
from ipld_car.hashes import verify_digest

Buffer = bytes | mmap

OK: Final = "ok"
MISMATCH: Final = "mismatch"
UNVERIFIABLE: Final = "unverifiable"
UNDECODABLE: Final = "undecodable"

_HEAD: Final = 3 + cids.CIDV1_SHA256_SIZE


class Verdict(NamedTuple):
    """The verdict of :func:`~ipld_car.ops.verify` on a block."""

    number: int
    """Which of the blocks it is, the first being 0."""
    offset: int
    """Where its section begins."""
    size: int
    """Bytes of the block."""
    cid_bytes: bytes
    """The binary CID."""
    verdict: str
    """``ok``, ``mismatch``, ``unverifiable`` (the hash function is not known here) or ``undecodable`` (its links
    cannot be read)."""
    detail: str = ""

    @property
    def cid(self) -> CID:
        """The CID of the block."""
        return cids.from_validated(self.cid_bytes)


@dataclass
class Part:
    """The results for the sections between two positions."""

    start: int
    end: int
    """Behind the last whole section."""
    cids: list[bytes] = field(default_factory=list)
    links: set[bytes] = field(default_factory=set)
    not_followed: Counter[int] = field(default_factory=Counter)
    """Blocks by codec, of those whose links are not known here."""
    bad: list[Verdict] = field(default_factory=list)
    """The bad blocks, numbered from the start of the part."""
    sizes: list[tuple[int, int]] | None = None
    """Position of each section and bytes of its block, where the caller asks for them."""
    error: CarError | None = None
    """Why nothing can be read behind ``end``, if it is not the end of the archive."""
    is_last: bool = False
    """Whether a section of length zero ends the archive at ``end``."""

    def __getstate__(self) -> dict[str, Any]:
        """For another process: usual CIDs as one string of bytes, for to pickle each costs as much as to hash it."""
        odd = {number: cid for number, cid in enumerate(self.cids) if len(cid) != cids.CIDV1_SHA256_SIZE}
        same = self.cids if not odd else [cid for cid in self.cids if len(cid) == cids.CIDV1_SHA256_SIZE]
        return {**self.__dict__, "cids": (b"".join(same), odd)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        joined, odd = state["cids"]
        # Five times as fast as slices. An object of its own, for the module keeps those it makes.
        found = list(
            struct.Struct(f"{cids.CIDV1_SHA256_SIZE}s" * (len(joined) // cids.CIDV1_SHA256_SIZE)).unpack(joined)
        )
        for number, cid in odd.items():  # in their order
            found.insert(number, cid)
        self.__dict__.update(state, cids=found)


def check_part(
    buffer: Buffer, start: int, limit: int, stop: int, *, sizes: bool = False, zero_is_end: bool = False
) -> Part:
    """Verify the blocks whose sections begin from ``start`` to before ``limit``; no section may go behind ``stop``.

    Each block is hashed where it lies, and gives its links if it is what its CID says.

    :param sizes: note where each section is
    :param zero_is_end: take a section of length zero for the end of the archive
    """
    part = Part(start, start, sizes=[] if sizes else None)
    usual, add = cids.CIDV1_SHA256_PREFIXES, part.cids.append
    position = start
    with memoryview(buffer) as view:
        try:
            while position < limit:
                head = buffer[position : position + _HEAD]
                # Lengths of one or two bytes; with them, the CID that nearly all blocks have.
                first, second = head[0], head[1] if len(head) == _HEAD else 0
                if first < 0x80:
                    size, width = first, 1
                elif 0 < second < 0x80:
                    size, width = first & 0x7F | second << 7, 2
                else:
                    size, width = length_at(buffer, position, stop)
                split = position + width + 36
                end = position + width + size
                cid = head[width : width + 36]
                if size >= 36 and cid[:4] in usual and end <= stop and size <= MAX_SECTION_BYTES and len(cid) == 36:
                    if not cid.endswith(sha256(view[split:end]).digest()):
                        _check(part, position, cid, bytes(view[split:end]))
                    elif cid[1] != 0x55:
                        _add_links(part, position, cid, bytes(view[split:end]))
                else:
                    if not size and zero_is_end:
                        part.is_last = True
                        break
                    check_length(size, stop - position - width)
                    cid = cid_at(buffer, position + width, size)
                    split = position + width + len(cid)
                    _check(part, position, cid, bytes(view[split:end]))
                add(cid)
                if part.sizes is not None:
                    part.sizes.append((position, end - split))
                position = end
        except CarError as error:
            part.error = without_frames(error.at(position))
    part.end = position
    return part


def _check(part: Part, position: int, cid: bytes, data: bytes) -> None:
    """Verify a block with a CID of any form, and note its links."""
    try:
        verify_digest(cid, data)
    except HashMismatchError as error:
        verdict = UNVERIFIABLE if isinstance(error, UnverifiableError) else MISMATCH
        part.bad.append(Verdict(len(part.cids), position, len(data), cid, verdict, error.message))
        return
    codec = cids.codec_of(cid)
    if codec in KNOWN_CODECS:
        _add_links(part, position, cid, data)
    else:
        part.not_followed[codec] += 1


def _add_links(part: Part, position: int, cid: bytes, data: bytes) -> None:
    try:
        part.links.update(binary_links(cid, data))
    except CarError as error:
        part.bad.append(Verdict(len(part.cids), position, len(data), cid, UNDECODABLE, str(error)))
