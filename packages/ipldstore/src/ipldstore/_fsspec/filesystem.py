"""The file system ``ipld://`` of fsspec. Asynchronous and read-only; every byte is verified."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, Never, TypeGuard, TypeVar

from fsspec.asyn import AsyncFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.spec import AbstractBufferedFile
from ipld_castore import ContentAddressableStore, find_ipfs
from ipld_castore.concurrency import in_order

import ipldstore._public  # noqa: F401  # by which classes say where users import them from
from ipldstore._address.cache import Cache
from ipldstore._dataset.castores import AnyCAStore, castore_of
from ipldstore._store.executor import in_far_thread
from ipldstore.errors import store_errors

from .tree import ContentTree, Entry, File, Key, entry_info

T = TypeVar("T")

_PIECE: Final = 8 << 20
"""Bytes of a file that are in memory at a time while it is copied."""
_SCHEME: Final = "ipld://"


class IPLDFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files and datasets below CIDs: ``ipld://CID/path``.

    A path leads through UnixFS directories to a file, and below the root of a dataset to its keys: the chunks and
    metadata of zarr. A range of a file reads only the blocks that hold it. What is not there is a FileNotFoundError; a
    block that is lost, wrong or out of reach is an :class:`ipldstore.IPLDStoreError`, which is no OSError.

    :param castore: where the blocks are, or a dataset over them; by default a node on this machine if one answers, else
        gateways, as for ``ipfs://`` in :func:`ipldstore.open`
    :param gateways: the gateways to ask
    :param node: the address of a node's RPC API; False for no node
    :param cache: a folder that keeps the blocks that were read; by default that of ``$IPLDSTORE_CACHE``
    :param cache_bytes: the most bytes in that folder
    :param storage_options: of :func:`ipld_castore.find_ipfs`, such as ``timeout``; and those of fsspec

    >>> import fsspec
    >>> from ipldstore import IPLDStore
    >>> store = IPLDStore()
    >>> store["a/0"] = b"chunk"
    >>> fs = fsspec.filesystem("ipld", castore=store)
    >>> fs.cat_file(f"ipld://{store.freeze()}/a/0", start=1, end=3)
    b'hu'
    """

    protocol: ClassVar[str] = "ipld"
    root_marker = ""
    cachable = False  # instances are told apart by the text of their arguments, which a store in memory shares
    async_impl = True

    def __init__(
        self,
        *,
        castore: AnyCAStore | None = None,
        gateways: str | Iterable[str] | None = None,
        node: str | bool | None = None,
        cache: str | os.PathLike[str] | None = None,
        cache_bytes: int | None = None,
        asynchronous: bool = False,
        loop: Any = None,
        **storage_options: Any,
    ) -> None:
        own = {name: storage_options.pop(name) for name in ("timeout", "retries", "token") if name in storage_options}
        super().__init__(asynchronous=asynchronous, loop=loop, **storage_options)
        if castore is not None:
            if gateways is not None or node is not None or own:
                raise ValueError("expected a castore, or gateways or a node with their options, found both")
            found = castore_of(castore)
        else:
            with store_errors("looking for a node or gateways", passing=(ValueError,)):
                found = find_ipfs(node=node, gateways=gateways, **own)
            found = Cache(cache, cache_bytes).before(found)
        self._tree = ContentTree(found)

    @property
    def castore(self) -> ContentAddressableStore:
        """Where the blocks are."""
        return self._tree.castore

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = os.fspath(path)
        if text[: len(_SCHEME)].lower() == _SCHEME:
            text = text[len(_SCHEME) :]
        return text.strip("/")

    def unstrip_protocol(self, name: str) -> str:
        """Return a path with its scheme."""
        return f"{_SCHEME}{self._strip_protocol(name)}"

    async def _run(self, action: Callable[[], T]) -> T:
        return await (asyncio.to_thread(action) if self.castore.local else in_far_thread(action))

    # -- what is there --

    def _find_entry(self, path: str) -> Entry:
        found = self._tree.find(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "expected a file or directory below a CID, found nothing", path)
        return found

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        return await self._run(lambda: self._describe(path))

    def _describe(self, path: str, entry: Entry | None = None) -> dict[str, Any]:
        found = self._find_entry(path) if entry is None else entry
        return entry_info(path, found, self._tree.size(path, found))

    async def _exists(self, path: str, **_: Any) -> bool:
        path = self._strip_protocol(path)
        return await self._run(lambda: self._tree.find(path) is not None)

    async def _isfile(self, path: str) -> bool:
        path = self._strip_protocol(path)

        def is_file() -> bool:
            found = self._tree.find(path)
            return found is not None and _is_file(found)

        return await self._run(is_file)

    async def _isdir(self, path: str) -> bool:
        return await self._exists(path) and not await self._isfile(path)

    # -- listing --

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        return await self._run(lambda: self._list(path, detail))

    def _list(self, path: str, detail: bool) -> list[Any]:
        entry = self._find_entry(path)
        if isinstance(entry, File) or (isinstance(entry, Key) and entry.is_file):
            return [self._describe(path)] if detail else [path]
        children = [(f"{path}/{name}", child) for name, child in self._tree.children(entry)]
        if not detail:
            return [name for name, _ in children]

        def describe(child: tuple[str, bytes | str]) -> dict[str, Any]:
            return self._describe(child[0], self._tree.child(entry, child[1]))

        return [info for _, info in in_order(describe, children)]

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **options: Any
    ) -> list[str] | dict[str, Any]:
        path = self._strip_protocol(path)
        detail = options.get("detail", False)

        def find() -> list[str] | dict[str, Any]:
            top = self._tree.find(path)
            if top is None:
                return {} if detail else []
            if _is_file(top):
                names = [path]
            else:
                found = self._tree.files(path, top, maxdepth)
                names = sorted(name for name, is_file in found if is_file or withdirs)
                names = [path, *names] if withdirs else names
            return dict(in_order(self._describe, names)) if detail else names

        return await self._run(find)

    # -- reading --

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        path = self._strip_protocol(path)
        return await self._run(lambda: self._read(path, start, end))

    def _read(self, path: str, start: int | None, end: int | None) -> bytes:
        entry = self._find_entry(path)
        if _is_file(entry):
            return self._tree.read(path, entry, start, end)
        raise self._is_a_directory(path)

    @staticmethod
    def _is_a_directory(path: str) -> IsADirectoryError:
        return IsADirectoryError(errno.EISDIR, "expected a file, found a directory", path)

    async def _cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **options: Any) -> Any:
        if recursive:
            paths = await self._expand_path(path)
            path = [name for each in paths for name in (await self._find(each) or [each])]
        return await super()._cat(path, on_error=on_error, **options)

    async def _get_file(self, rpath: str, lpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        path = self._strip_protocol(rpath)
        await self._run(lambda: self._copy_to(path, lpath, callback))

    def _copy_to(self, path: str, lpath: str, callback: Callback) -> None:
        """Copy a file piece by piece; of a directory make one."""
        entry = self._find_entry(path)
        if not _is_file(entry):
            os.makedirs(lpath, exist_ok=True)  # noqa: PTH103  # a name as fsspec gives it
            return
        size = self._tree.size(path, entry) or 0
        callback.set_size(size)
        os.makedirs(os.path.dirname(lpath) or ".", exist_ok=True)  # noqa: PTH103, PTH120  # as above
        with open(lpath, "wb") as file:  # noqa: PTH123  # as above
            for start in range(0, size, _PIECE):
                file.write(self._tree.read(path, entry, start, min(start + _PIECE, size)))
                callback.absolute_update(min(start + _PIECE, size))

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> IPLDFile:
        if mode != "rb":
            self._refuse(path)
        found = self.info(path)
        if found["type"] == "directory":
            raise self._is_a_directory(path)
        options.setdefault("size", found["size"])
        return IPLDFile(self, path, mode, block_size or "default", **options)

    # -- writing, which is refused --

    def _refuse(self, path: str) -> Never:
        raise OSError(errno.EROFS, "what a CID names does not change: ipldstore.open writes datasets", path)

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> Never:
        self._refuse(path)

    async def _put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **_: Any) -> Never:
        self._refuse(rpath)

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> Never:
        self._refuse(path2)

    async def _rm_file(self, path: str, **_: Any) -> Never:
        self._refuse(path)

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> Never:
        self._refuse(path)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> Never:
        self._refuse(path)


def _is_file(entry: Entry) -> TypeGuard[File | Key]:
    return isinstance(entry, File) or (isinstance(entry, Key) and entry.is_file)


class IPLDFile(AbstractBufferedFile):  # type: ignore[misc]  # as above
    """A file below a CID, read by ranges."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.cat_file(self.path, start=start, end=end)
        return data
