"""Zarr on an HTTP server, which lists nothing: metadata say which keys to ask for."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any, Final

from ipld_castore.concurrency import in_order

from ipldstore._format import keys
from ipldstore._there.model import Source, SourceArray, parse_json

from .source import Reference, arrays_of, source_of

_THREADS: Final = 32
_MAX_CHUNKS: Final = 10_000_000
"""Chunks that a server is asked for; shapes in metadata cost nothing to write."""


def zarr_on_server(url: str, store: Any, path: str) -> Source:
    """Return a zarr hierarchy on an HTTP server. Each key is a file; the formats stay what they are.

    The server is asked for each chunk that the shape of an array has; those that it has not are fill values.

    :param url: the URL of the hierarchy
    :param store: the object store of obstore for the server
    :param path: of the hierarchy on the server
    :raises ValueError: if there is none, or a group without consolidated metadata
    """
    server = _Server(url.rstrip("/"), store, path.strip("/"))
    documents = dict(server.documents())
    arrays = list(arrays_of(documents))
    total = sum(_count(array) for array in arrays)
    if total > _MAX_CHUNKS:
        raise ValueError(
            f"expected at most {_MAX_CHUNKS:,} chunks in {url}, found metadata of {total:,}: copy it instead"
        )

    def items() -> Iterator[tuple[str, Reference]]:
        yield from documents.items()
        for key, size in in_order(server.size, itertools.chain.from_iterable(map(_keys, arrays)), threads=_THREADS):
            if size is not None:
                yield key, (f"{server.url}/{_in_url(key)}", 0, size)

    return source_of(url, items())


def _in_url(key: str) -> str:
    """Return a key as a part of a URL; what else is to be encoded is where the URL is requested."""
    return key.replace("%", "%25").replace("#", "%23").replace("?", "%3F")


def _grid(array: SourceArray) -> list[int]:
    return [-(-size // chunk) for size, chunk in zip(array.shape, array.chunk_shape, strict=True)]


def _count(array: SourceArray) -> int:
    return math.prod(_grid(array))


def _keys(array: SourceArray) -> Iterator[str]:
    prefix = f"{array.path}/" if array.path else ""
    return (prefix + array.form.key(numbers) for numbers in itertools.product(*map(range, _grid(array))))


class _Server:
    """A hierarchy on a server."""

    def __init__(self, url: str, store: Any, path: str) -> None:
        self.url = url
        self._store = store
        self._prefix = f"{path}/" if path else ""

    def size(self, key: str) -> int | None:
        """Return the number of bytes of a key; None if the server has it not."""
        try:
            return int(self._store.head(self._prefix + key)["size"])
        except FileNotFoundError:
            return None

    def _read(self, key: str) -> bytes | None:
        try:
            return bytes(self._store.get(self._prefix + key).bytes())
        except FileNotFoundError:
            return None

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """Yield all documents by key: those at the top, and those that they name.

        :raises ValueError: if there are none, or what is below a group is not said
        """
        top = {
            name: text
            for name, text in in_order(self._read, sorted(keys.DOCUMENTS), threads=_THREADS)
            if text is not None
        }
        yield from top.items()
        if keys.ZARR_JSON in top:
            metadata = self._parsed(keys.ZARR_JSON, top[keys.ZARR_JSON])
            if metadata.get("node_type") == "array":
                return
            below = (metadata.get("consolidated_metadata") or {}).get("metadata")
            named = None if below is None else {f"{path}/{keys.ZARR_JSON}": each for path, each in below.items()}
        elif keys.ZMETADATA in top:
            named = self._parsed(keys.ZMETADATA, top[keys.ZMETADATA]).get("metadata")
        elif keys.ZARRAY in top:
            return
        else:
            named = None
        if not isinstance(named, dict):
            found = "a group without them" if top else "no documents of zarr"
            raise ValueError(  # noqa: TRY004  # a wrong value
                f"expected consolidated metadata at {self.url}, as HTTP lists nothing; found {found}. "
                f"zarr.consolidate_metadata() writes them"
            )
        for key in named:
            keys.split_key(key)
        wanted = [key for key in named if key not in top and key.rpartition("/")[2] in keys.DOCUMENTS]
        for key, text in in_order(self._read, wanted, threads=_THREADS):
            yield key, json.dumps(named[key]).encode() if text is None else text

    def _parsed(self, key: str, text: bytes) -> dict[str, Any]:
        try:
            found = parse_json(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError(f"expected a document of zarr at {self.url}/{key}, found {text[:80]!r}")  # noqa: TRY004  # as above
        return found
