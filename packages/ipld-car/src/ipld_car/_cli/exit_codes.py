"""How a verb ends when it does not end well."""

from __future__ import annotations

from ipld_car.errors import CarError


class FailedError(CarError):
    """The archive has not what was asked of it."""


class NoEntryError(FailedError):
    """The archive has the folders that a path leads through, and no entry of that name."""


class RefusedError(Exception):
    """What was asked cannot be done, whatever is in the archive; exit code 2."""


def named(source: str, error: CarError) -> CarError:
    """The same error with the name of the archive, where there are several."""
    return type(error)(f"{source}: {error.message}", offset=error.offset, block=error.block)
