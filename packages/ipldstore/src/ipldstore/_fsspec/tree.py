"""What is at a path below a CID: UnixFS files and directories, and the keys of datasets. Knows no fsspec."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ipld_car import CarError, cids, unixfs
from ipld_car.lru import LRU
from ipld_car.unixfs import UnixFSBlock
from ipld_castore import ContentAddressableStore
from ipld_castore.concurrency import ForkLocal

from ipldstore._read.byte_range import ByteRange
from ipldstore._store.ipld_store import IPLDStore
from ipldstore.errors import IPLDStoreError, store_errors

_NODE_BYTES: Final = 32 << 20
"""The most bytes of directories and roots of files that are kept."""
_STORES: Final = 16
"""The most datasets that are kept open."""


@dataclass(frozen=True)
class File:
    """A UnixFS file or a raw block."""

    cid: bytes


@dataclass(frozen=True)
class Folder:
    """A UnixFS directory."""

    cid: bytes


@dataclass(frozen=True)
class Key:
    """A key of a dataset, or a directory of keys."""

    store: IPLDStore
    key: str
    """Without a slash at its end; "" is the top."""
    is_file: bool


Entry = File | Folder | Key


class _State:
    """What is kept of one process, under the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.nodes: LRU[bytes, bytes] = LRU(_NODE_BYTES)
        self.decoded: LRU[tuple[bytes, object], UnixFSBlock] = LRU(_NODE_BYTES)
        """Directories and shards; a large one takes longer to decode than to find a name in."""
        self.stores: LRU[bytes, IPLDStore] = LRU(_STORES)


class ContentTree:
    """Paths below CIDs in one block store. Threads may share it.

    A path is a CID and the names behind it, ``CID/a/b``. All that is read is verified.

    :param castore: where the blocks are
    """

    def __init__(self, castore: ContentAddressableStore) -> None:
        self.castore = castore
        self._state: ForkLocal[_State] = ForkLocal(_State)

    # -- finding --

    def find(self, path: str) -> Entry | None:
        """Return what is at a path; None if nothing is.

        :raises IPLDStoreError: if a block is missing, damaged or out of reach
        """
        head, *names = path.strip("/").split("/")
        try:
            cid = cids.to_bytes(head)
        except CarError:
            return None
        with store_errors(f"looking up {path!r}"):
            if names:
                self._prefetch(cid, names)
            for number, name in enumerate(names):
                if cids.codec_of(cid) != cids.DAG_PB:
                    return self._key(cid, "/".join(names[number:]))
                found = self._entry(cid, name)
                if found is None:
                    return None
                cid = found
            return self._at(cid)

    def _at(self, cid: bytes) -> Entry | None:
        codec = cids.codec_of(cid)
        if codec == cids.RAW:
            return File(cid)
        if codec == cids.DAG_PB:
            kind = self._decoded(cid).kind
            if kind is unixfs.Kind.SYMLINK:
                raise IPLDStoreError(f"expected a file or a directory, found a symbolic link, {cids.to_text(cid)}")
            return Folder(cid) if kind is unixfs.Kind.DIRECTORY else File(cid)
        return self._key(cid, "")

    def _entry(self, directory: bytes, name: str) -> bytes | None:
        try:
            unixfs.check_name(name)
        except CarError:
            return None
        block = self._decoded(directory)
        while block.kind is unixfs.Kind.DIRECTORY:
            found = block.find(name)
            if not isinstance(found, unixfs.Shard):
                return None if found is None else found.cid
            block = self._decoded(found.cid, found.place)
        return None

    def _key(self, root: bytes, key: str) -> Key | None:
        if cids.codec_of(root) != cids.DAG_CBOR:
            return None
        store = self._store(root)
        if key and key in store.mapping:
            return Key(store, key, is_file=True)
        if not key or next(self._keys(store, key), None) is not None:
            return Key(store, key, is_file=False)
        return None

    @staticmethod
    def _keys(store: IPLDStore, directory: str) -> Iterator[str]:
        return store.mapping.keys_below(directory)

    def _store(self, root: bytes) -> IPLDStore:
        mine = self._state.value
        with mine.lock:
            found = mine.stores.get(root)
        if found is None:
            found = IPLDStore(self.castore, root=root, read_only=True)
            with mine.lock:
                mine.stores.put(root, found)
        return found

    # -- blocks of directories --

    def _node(self, cid: bytes) -> bytes:
        mine = self._state.value
        with mine.lock:
            data = mine.nodes.get(cid)
        return self._keep(cid, self.castore.get_raw(cid)) if data is None else data

    def _decoded(self, cid: bytes, place: unixfs.Place | None = None) -> UnixFSBlock:
        mine = self._state.value
        with mine.lock:
            block = mine.decoded.get((cid, place))
        if block is None:
            data = self._node(cid)
            block = unixfs.decode_block(cid, data, place)
            with mine.lock:
                mine.decoded.put((cid, place), block, len(data))
        return block

    def _keep(self, cid: bytes, data: bytes) -> bytes:
        mine = self._state.value
        with mine.lock:
            mine.nodes.put(cid, data, len(data))
        return data

    def _prefetch(self, cid: bytes, names: list[str]) -> None:
        """Get the directories of a path, which a gateway sends in one answer, unless the first is kept."""
        mine = self._state.value
        with mine.lock:
            known = mine.nodes.peek(cid) is not None
        if known or cids.codec_of(cid) != cids.DAG_PB or self.castore.local:
            return
        for found, data in self.castore.get_path(cid, names):
            binary = cids.to_bytes(found)
            if cids.codec_of(binary) != cids.DAG_PB:
                break
            self._keep(binary, data)

    # -- reading --

    def size(self, path: str, entry: Entry) -> int | None:
        """Return the size of a file in bytes; None for a directory.

        :raises IPLDStoreError: if a block is missing, damaged or out of reach
        """
        with store_errors(f"sizing {path!r}"):
            if isinstance(entry, Key):
                return entry.store.mapping.size(entry.key) if entry.is_file else None
            if isinstance(entry, Folder):
                return None
            if cids.codec_of(entry.cid) == cids.RAW:
                return self.castore.size(entry.cid)
            return unixfs.size_of(self._node, entry.cid)

    def read(self, path: str, entry: File | Key, start: int | None, end: int | None) -> bytes:
        """Return a range of the bytes of a file; only the blocks that hold them are read.

        :param start: the first byte; a negative one counts from the end; None is the beginning
        :param end: the byte behind the last; a negative one counts from the end; None is the end
        :raises IPLDStoreError: if a block is missing, damaged or out of reach
        """
        wanted = _range(start, end)
        if wanted is None:  # the end of the range is counted from that of the file
            size = self.size(path, entry)
            assert size is not None  # noqa: S101  # a file has one
            begin, stop, _ = slice(start, end).indices(size)
            wanted = ByteRange(begin, max(stop, begin))
        with store_errors(f"reading {path!r}"):
            if isinstance(entry, Key):
                return entry.store.mapping.read(entry.key, wanted)
            if wanted.suffix is not None:
                size = self.size(path, entry) or 0
                return self.castore.get_range(entry.cid, max(size - wanted.suffix, 0))
            return self.castore.get_range(entry.cid, wanted.start, wanted.stop)

    # -- listing --

    def children(self, entry: Folder | Key) -> list[tuple[str, bytes | str]]:
        """Return the names directly below a directory, in their order, each with what :meth:`child` takes.

        :raises IPLDStoreError: if a block is missing, damaged or out of reach
        """
        if isinstance(entry, Key):
            top = f"{entry.key}/" if entry.key else ""
            return [(name, top + name) for name in sorted(entry.store.mapping.names(entry.key))]
        with store_errors(f"listing {cids.to_text(entry.cid)}"):
            return sorted((link.name or "", link.cid) for link in unixfs.read_directory(self._node, entry.cid))

    def child(self, parent: Folder | Key, place: bytes | str) -> Entry:
        """Return what is directly below a directory.

        :param place: of :meth:`children`
        :raises IPLDStoreError: if a block is missing, damaged or out of reach
        """
        if isinstance(parent, Key):
            assert isinstance(place, str)  # noqa: S101  # see children
            return Key(parent.store, place, is_file=place in parent.store.mapping)
        assert isinstance(place, bytes)  # noqa: S101  # as above
        with store_errors(f"looking up {cids.to_text(place)}"):
            found = self._at(place)
        if found is None:
            raise IPLDStoreError(f"expected a file, a directory or a dataset, found {cids.to_text(place)}")
        return found

    def files(self, path: str, entry: Entry, depth: int | None) -> Iterator[tuple[str, bool]]:
        """Yield the paths of all that is below a directory, and whether each is a file.

        :param depth: the most names below the directory; None for any number
        :raises IPLDStoreError: if a block is missing, damaged or out of reach
        """
        waiting: list[tuple[str, Entry, int]] = [(path, entry, 0)]
        while waiting:
            place, at, level = waiting.pop()
            if isinstance(at, Key) and not at.is_file:
                yield from self._keys_of(place, at, None if depth is None else depth - level)
            elif isinstance(at, Folder) and (depth is None or level < depth):
                below = reversed(self.children(at))
                waiting.extend((f"{place}/{name}", self.child(at, child), level + 1) for name, child in below)
            if level:
                yield place, isinstance(at, File) or (isinstance(at, Key) and at.is_file)

    @staticmethod
    def _keys_of(place: str, top: Key, depth: int | None) -> Iterator[tuple[str, bool]]:
        prefix = f"{top.key}/" if top.key else ""
        seen: set[str] = set()
        for key in top.store.mapping.keys_below(top.key):
            parts = key.removeprefix(prefix).split("/")
            for length in range(1, len(parts)):
                folder = "/".join(parts[:length])
                if folder not in seen and (depth is None or length <= depth):
                    seen.add(folder)
                    yield f"{place}/{folder}", False
            if depth is None or len(parts) <= depth:
                yield f"{place}/{'/'.join(parts)}", True


def _range(start: int | None, end: int | None) -> ByteRange | None:
    """Return a range that can be read without knowing the size; None for others."""
    first = start or 0
    if first < 0 and end is None:
        return ByteRange(suffix=-first)
    if first >= 0 and (end is None or end >= 0):
        return ByteRange(first, None if end is None else max(end, first))
    return None


def entry_info(path: str, entry: Entry, size: int | None) -> dict[str, Any]:
    """Return an entry as fsspec describes it."""
    is_file = isinstance(entry, File) or (isinstance(entry, Key) and entry.is_file)
    info: dict[str, Any] = {"name": path, "size": size if is_file else 0, "type": "file" if is_file else "directory"}
    if not isinstance(entry, Key):
        info["cid"] = cids.to_text(entry.cid)
    return info
