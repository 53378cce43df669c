"""How a verb ends when it does not end well."""

from __future__ import annotations

from ipld_car._errors import CarError


class FailedError(CarError):
    """The archive has not what was asked of it."""


class RefusedError(Exception):
    """What was asked cannot be done, whatever is in the archive; exit code 2."""
