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
def _spread(number: int, axes: int) -> int:
    """The bits of a number, ``axes`` places apart. Few numbers stand on an axis, and they come often."""
    return int(("0" * (axes - 1)).join(f"{number:b}"), 2)


@lru_cache(maxsize=1 << 12)
def _all_but_last(above: str, separator: str) -> tuple[int, int]:
    """The number of axes of the keys below ``above``, and their bits but for the last axis. Many keys have the same."""
    numbers = [part for part in above.split(separator) if part not in ("", "c")]
    axes = len(numbers) + 1
    bits = 0
    for axis, number in enumerate(numbers):
        bits |= _spread(int(number) << (0 if axis else _TIME_BITS), axes) << axes - 1 - axis
    return axes, bits


def chunk_code(key: str) -> bytes:
    """The code of a chunk key: number of axes, the interleaved bits of the numbers, the key itself.

    >>> chunk_code("c/1/2").hex()
    '0200000000000000000000000000000024632f312f32'
    """
    separator = "/" if "/" in key else "."
    above, _, last = key.rpartition(separator)
    axes, bits = _all_but_last(above, separator)
    bits |= _spread(int(last) << (0 if axes > 1 else _TIME_BITS), axes)
    return axes.to_bytes(1) + bits.to_bytes(8 * axes) + key.encode()


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
