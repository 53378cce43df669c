"""Resolving: what an address names now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
from ipld_castore import resolve_name

from ipldstore._address.grammar import parse
from ipldstore._address.places import NamePath
from ipldstore._cli.options import Opening


class Resolved(NamedTuple):
    """What an address names now."""

    name: str
    resolved: str
    """As ``/ipfs/CID``, with the path that follows it."""
    steps: list[str]
    """Of a name: what each step pointed to."""


def resolve_address(what: str, opening: Opening, asked: Mapping[str, Any]) -> Resolved:
    """Return the CID that an IPNS name or a domain points to, or else that of the root at an address.

    :param asked: which node or gateways to ask, as :func:`ipld_castore.resolve_name` takes them
    """
    place = _name(what)
    if place is None:
        if asked:
            raise click.UsageError(f"expected --node and --gateway with a name, found {what!r}, which is none")
        with opening.store(what) as store:
            return Resolved(what, f"/ipfs/{store.root_cid}", [])
    options = {**(opening.place().get("storage_options") or {}), **asked}
    found = resolve_name(place.name, **options)
    return Resolved(place.name, "/".join(("/ipfs", str(found.cid), *found.path, *place.path)), list(found.steps))


def _name(what: str) -> NamePath | None:
    """Return the name that an address is; None if it is the address of something else.

    A text that could be a path is a name where nothing is at that path.
    """
    place = parse(what).place
    if isinstance(place, Path) and not place.exists() and place.suffix.lower() != ".car":
        place = parse(f"ipns://{what.strip('/')}").place
    return place if isinstance(place, NamePath) else None
