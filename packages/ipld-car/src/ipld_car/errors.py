"""The errors and warnings of this package: :class:`CarError` and its children."""

from __future__ import annotations

import os
from typing import Self, TypeVar

__all__ = [
    "BlockAbsentError",
    "CarError",
    "CarWarning",
    "HashMismatchError",
    "LimitError",
    "MalformedError",
    "TruncatedError",
    "UnverifiableError",
    "without_frames",
]

_E = TypeVar("_E", bound=Exception)


class CarError(ValueError):
    """An archive, a block or a CID is not as it must be.

    :param message: what was expected and what was found
    :param offset: bytes from the start of the archive (or of the block, where there is no archive)
    :param block: the number of the block in the archive, the first being 0; None outside any block
    :param path: the file of the archive; None for a stream, or bytes
    """

    def __init__(
        self, message: str, *, offset: int | None = None, block: int | None = None, path: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.block = block
        self.path = path

    def at(self, offset: int, block: int | None = None) -> Self:
        """Add the place of the error where it has none yet; return the error."""
        if self.offset is None:
            self.offset = offset
        if self.block is None:
            self.block = block
        return self

    def of_file(self, path: str | os.PathLike[str]) -> Self:
        """Add the file of the archive where it is not named yet; return the error."""
        if self.path is None and os.fspath(path) not in self.message:
            self.path = os.fspath(path)
        return self

    def __str__(self) -> str:
        place = []
        if self.block is not None:
            place.append(f"block {self.block}")
        if self.offset is not None:
            place.append(f"offset {self.offset}")
        text = f"{self.message} ({', '.join(place)})" if place else self.message
        return text if self.path is None else f"{self.path}: {text}"

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.message, self.offset, self.block, self.path)


def _restore(
    cls: type[CarError], message: str, offset: int | None, block: int | None, path: str | None = None
) -> CarError:
    return cls(message, offset=offset, block=block, path=path)


class TruncatedError(CarError):
    """The bytes end too early, in the middle of an item."""


class MalformedError(CarError):
    """The bytes break a rule of their format."""


class LimitError(CarError):
    """A declared length, count or depth exceeds its limit. Nothing was allocated for it."""


class HashMismatchError(CarError):
    """The bytes of a block do not have the digest in its CID."""


class UnverifiableError(HashMismatchError):
    """The hash function of a CID is not available, so its block cannot be verified."""


class BlockAbsentError(CarError, KeyError):
    """An archive has no block with this CID."""


class CarWarning(UserWarning):
    """An archive has a fault that does not keep its blocks from being read."""


def without_frames(error: _E) -> _E:
    """Return an error of the same class, with the same arguments and attributes, that was not raised.

    For an error that an object keeps. An error that was raised holds the frames that it went through, and these hold
    the object: nothing in such a cycle is freed before the garbage collector runs.
    """
    kind = type(error)
    made = kind.__new__(kind, *error.args)  # not the constructor, which may take other arguments
    made.args = error.args
    vars(made).update(vars(error))
    return made
