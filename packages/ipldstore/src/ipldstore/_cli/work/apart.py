"""Two addresses of one command that must name two places."""

from __future__ import annotations

from pathlib import Path

import click

from ipldstore._address.grammar import parse
from ipldstore._address.places import ArchiveURL, Place


def require_apart(what: str, other: str) -> None:
    """Require that two addresses name two places, by whatever spelling or link.

    :raises click.UsageError: if they name one
    """
    if _is_one(_place(what), _place(other)):
        raise click.UsageError(f"expected two places, found {what!r} and {other!r}, which are one")


def _place(what: str) -> Place:
    try:
        return parse(what).place
    except ValueError:  # such as zarr's
        return Path(what)


def _is_one(one: Place, other: Place) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.exists() and other.exists() and one.samefile(other)
    if isinstance(one, ArchiveURL) and isinstance(other, ArchiveURL):
        return one.url == other.url
    return one == other
