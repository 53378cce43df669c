"""The one family of errors that leaves this package."""

from __future__ import annotations

from typing import Self


class CarError(ValueError):
    """Something is wrong with an archive, a block or a CID.

    :param message: what was expected and what was found
    :param offset: bytes from the start of the archive (or of the block, where there is no archive)
    :param block: the number of the block in the archive, the first being 0; None outside any block
    """

    def __init__(self, message: str, *, offset: int | None = None, block: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.block = block

    def at(self, offset: int, block: int | None = None) -> Self:
        """This error with its place, for the caller who knows it; an inner place is kept."""
        if self.offset is None:
            self.offset = offset
        if self.block is None:
            self.block = block
        return self

    def __str__(self) -> str:
        place = []
        if self.block is not None:
            place.append(f"block {self.block}")
        if self.offset is not None:
            place.append(f"offset {self.offset}")
        return f"{self.message} ({', '.join(place)})" if place else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.message, self.offset, self.block)


def _restore(cls: type[CarError], message: str, offset: int | None, block: int | None) -> CarError:
    return cls(message, offset=offset, block=block)


class TruncatedError(CarError):
    """The bytes end in the middle of something."""


class MalformedError(CarError):
    """The bytes are not what the format allows."""


class LimitError(CarError):
    """A declared length, count or depth is over its limit; nothing was allocated for it."""


class HashMismatchError(CarError):
    """A block's bytes do not have the digest that its CID names."""


class UnverifiableError(HashMismatchError):
    """A CID names a hash function that cannot be computed here, so its block cannot be trusted."""


class BlockAbsentError(CarError, KeyError):
    """An archive has no block of this CID."""


class CarWarning(UserWarning):
    """An archive is not as it should be, and what is in it is read all the same."""
