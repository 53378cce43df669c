"""What is served: block stores, and the roots in them that visitors may reach."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ipld_car import cids
from ipld_castore import CarCAStore, ContentAddressableStore, SupportsHead

from ipldstore._io.open import open as open_store

_PARTS: Final = {"branch", "tag", "commit", "as_of", "path"}
"""Options of opening that name a part of a dataset, so that all roots of a file are not meant."""


@dataclass(frozen=True)
class Source:
    """One thing that is served.

    :param name: what the user called it, without secrets
    :param roots: the binary CIDs from which visitors may reach blocks
    """

    name: str
    castore: ContentAddressableStore
    roots: tuple[bytes, ...]
    close: Callable[[], None]


def open_source(what: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Source:
    """Open one thing to serve: a CAR file here with any number of roots, or whatever :func:`ipldstore.open` takes.

    What is opened is served as it is now: a head that moves later is not followed.

    :param what: a path or URL
    :param options: further arguments of :func:`ipldstore.open`
    :raises OSError: if it cannot be opened
    :raises ValueError: if it is no address
    :raises IPLDStoreError: if its root cannot be read
    """
    path = os.fspath(what)
    if not _PARTS.intersection(options or {}) and os.path.isfile(path):  # noqa: PTH113  # a URL is no path
        is_padded = (options or {}).get("zero_length_section_as_eof", False)
        castore = CarCAStore(path, "r", zero_length_section_as_eof=is_padded)
        return Source(path, castore, tuple(bytes(root) for root in castore.roots), castore.close)
    store = open_store(path, "r", **(options or {}))
    castore_of = store.castore
    head = castore_of.head if isinstance(castore_of, SupportsHead) else None
    root = store.root_cid
    # A repository is served with its history: its state is the head, and the root of its data is below that.
    roots = tuple({bytes(each): None for each in (head, root) if each is not None})
    shown = castore_of.address if "://" in path else path
    return Source(shown, castore_of, roots, store.close)


def text_of(roots: tuple[bytes, ...]) -> list[str]:
    """Return the roots as text."""
    return [cids.to_text(root) for root in roots]
