"""What leaves the store when data is lost, wrong or out of reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ipld_car import CarError
from ipld_castore import CAStoreError


class IPLDStoreError(RuntimeError):
    """A dataset cannot be read or written as its root says.

    Not a KeyError, OSError or ValueError: zarr and xarray take those for "not there" and "not consolidated",
    and a lost block would turn into missing data without a word.
    """


class NodeError(IPLDStoreError):
    """A block is there, and not what the format allows."""


LOWER_ERRORS = (CAStoreError, CarError, KeyError, OSError, ValueError, TypeError)
"""What the layers below raise when data is lost, wrong or out of reach; a third party's backend may raise builtins."""


def lost(what: str, error: Exception) -> IPLDStoreError:
    """The error to raise for one of the layers below; for where :func:`store_errors` would cost too much."""
    return IPLDStoreError(f"{what}: {error}")


@contextmanager
def store_errors(what: str, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn the errors of the layers below into :class:`IPLDStoreError`, saying what was being done.

    :param what: for example "reading air/c/0/0"
    :param passing: errors that are the caller's own, and stay as they are
    """
    try:
        yield
    except passing:
        raise
    except LOWER_ERRORS as error:
        raise lost(what, error) from error
