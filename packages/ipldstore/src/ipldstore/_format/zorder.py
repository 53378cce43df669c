"""The order of an index: a code for each key (format, section 4).

Codes are byte strings without NUL at the end. As bit strings they are padded with zero bits, which
for such strings is the same order as comparing them byte by byte.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_TIME_BITS: Final = 2
"""Axis 0 is multiplied by 4, so that leaves are longer in time than in space."""


def name_code(name: str) -> bytes:
    """The code of a name in the name index: its UTF-8."""
    return name.encode()


@lru_cache(maxsize=1 << 16)
def _bits(number: str, axis: int, axes: int) -> int:
    """The bits of the number on an axis, ``axes`` places apart. Few numbers stand on an axis, and they come often."""
    digits = f"{int(number) << (0 if axis else _TIME_BITS):b}"
    # As digits of another base they are that far apart. int() knows bases up to 36, and is much the faster.
    apart = int(digits, 1 << axes) if axes <= 5 else int(("0" * (axes - 1)).join(digits), 2)
    return apart << axes - 1 - axis


@lru_cache(maxsize=1 << 12)
def _all_but_last(above: str, separator: str) -> tuple[int, int]:
    """What keys below ``above`` have in common: how many axes, and a code without the last of them. Many have it."""
    numbers = above.split(separator)
    if numbers[0] in ("", "c"):
        del numbers[0]
    axes = len(numbers) + 1
    code = axes << 64 * axes
    for axis, number in enumerate(numbers):
        code |= _bits(number, axis, axes)
    return axes, code


def chunk_code(key: str) -> bytes:
    """The code of a chunk key: number of axes, the interleaved bits of the numbers, the key itself.

    >>> chunk_code("c/1/2").hex()
    '0200000000000000000000000000000024632f312f32'
    """
    separator = "/" if "/" in key else "."
    above, _, last = key.rpartition(separator)
    axes, code = _all_but_last(above, separator)
    return (code | _bits(last, axes - 1, axes)).to_bytes(1 + 8 * axes) + key.encode()


def highest_difference(low: bytes, high: bytes) -> int:
    """The place of the highest bit in which two different codes differ, counted from the first bit on."""
    size = max(len(low), len(high))
    difference = int.from_bytes(low.ljust(size, b"\0")) ^ int.from_bytes(high.ljust(size, b"\0"))
    return 8 * size - difference.bit_length()


def has_bit(code: bytes, place: int) -> bool:
    """Whether the bit at a place of a code is set; behind its end all are zero."""
    index = place >> 3
    return index < len(code) and bool(code[index] >> (7 - (place & 7)) & 1)


def _boundary(high: bytes, place: int) -> bytes:
    """The smallest code that agrees with ``high`` up to and with the bit at ``place``, which is set in it."""
    index = place >> 3
    return high[:index] + bytes([high[index] & 0xFF << 7 - (place & 7)])


def split(codes: Sequence[bytes], counts: Sequence[int], cap: int) -> list[tuple[int, int]]:
    """Divide sorted items into the largest aligned intervals that hold at most ``cap``; the rule of the format.

    :param codes: the code of each item, or of the first key of each item that stands for several
    :param counts: how many all items before this one hold, and at the end how many there are
    :param cap: how many an interval may hold; a single item is never divided
    :return: start and stop of each interval, in order
    """
    found: list[tuple[int, int]] = []
    todo = [(0, len(codes))] if codes else []
    while todo:
        start, stop = todo.pop()
        if counts[stop] - counts[start] <= cap or stop - start == 1:
            found.append((start, stop))
            continue
        place = highest_difference(codes[start], codes[stop - 1])
        middle = bisect_left(codes, _boundary(codes[stop - 1], place), start, stop)
        todo += [(middle, stop), (start, middle)]
    return found
