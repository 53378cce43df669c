"""Unsigned varints: LEB128 in minimal form, of at most 9 bytes.

Source: https://github.com/multiformats/unsigned-varint.
"""

from __future__ import annotations

from .errors import MalformedError, TruncatedError

__all__ = ["MAX_BYTES", "decode", "encode"]

MAX_BYTES = 9


def encode(value: int) -> bytes:
    """Return the varint of an integer.

    :raises ValueError: if the value is negative or needs more than 9 bytes

    >>> encode(300).hex()
    'ac02'
    """
    if not 0 <= value < 1 << 63:
        raise ValueError(f"expected an integer from 0 to 2^63 - 1, found {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: bytes, start: int = 0, stop: int | None = None) -> tuple[int, int]:
    """Return the integer of the varint at ``start``, and the position after the varint.

    :param stop: the end of what may be read, by default the end of ``data``
    :raises TruncatedError: if the bytes end inside the varint
    :raises MalformedError: if the varint is longer than 9 bytes or not minimal

    >>> decode(bytes.fromhex("ac02ff"))
    (300, 2)
    """
    end = len(data) if stop is None else stop
    value = 0
    for index in range(MAX_BYTES):
        position = start + index
        if position >= end:
            raise TruncatedError(f"expected a varint, found its first {index} bytes and then the end")
        byte = data[position]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if byte == 0 and index:
                raise MalformedError(f"expected a minimal varint, found {value} written in {index + 1} bytes")
            return value, position + 1
    raise MalformedError(f"expected a varint of at most {MAX_BYTES} bytes, found a longer one")
