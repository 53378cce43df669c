"""The block store behind a place that many processes write: a folder, a bucket, or an IPFS node."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ipld_castore import ContentAddressableStore

from ipldstore._dataset.castores import AnyCAStore, castore_of

from .castores import shared_castore
from .grammar import parse
from .places import ArchiveURL, ContentPath, NamePath

AnyShared = str | os.PathLike[str] | AnyCAStore
"""The address of a folder of blocks, a bucket or an IPFS node; or a block store, or a store over one."""

_WANTED: Final = "expected what many processes write, a folder of blocks, a bucket or an IPFS node,"
_MULTIADDR: Final = ("/ip4/", "/ip6/", "/dns/", "/dns4/", "/dns6/")


@contextmanager
def opened_shared(
    where: AnyShared, storage_options: Mapping[str, Any] | None = None
) -> Iterator[ContentAddressableStore]:
    """Yield the block store of a place that many processes write. What an address has opened is closed at the end.

    :param where: the path of a folder, also as a ``file:`` URL; the URL of a bucket; ``ipfs://CID`` or
        ``ipns://name``, for the node that :func:`ipldstore.open` asks there; the address of a node's RPC API; or a
        block store or a store over one, as it is
    :param storage_options: of a bucket: the options of :meth:`ipld_castore.ObjectCAStore.from_url`; of a node: those of
        :class:`ipld_castore.IPFSStore`; of ``ipfs:`` and ``ipns:``: those of :func:`ipldstore.open`
    :raises ValueError: if it is another place, or only a part of one; or the options are for none of these
    :raises CAStoreError: if the bucket cannot be asked
    """
    if not isinstance(where, (str, os.PathLike)):
        if storage_options:
            raise ValueError(f"expected storage_options with an address, found them with {where!r}")
        yield castore_of(where)
        return
    with _opened(where, storage_options or {}) as castore:
        yield castore


def _opened(where: str | os.PathLike[str], options: Mapping[str, Any]) -> ContentAddressableStore:
    if isinstance(where, str) and is_node(where):
        from ipld_castore import IPFSStore

        return IPFSStore(where, **options)
    address = parse(where)
    place = address.place
    if address.ref is not None or address.group:
        part = f"the version {address.ref!r}" if address.ref is not None else f"the group {address.group!r}"
        raise ValueError(f"{_WANTED} as a whole, found {part} of it")
    if isinstance(place, (ContentPath, NamePath)):
        return _node_of(place, options)
    if isinstance(place, ArchiveURL):
        raise ValueError(f"{_WANTED} found the URL of a CAR file, which is read only")  # noqa: TRY004  # a wrong value
    if isinstance(place, Path) and place.is_file():
        raise ValueError(f"{_WANTED} found the file {place}, which one process at a time writes")
    return shared_castore(where, options)


def is_node(text: str) -> bool:
    """Return whether a text is the address of a node's RPC API: a URL of a host alone, or a multiaddr.

    >>> is_node("http://127.0.0.1:5001"), is_node("/ip4/127.0.0.1/tcp/5001"), is_node("https://host/air.car")
    (True, True, False)
    """
    if text.startswith(_MULTIADDR):
        return not Path(text).exists()
    if not text.lower().startswith(("http://", "https://")):
        return False
    try:
        return urlsplit(text).path.rstrip("/") in ("", "/api/v0")
    except ValueError:
        return False


def _node_of(place: ContentPath | NamePath, options: Mapping[str, Any]) -> ContentAddressableStore:
    """Return the node that content is read from. It pins what is frozen, as a reader of content does not."""
    if isinstance(place, ContentPath) and place.is_bare:
        raise ValueError(f"{_WANTED} found the CID {place.cid} (ipfs://{place.cid} is on the node of this machine)")
    node = options.get("node")
    if place.gateway is not None or options.get("gateways") is not None or node is False:
        raise ValueError(f"{_WANTED} found a gateway, which is read only")
    from ipld_castore import IPFSStore

    kept = {name: options[name] for name in ("timeout",) if name in options}
    return IPFSStore(node if isinstance(node, str) else None, **kept)
