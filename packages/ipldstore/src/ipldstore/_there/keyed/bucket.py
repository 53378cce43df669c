"""Zarr in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ipldstore._format import keys
from ipldstore._there.model import Source

from .source import Reference, source_of


def zarr_bucket(url: str, store: Any, path: str) -> Source:
    """Return a zarr store in a bucket. Each key is an object; the formats stay what they are.

    :param url: the URL of the hierarchy
    :param store: the object store of obstore, from the top of the bucket on
    :param path: of the hierarchy in the bucket
    """
    prefix = f"{path.strip('/')}/"

    def walk() -> Iterator[tuple[str, Reference]]:
        for page in store.list(prefix=prefix):
            for found in page:
                key = found["path"].removeprefix(prefix)
                is_document = key.rpartition("/")[2] in keys.DOCUMENTS
                text = store.get(found["path"]).bytes().to_bytes() if is_document else b""
                yield key, text if is_document else (f"{url.rstrip('/')}/{key}", 0, found["size"])

    return source_of(url, walk())
