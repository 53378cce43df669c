"""Codes, digits and order of many chunks at once (format, section 4), in numpy."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ipldstore._format.zorder import TIME_BITS

Numbers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

_WORD_BITS: Final = 64
_SIDES: Final[tuple[Literal["left"], Literal["right"]]] = ("left", "right")


class AxisTable(NamedTuple):
    """What is computed of the numbers of one axis, once for each number that occurs."""

    numbers: Numbers
    """The numbers, ascending."""
    at: Numbers
    """For each chunk the position of its number."""

    @classmethod
    def of(cls, column: Numbers) -> AxisTable:
        """Return the table of one column of coordinates, which is not empty."""
        most = int(column.max())
        if most <= 4 * len(column) + 1024:
            return cls(np.arange(most + 1), column)
        numbers, at = np.unique(column, return_inverse=True)
        return cls(numbers, at)


def codes_of(coordinates: Numbers) -> list[Words]:
    """Return the interleaved bits of coordinates, as words of 64 bits, the least significant word first."""
    count, axes = coordinates.shape
    columns = [AxisTable.of(coordinates[:, axis]) for axis in range(axes)]
    shifts = [TIME_BITS if axis == 0 else 0 for axis in range(axes)]
    bits = max(int(table.numbers[-1]).bit_length() + shift for table, shift in zip(columns, shifts, strict=True))
    words = [np.zeros(count, np.uint64) for _ in range(-(-bits * axes // _WORD_BITS))]
    for axis, (table, shift) in enumerate(zip(columns, shifts, strict=True)):
        spread = [np.zeros(len(table.numbers), np.uint64) for _ in words]
        numbers = table.numbers.astype(np.uint64) << np.uint64(shift)
        for bit in range(bits):
            word, position = divmod(bit * axes + axes - 1 - axis, _WORD_BITS)
            spread[word] |= (numbers >> np.uint64(bit) & np.uint64(1)) << np.uint64(position)
        for number, own in enumerate(spread):
            if own.any():
                words[number] |= own[table.at]
    return words


def integers_of(words: list[Words]) -> list[int]:
    """Return codes as integers, for few of them."""
    found: list[int] = words[0].tolist()
    for number, word in enumerate(words[1:], 1):
        found = [low | high << _WORD_BITS * number for low, high in zip(found, word.tolist(), strict=True)]
    return found


def order_of(words: list[Words]) -> npt.NDArray[np.intp]:
    """Return the stable order of codes."""
    return np.argsort(words[0], kind="stable") if len(words) == 1 else np.lexsort(words)


class Codes:
    """Sorted codes, one for each item of a split.

    :param words: as :func:`codes_of` returns them
    """

    def __init__(self, words: list[Words]) -> None:
        self._words = words

    def __len__(self) -> int:
        return len(self._words[0])

    def __getitem__(self, at: int) -> int:
        return sum(int(word[at]) << _WORD_BITS * number for number, word in enumerate(self._words))

    def first_from(self, code: int, start: int = 0, stop: int | None = None) -> int:
        """Return the position of the first item with at least a code."""
        low, high = start, len(self) if stop is None else stop
        if code >> _WORD_BITS * len(self._words):
            return high
        for number in range(len(self._words) - 1, -1, -1):  # from the most significant word on
            wanted = np.uint64(code >> _WORD_BITS * number & 0xFFFF_FFFF_FFFF_FFFF)
            left, right = (low + int(np.searchsorted(self._words[number][low:high], wanted, side)) for side in _SIDES)
            low, high = left, right
            if left == right:
                break
        return low

    def all_first_from(self, codes: list[int]) -> list[int]:
        """Return for each of many codes what :meth:`first_from` does."""
        if len(self._words) > 1 or any(code >> _WORD_BITS for code in codes):
            return [self.first_from(code) for code in codes]
        found: list[int] = np.searchsorted(self._words[0], np.array(codes, np.uint64)).tolist()
        return found


def boundary(low: int, high: int) -> int:
    """Return the smallest code with the bits of ``high`` down to the highest in which ``low`` differs from it."""
    bit = (low ^ high).bit_length() - 1
    return high >> bit << bit


def split_codes(codes: Codes, counts: npt.NDArray[Any], cap: int) -> list[tuple[int, int]]:
    """Split sorted items as :func:`~ipldstore._format.zorder.split` does.

    :param counts: the number of keys before each item, and at the end the number of all keys
    """
    found: list[tuple[int, int]] = []
    todo = [(0, len(codes))] if len(codes) else []
    while todo:
        start, stop = todo.pop()
        if counts[stop] - counts[start] <= cap or stop - start == 1:
            found.append((start, stop))
            continue
        middle = codes.first_from(boundary(codes[start], codes[stop - 1]), start, stop)
        todo += [(middle, stop), (start, middle)]
    return found


class Digits(NamedTuple):
    """Decimal digits of the numbers of one axis."""

    matrix: Bytes
    """For each chunk its number in ASCII, right-aligned."""
    length: Numbers
    """For each chunk the number of its digits."""


def digits_of(table: AxisTable) -> Digits:
    """Return the digits of the numbers of one axis, for each chunk."""
    most = len(str(int(table.numbers[-1])))
    matrix = np.empty((len(table.numbers), most), np.uint8)
    rest = table.numbers.copy()
    for position in range(most - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        matrix[:, position] = digit + ord("0")
    powers = 10 ** np.arange(1, most, dtype=np.int64)
    length = np.searchsorted(powers, table.numbers, "right") + 1
    return Digits(matrix[table.at], length[table.at])


def text_rank(table: AxisTable) -> Numbers:
    """Return for each chunk the rank of its number among the numbers of the axis, compared as texts."""
    order = np.argsort(table.numbers.astype(np.bytes_), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[table.at]


def combined_order(keys: list[Numbers]) -> npt.NDArray[np.intp]:
    """Return the order by several keys, the first of them the most significant; all are 0 or more."""
    sizes = [int(key.max()) + 1 for key in keys]
    product = 1
    for size in sizes:
        product *= size
    if product >= 1 << 63:
        return np.lexsort(keys[::-1])
    one = np.zeros(len(keys[0]), np.int64)
    for key, size in zip(keys, sizes, strict=True):
        one *= size
        one += key
    return np.argsort(one, kind="stable")
