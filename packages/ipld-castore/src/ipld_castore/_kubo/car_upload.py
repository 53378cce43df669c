"""Blocks as the body of a call: one CAR in a multipart form, never copied whole."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

from ipld_car import CarWriter, cids, varint

from .rpc import Body
from .upload_queue import Pairs

_PIECE: Final = 1 << 18
"""Small blocks are joined up to so many bytes: a system call for each would take longer than the sending."""

_RAW: Final = bytes((1, cids.RAW))


class _Header:
    """Takes what a CarWriter writes first."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data


def _car_header() -> bytes:
    """The header of a CAR that is no graph: it has no roots."""
    taken = _Header()
    CarWriter(taken, []).close()
    return taken.data


_CAR_HEADER: Final = _car_header()


def car_body(pairs: Pairs) -> Body:
    """A multipart form with a CAR of these blocks.

    Sections say raw, whatever the codec: a node keeps blocks by multihash, and would take those of other codecs apart
    only to find that it does not know one.
    """
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="blocks.car"\r\n'
        f"Content-Type: application/vnd.ipld.car\r\n\r\n"
    ).encode() + _CAR_HEADER
    tail = f"\r\n--{boundary}--\r\n".encode()
    sections = [(_section_head(cid, len(data)), data) for cid, data in pairs]
    size = len(head) + sum(len(start) + len(data) for start, data in sections) + len(tail)
    return Body(_Pieces(head, sections, tail), size, f"multipart/form-data; boundary={boundary}")


class _Pieces:
    """The bytes of a form, in pieces that are worth a system call; they can be gone through again."""

    def __init__(self, head: bytes, sections: Pairs, tail: bytes) -> None:
        self._head = head
        self._sections = sections
        self._tail = tail

    def __iter__(self) -> Iterator[bytes]:
        small, size = [self._head], len(self._head)
        for head, data in self._sections:
            small.append(head)
            if len(data) >= _PIECE:
                yield b"".join(small)
                yield data
                small, size = [], 0
                continue
            small.append(data)
            size += len(head) + len(data)
            if size >= _PIECE:
                yield b"".join(small)
                small, size = [], 0
        small.append(self._tail)
        yield b"".join(small)


def _section_head(cid: bytes, size: int) -> bytes:
    """Length and raw CID of a section."""
    raw = _RAW + cids.multihash_of(cid)
    return varint.encode(len(raw) + size) + raw
