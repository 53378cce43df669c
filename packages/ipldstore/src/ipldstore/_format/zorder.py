"""The Z-order of an index: a code for each key, and the split of sorted codes (format, section 4).

A code is a byte string that does not end in NUL. As a bit string it is padded with zero bits; for such strings that is
the order of comparing byte by byte.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

TIME_BITS: Final = 2
"""Bits that the number of axis 0 is shifted by, so that leaves are longer in time than in space."""


def name_code(name: str) -> bytes:
    """Return the code of a name in a name index: its UTF-8."""
    return name.encode()


@lru_cache(maxsize=1 << 16)
def _bits(number: str, axis: int, axes: int) -> int:
    """Return the bits of a number of one axis, ``axes`` bits apart. An axis has few numbers, each in many keys."""
    digits = f"{int(number) << (0 if axis else TIME_BITS):b}"
    # Read as digits of base 2**axes, binary digits are that far apart. int() takes bases up to 36, and is much faster.
    spread = int(digits, 1 << axes) if axes <= 5 else int(("0" * (axes - 1)).join(digits), 2)
    return spread << axes - 1 - axis


@lru_cache(maxsize=1 << 12)
def _all_but_last(above: str, separator: str) -> tuple[int, int]:
    """Return the number of axes and the code without the last axis, which all keys with the same beginning share."""
    numbers = above.split(separator)
    if numbers[0] in ("", "c"):
        del numbers[0]
    axes = len(numbers) + 1
    code = axes << 64 * axes
    for axis, number in enumerate(numbers):
        code |= _bits(number, axis, axes)
    return axes, code


def chunk_code(key: str) -> bytes:
    """Return the code of a chunk key: the number of axes, the interleaved bits of the numbers, and the key itself.

    >>> chunk_code("c/1/2").hex()
    '0200000000000000000000000000000024632f312f32'
    """
    separator = "/" if "/" in key else "."
    above, _, last = key.rpartition(separator)
    axes, code = _all_but_last(above, separator)
    return (code | _bits(last, axes - 1, axes)).to_bytes(1 + 8 * axes) + key.encode()


def highest_difference(low: bytes, high: bytes) -> int:
    """Return the position of the first bit in which two different codes differ, counted from the first bit on."""
    size = max(len(low), len(high))
    difference = int.from_bytes(low.ljust(size, b"\0")) ^ int.from_bytes(high.ljust(size, b"\0"))
    return 8 * size - difference.bit_length()


def has_bit(code: bytes, position: int) -> bool:
    """Return whether the bit at a position of a code is set; behind its end all bits are zero."""
    index = position >> 3
    return index < len(code) and bool(code[index] >> (7 - (position & 7)) & 1)


def _boundary(high: bytes, position: int) -> bytes:
    """Return the smallest code with the bits of ``high`` up to the bit at ``position``, which is set, inclusive."""
    index = position >> 3
    return high[:index] + bytes([high[index] & 0xFF << 7 - (position & 7)])


def split(codes: Sequence[bytes], counts: Sequence[int], cap: int) -> list[tuple[int, int]]:
    """Split sorted items into the largest aligned intervals with at most ``cap`` keys (format, section 4).

    :param codes: the code of each item, or of the first key of an item that stands for several keys
    :param counts: the number of keys before each item, and at the end the number of all keys
    :param cap: most keys of an interval; a single item is never split
    :return: start and stop of each interval, in order
    """
    found: list[tuple[int, int]] = []
    todo = [(0, len(codes))] if codes else []
    while todo:
        start, stop = todo.pop()
        if counts[stop] - counts[start] <= cap or stop - start == 1:
            found.append((start, stop))
            continue
        position = highest_difference(codes[start], codes[stop - 1])
        middle = bisect_left(codes, _boundary(codes[stop - 1], position), start, stop)
        todo += [(middle, stop), (start, middle)]
    return found
