"""A URL pipeline as an address: ``s3://bucket/air|ipldstore:group`` is ``s3://bucket/air#group``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore

from .open import open as open_store


def open_pipeline(segment: str, before: str | None, options: Mapping[str, Any] | None) -> tuple[IPLDStore, str]:
    """Open what a URL pipeline names; return the store and the path of the group in it.

    :param segment: the last part of the pipeline: a URL of ``ipfs:``, ``ipns:`` or ``ipld:``, or ``ipldstore:path``
    :param before: the parts before it; None where it is the first
    :param options: see ``storage_options`` of :func:`ipldstore.open`
    :raises ValueError: if the pipeline is none of these

    >>> import tempfile, ipldstore
    >>> path = tempfile.mkdtemp() + "/air.car"
    >>> with ipldstore.open(path, "x") as store:
    ...     store["a/0"] = b"chunk"
    >>> store, group = open_pipeline("ipldstore:a", f"file://{path}", None)
    >>> group, list(store)
    ('a', ['a/0'])
    """
    scheme, _, body = segment.partition(":")
    is_adapter = scheme.lower() == "ipldstore"
    if is_adapter != (before is not None) or (before is not None and "|" in before):
        raise ValueError(
            f"expected a URL alone, as ipfs://CID, or one before |ipldstore:, found {segment!r} behind {before!r}"
        )
    if "?" in segment:
        raise ValueError(f"expected a URL without a query, found {segment!r}")
    store = open_store(segment if before is None else before, storage_options=options or None)
    path = unquote(body).strip("/") if is_adapter else ""
    if isinstance(store, GroupStore):
        return store.whole(), "/".join(filter(None, (store.path, path)))
    return store, path
