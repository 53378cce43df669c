"""The block store and the root behind ``ipfs://``, ``ipns://`` and URLs of gateways."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from ipld_car.messages import Message, Term
from ipld_castore import ContentAddressableStore
from multiformats import CID

from ipldstore.errors import store_errors

from .places import ContentPath, NamePath

_logger = logging.getLogger("ipldstore")


class Content(NamedTuple):
    """What an address of content names."""

    castore: ContentAddressableStore
    root: CID
    path: tuple[str, ...]
    """The names below the root."""
    resolved: str | None
    """What a name pointed to, as ``/ipfs/CID/path``; None if the address has the CID itself."""


def open_content(place: ContentPath | NamePath, options: Mapping[str, Any]) -> Content:
    """Find the block store of content, and what its name points to, if it has one.

    :param options: the keywords of :func:`ipld_castore.find_ipfs` and :func:`ipld_castore.resolve_name`
    :raises ValueError: if the address says nothing of where blocks are
    :raises IPLDStoreError: if the name cannot be resolved
    """
    if isinstance(place, ContentPath) and place.is_bare:
        raise ValueError(
            Message(
                "expected with a CID ",
                Term("castore=...", "the castore that has its blocks"),
                ", found none: ",
                Term(
                    "open(cid, castore=...)",
                    f"open({str(place.cid)!r}, castore=...), or open('ipfs://{place.cid}') to ask a node or gateways",
                    cid=str(place.cid),
                ),
            )
        )
    given = dict(options)
    doh = given.pop("doh", None)
    if place.gateway is not None:
        if given.get("gateways") is not None or given.get("node"):
            raise ValueError(
                Message(
                    "expected a node or gateways in ",
                    Term("storage_options"),
                    ", or a gateway in the URL, found both",
                )
            )
        given["gateways"] = place.gateway
    from ipld_castore import find_ipfs

    with store_errors(f"opening {place!r}", passing=(ValueError,)):
        castore = find_ipfs(**given)
    if isinstance(place, ContentPath):
        return Content(castore, place.cid, place.path, None)
    return _resolved(castore, place, doh)


def resolve_below(castore: ContentAddressableStore, place: NamePath, doh: str | None = None) -> Content:
    """Return what a name points to, where the block store is given.

    :raises IPLDStoreError: if the name cannot be resolved
    """
    from ipld_castore import resolve_at

    with store_errors(f"resolving {place!r}"):
        found = resolve_at(castore, place.name, doh=doh)
    return Content(castore, found.cid, (*found.path, *place.path), "/".join((f"/ipfs/{found.cid}", *found.path)))


def _resolved(castore: ContentAddressableStore, place: NamePath, doh: str | None) -> Content:
    try:
        content = resolve_below(castore, place, doh)
    except BaseException:
        castore.close()
        raise
    _logger.info("%r points to %s now; a name is not verified as a CID is", place, content.resolved)
    return content
