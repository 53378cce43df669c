"""The header of a netCDF-3 file (NetCDF Classic Format Specification: CDF-1, CDF-2 and CDF-5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SIGNATURES: Final = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
_DIMENSIONS: Final = 10
_VARIABLES: Final = 11
_ATTRIBUTES: Final = 12
_TYPES: Final = {
    1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: "u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8",
}  # fmt: skip
"""NumPy's name of each type; those from 7 on are of CDF-5."""
_MAX_AXES: Final = 64


class HeaderCutError(ValueError):
    """The header goes on behind the bytes that are there."""


@dataclass
class Variable:
    """A variable."""

    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    """Its shape; of a variable with records the first number is that of the records."""
    has_records: bool
    attributes: dict[str, Any]
    """Texts as ``str``, numbers as NumPy arrays."""
    kind: np.dtype[Any]
    begin: int
    """Where its bytes begin in the file."""

    @property
    def size(self) -> int:
        """The bytes of the variable, or of one of its records, without padding."""
        size = self.kind.itemsize
        for length in self.shape[self.has_records :]:
            size *= length
        return size


@dataclass
class Header:
    """The contents of a header."""

    attributes: dict[str, Any]
    variables: list[Variable]
    record_size: int
    """The bytes from one record of a variable to its next."""


def parse(data: bytes, file_size: int) -> Header:
    """Return the contents of a header.

    :param data: the first bytes of the file
    :param file_size: its size, by which records are counted where the header does not
    :raises HeaderCutError: if the header goes on behind them
    :raises ValueError: if they are no such header
    """
    return _Parser(data).header(file_size)


class _Parser:
    def __init__(self, data: bytes) -> None:
        if data[:4] not in SIGNATURES:
            raise ValueError(f"expected a netCDF-3 file of version 1, 2 or 5, found {data[:4]!r} at its beginning")
        self._data = data
        self._at = 4
        self._count_bytes = 8 if data[3] == 5 else 4
        self._place_bytes = 4 if data[3] == 1 else 8

    def header(self, file_size: int) -> Header:
        records = self._number(self._count_bytes)
        is_streamed = records == (1 << 8 * self._count_bytes) - 1
        dimensions = [(self._name(), self._count()) for _ in range(self._items(_DIMENSIONS, "dimensions"))]
        attributes = self._attributes()
        found = [
            self._variable(dimensions, 0 if is_streamed else records)
            for _ in range(self._items(_VARIABLES, "variables"))
        ]
        own = [variable for variable in found if variable.has_records]
        # A record of the only variable is not padded (specification, "Note on padding").
        size = own[0].size if len(own) == 1 else sum(_padded(variable.size) for variable in own)
        if is_streamed and size:
            records = max(0, file_size - min(variable.begin for variable in own)) // size
            for variable in own:
                variable.shape = (records, *variable.shape[1:])
        for variable in found:
            _check_end(variable, size, file_size)
        return Header(attributes, found, size)

    def _variable(self, dimensions: list[tuple[str, int]], records: int) -> Variable:
        name, at = self._name(), self._at
        axes = self._count()
        if axes > _MAX_AXES:
            raise ValueError(f"expected at most {_MAX_AXES} dimensions of {name!r}, found {axes} at byte {at}")
        numbers = [self._count() for _ in range(axes)]
        if any(number >= len(dimensions) for number in numbers):
            raise ValueError(f"expected the dimensions of {name!r} below {len(dimensions)}, found {numbers}")
        attributes = self._attributes()
        kind = self._type()
        self._count()  # its size, which the specification does not trust either
        begin = self._number(self._place_bytes)
        own = [dimensions[number] for number in numbers]
        lengths = tuple(length for _, length in own)
        if 0 in lengths[1:]:
            raise ValueError(f"expected the record dimension of {name!r} to be its first, found {lengths}")
        has_records = lengths[:1] == (0,)
        shape = (records, *lengths[1:]) if has_records else lengths
        return Variable(name, tuple(each for each, _ in own), shape, has_records, attributes, kind, begin)

    def _attributes(self) -> dict[str, Any]:
        return {self._name(): self._values() for _ in range(self._items(_ATTRIBUTES, "attributes"))}

    def _values(self) -> Any:
        kind, count = self._type(), self._count()
        data = self._padded_bytes(count * kind.itemsize)
        if kind.kind == "S":
            return data.replace(b"\0", b"").decode(errors="replace")
        values: npt.NDArray[Any] = np.frombuffer(data, kind)
        return values

    def _items(self, tag: int, what: str) -> int:
        at = self._at
        found, count = self._number(4), self._count()
        if found != tag and (found or count):
            raise ValueError(f"expected a list of {what} at byte {at}, found the tag {found}")
        return count

    def _type(self) -> np.dtype[Any]:
        at = self._at
        number = self._number(4)
        if number not in _TYPES:
            raise ValueError(f"expected a type from 1 to 11 at byte {at}, found {number}")
        return np.dtype(_TYPES[number])

    def _name(self) -> str:
        return self._padded_bytes(self._count()).decode()

    def _padded_bytes(self, size: int) -> bytes:
        return self._bytes(_padded(size))[:size]

    def _count(self) -> int:
        return self._number(self._count_bytes)

    def _number(self, size: int) -> int:
        return int.from_bytes(self._bytes(size), "big")

    def _bytes(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise HeaderCutError(f"expected {size} bytes of the header at byte {self._at}, found its end")
        found = self._data[self._at : end]
        self._at = end
        return found


def _check_end(variable: Variable, record_size: int, file_size: int) -> None:
    """Require that the file has all bytes of a variable."""
    records = variable.shape[0] if variable.has_records else 1
    end = variable.begin + (records - 1) * record_size + variable.size
    if records and end > file_size:
        what = f"the {records} records" if variable.has_records else "the bytes"
        raise ValueError(
            f"expected {what} of variable {variable.name!r} up to byte {end}, found {file_size} bytes: the file "
            f"has been truncated"
        )


def _padded(size: int) -> int:
    return -(-size // 4) * 4
