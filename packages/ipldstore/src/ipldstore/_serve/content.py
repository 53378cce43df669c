"""Content for visitors that do not verify: bytes of keys and files, and pages of groups, arrays and directories."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from itertools import islice
from threading import Lock
from typing import Final
from urllib.parse import quote

from ipld_car import cids, unixfs
from ipld_car.lru import LRU
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from ipldstore._display.outline import ArrayOutline, outline
from ipldstore._store.ipld_store import IPLDStore
from ipldstore.errors import NodeError

from .headers import CORS, IMMUTABLE, PAGE, SAFE, disposition, is_fresh
from .limits import Limits
from .negotiation import byte_range, ranged
from .pages.html import dataset_page, directory_page
from .pages.picture import picture_of
from .served_blocks import ServedBlocks
from .traversal import NoSuchPathError, resolve

_PIECE: Final = 1 << 20
_DATASETS: Final = 64
"""Datasets whose decoded nodes are kept."""
_MAX_ENTRIES: Final = 2000
"""Entries of a directory that its page lists."""
_OCTETS: Final = "application/octet-stream"


class Content:
    """Answers without a format: what is at a path, as bytes or as a page.

    :param served: the blocks that visitors may have
    """

    def __init__(self, served: ServedBlocks, limits: Limits) -> None:
        self.served = served
        self.limits = limits
        self._datasets: LRU[bytes, IPLDStore] = LRU(_DATASETS)
        self._lock = Lock()

    def response(self, request: Request, root: bytes, names: list[str], path: str) -> Response:
        """Return what is at a path: a key or node of a dataset, or a file or directory.

        :param path: the path of the request, as the visitor wrote it
        :raises NoSuchPathError: if nothing is there
        """
        store = self._dataset(root)
        if store is not None:
            try:
                found = self._of_dataset(request, store, root, names, path)
            except NodeError:  # a block of something else, in the same codec
                found = None
            if found is not None:
                return found
        target = resolve(self.served.read, root, names)
        headers = _headers(path, target.cid)
        if is_fresh(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        codec = cids.codec_of(target.cid)
        name = names[-1] if names else cids.to_text(target.cid)
        if codec == cids.DAG_PB and unixfs.kind_of(self.served.read, target.cid) == unixfs.Kind.DIRECTORY:
            entries = islice(unixfs.read_directory(self.served.read, target.cid), _MAX_ENTRIES + 1)
            listed = [(link.name or "", link.size) for link in entries]
            page = directory_page(path, listed[:_MAX_ENTRIES], more=len(listed) > _MAX_ENTRIES)
            return HTMLResponse(page, headers=PAGE)
        if codec in (cids.RAW, cids.DAG_PB):
            media_type = mimetypes.guess_type(name)[0] or _OCTETS
            return self._file(request, target.cid, media_type, headers)
        headers["Content-Disposition"] = disposition(f"{cids.to_text(target.cid)}.bin")
        return Response(self.served.read(target.cid), media_type=_OCTETS, headers=headers)

    def _dataset(self, root: bytes) -> IPLDStore | None:
        """Return the dataset at a root; None if the block is none."""
        with self._lock:
            store = self._datasets.get(root)
        if store is None and cids.codec_of(root) == cids.DAG_CBOR:
            self.served.read(root)  # what is not there is not found, and no dataset that fails
            try:
                store = IPLDStore(self.served, root=root, read_only=True)
            except NodeError:  # a block of something else
                return None
            with self._lock:
                self._datasets.put(root, store)
        return store

    def _of_dataset(
        self, request: Request, store: IPLDStore, root: bytes, names: list[str], path: str
    ) -> Response | None:
        """Return the answer for a key, group or array of a dataset; None if it has neither."""
        key = "/".join(names)
        if any("/" in name for name in names):  # it was sent as %2F, and is no end of a name
            return None
        if names and key in store:
            headers = _headers(path, root) | {"ETag": f'"{cids.to_text(root)}/{quote(key)}"'}
            if is_fresh(request.headers.get("if-none-match"), headers["ETag"]):
                return Response(status_code=304, headers=headers)
            media_type = "application/json" if names[-1].startswith(".z") or names[-1] == "zarr.json" else _OCTETS
            return ranged(request, store[key], media_type, headers)
        found = outline(store, key)
        if found is None:
            return None
        if "picture" in request.query_params:
            if not isinstance(found, ArrayOutline):
                raise NoSuchPathError(f"expected an array to make a picture of, found the group {key!r}")
            media_type, picture = picture_of(store, found, self.limits.picture_bytes)
            headers = {**SAFE, "Cache-Control": IMMUTABLE, "Cross-Origin-Resource-Policy": "same-origin"}
            return Response(picture, media_type=media_type, headers=headers)
        page = dataset_page(cids.to_text(root), key, found, can_show=self.limits.picture_bytes)
        return HTMLResponse(page, headers=PAGE)

    def _file(self, request: Request, cid: bytes, media_type: str, headers: dict[str, str]) -> Response:
        size = self.served.size(cid)
        wanted = byte_range(request.headers.get("range"), size)
        start, stop = wanted or (0, size)
        headers |= {"Content-Length": str(stop - start)}
        if wanted is not None:
            headers |= {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        status = 200 if wanted is None else 206
        if request.method == "HEAD":
            return Response(status_code=status, media_type=media_type, headers=headers)

        def body() -> Iterator[bytes]:
            for at in range(start, stop, _PIECE):
                yield self.served.get_range(cid, at, min(at + _PIECE, stop))

        return StreamingResponse(body(), status_code=status, media_type=media_type, headers=headers)


def _headers(path: str, cid: bytes) -> dict[str, str]:
    return {
        **SAFE,
        **CORS,
        "Cache-Control": IMMUTABLE,
        "Accept-Ranges": "bytes",
        "X-Ipfs-Path": path,
        "ETag": f'"{cids.to_text(cid)}"',
    }
