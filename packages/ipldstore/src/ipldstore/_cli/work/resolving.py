"""Resolving: what an address names now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from ipld_car import cids
from ipld_castore import resolve_name

from ipldstore._address.grammar import parse
from ipldstore._address.places import ContentPath, NamePath
from ipldstore._cli.options import Opening

_LIBP2P_KEY: Final = 0x72
"""The codec of CIDs of keys: https://github.com/multiformats/multicodec/blob/master/table.csv."""


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

    A text that could be a path is a name where nothing is at that path. The CID of a key alone, ``k51...``, is a name.
    """
    place = parse(what).place
    if isinstance(place, Path):
        is_name = not place.exists() and place.suffix.lower() != ".car"
    else:  # /ipfs/CID says that it is none
        is_key = isinstance(place, ContentPath) and cids.codec_of(bytes(place.cid)) == _LIBP2P_KEY
        is_name = is_key and not what.startswith(("/", "ipfs:"))
    if is_name:
        place = parse(f"ipns://{what.strip('/')}").place
    return place if isinstance(place, NamePath) else None
