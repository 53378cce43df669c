"""Uploads of blocks: one CAR in a multipart form, sent in pieces and never copied whole."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from io import BytesIO
from typing import Final

from ipld_car import CarWriter, cids, varint

from ipld_castore._core.upload_queue import Pairs
from ipld_castore.errors import BackendUnavailableError

from .rpc import RPC, Body

_PIECE: Final = 1 << 18
"""Small blocks are joined up to so many bytes: a system call for each would take longer than sending it."""

_RAW: Final = bytes((1, cids.RAW))


def _car_header() -> bytes:
    """Return the header of a CAR without roots."""
    stream = BytesIO()
    CarWriter(stream, []).close()
    return stream.getvalue()


_CAR_HEADER: Final = _car_header()


def upload(rpc: RPC, pairs: Pairs) -> None:
    """Send blocks to a node, which hashes each, and return when it has them. Sending them again does no harm.

    :param pairs: binary CIDs and blocks
    :raises BackendUnavailableError: if the node does not say that it has taken all of them
    """
    options = {"pin-roots": "false", "stats": "true", "fast-provide-root": "false"}
    url = rpc.node.url
    stats: object = {}
    with rpc.call("dag/import", options, body=car_body(pairs), long=True) as answer:
        for line in answer.lines():
            stats = line.get("Stats", stats)
            # The call asks for no pin. A node that tries all the same, and fails, answers HTTP 200.
            if "Root" in line and (failed := answer.field(line, "Root", dict).get("PinErrorMsg")):
                raise BackendUnavailableError(f"the IPFS node at {url} could not pin: {str(failed)[:500]}")
    expected = {"BlockCount": len(pairs), "BlockBytesCount": sum(len(data) for _, data in pairs)}
    if stats != expected:
        raise BackendUnavailableError(f"expected the IPFS node at {url} to take {expected}, found {stats}")


def car_body(pairs: Pairs) -> Body:
    """Return a multipart form with a CAR of the blocks.

    The CIDs in the CAR have the codec raw. A node keeps blocks by multihash; blocks of other codecs it would decode,
    and refuse those of a codec that it does not know.

    :param pairs: binary CIDs and blocks
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
    """The bytes of a form, in pieces worth a system call each. They can be iterated more than once."""

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
    """Return the length and the raw CID of a section."""
    raw = _RAW + cids.multihash_of(cid)
    return varint.encode(len(raw) + size) + raw
