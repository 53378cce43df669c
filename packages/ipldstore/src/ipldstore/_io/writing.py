"""A dataset at an address, written, frozen and closed in one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from multiformats import CID

from ipldstore._address.places import AnyAddress
from ipldstore._store.ipld_store import IPLDStore

from .open import open as open_store


def write_to(what: AnyAddress, write: Callable[[IPLDStore], object], options: Mapping[str, Any]) -> CID:
    """Open an address for writing, write into it, freeze and close it; return the root.

    If writing fails, what was there before is there still.

    :param what: what :func:`ipldstore.open` writes to
    :param write: called with the open store
    :param options: options of :func:`ipldstore.open`
    :raises ValueError: if the address names what is only read: a tag, a commit or a time
    """
    store = open_store(what, "a", **options)
    try:
        if store.read_only:
            named = ", ".join(f"{name}={options[name]!r}" for name in ("tag", "commit", "as_of") if name in options)
            raise ValueError(f"expected what can be written, such as a branch, found {what!r} {named}".rstrip())
        write(store)
        root = store.freeze()
    except BaseException:
        store.abandon()
        raise
    store.close()
    return root
