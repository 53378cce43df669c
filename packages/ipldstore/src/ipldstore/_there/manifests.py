"""Sources in other formats, through the manifests of VirtualiZarr."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import numpy as np
from ipld_castore import ObjectCAStore, RangeHasher

from .model import Ranges, Source, SourceArray, parse_json

MISSING = 'expected VirtualiZarr for sources that are no zarr: pip install "ipldstore[virtual]"'


def parse(name: str, parser: Any, registry: Any) -> Source:
    """Return what a parser of VirtualiZarr finds in a file.

    :param name: the path or URL of the file
    :param parser: called with the URL and the registry, returns a ``ManifestStore``
    :param registry: the object stores that the parser reads by
    :raises ValueError: if the manifest is none of a regular grid
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of data types without a specification, which zarr repeats when it reads
        url = as_url(name)
        group = parser(url, registry)._group  # noqa: SLF001  # its one way to the manifests of all groups
        source = Source(name, [], {}, {})
        names = _Names({url: name})
        for path, node in _nodes(group):
            document = f"{path}/zarr.json" if path else "zarr.json"
            source.documents[document] = document_of(node.metadata)
            if hasattr(node, "manifest"):
                source.arrays[path] = _array(path, parse_json(source.documents[document]), node.manifest, names)
    source.files = list(names.numbers)
    return source


class _Names:
    """The files of a source, by their URLs in manifests.

    :param known: the names of files whose URL is known not to be percent-encoded
    """

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known
        self.numbers: dict[str, int] = {}
        """The position of each file, by its path or URL."""

    def number(self, url: str) -> int:
        """Return the position of a file; a new one is the last."""
        return self.numbers.setdefault(self._known.get(url) or local_name(url), len(self.numbers))


def local_name(url: str) -> str:
    """Return the path of a ``file:`` URL; another URL as it is.

    :raises ValueError: if the URL is of a file on another machine

    >>> local_name("file:///data/a%20b.nc"), local_name("file://localhost/data"), local_name("s3://bucket/x.nc")
    ('/data/a b.nc', '/data', 's3://bucket/x.nc')
    """
    if url[:6].lower() != "file:/":
        return url
    path = url[5:]
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise ValueError(f"expected the URL of a file of this machine, such as file:///data/x.nc; found {url!r}")
        path = slash + path
    return url2pathname(path)


def _nodes(group: Any) -> Iterator[tuple[str, Any]]:
    """Yield path and node of a group, all groups below it and their arrays."""
    todo = [("", group)]
    while todo:
        path, node = todo.pop()
        yield path, node
        if hasattr(node, "arrays"):
            below = {**node.arrays, **node.groups}
            todo.extend((f"{path}/{name}" if path else name, member) for name, member in below.items())


def document_of(metadata: Any) -> bytes:
    """Return the document of the metadata of a group or an array of zarr."""
    from zarr.core.buffer import default_buffer_prototype

    found: bytes = metadata.to_buffer_dict(default_buffer_prototype())["zarr.json"].to_bytes()
    return found


def _array(path: str, metadata: dict[str, Any], manifest: Any, known: _Names) -> SourceArray:
    """Return an array; ``known`` gets the position of each new file."""
    names = manifest._paths  # noqa: SLF001  # the arrays behind the dict, which would be an object for each chunk
    grid = names.shape
    if len(grid) != len(metadata["shape"]):
        raise ValueError(f"expected the chunks of {path!r} in {len(metadata['shape'])} axes, found {len(grid)}")
    flat = [str(name) for name in names.ravel().tolist()] if names.ndim else [str(names.item())]
    of_name = {name: known.number(name) if name else -1 for name in dict.fromkeys(flat)}
    file = np.array([of_name[name] for name in flat], np.int64)
    offset, length = (np.asarray(each).ravel() for each in (manifest._offsets, manifest._lengths))  # noqa: SLF001  # as above
    there = np.flatnonzero(file >= 0)
    if grid:
        coordinates = np.stack(np.unravel_index(there, grid), -1).astype(np.int64)
    else:
        coordinates = np.zeros((len(there), 0), np.int64)
    ranges = Ranges(coordinates, file[there], offset[there].astype(np.int64), length[there].astype(np.int64))
    return SourceArray(path, metadata, metadata.get("attributes", {}), ranges)


def registry(hasher: RangeHasher) -> Any:
    """Return a registry of object stores that knows this machine and all HTTP servers; see :func:`add_store`.

    Parsers take the path of a URL for the name of a file, and so would read another file than the one that is hashed:
    stores of obstore encode a path that is percent-encoded once more, and the query is lost.

    :param hasher: what reads the files whose URL has a query
    :raises ImportError: if VirtualiZarr is not installed
    """
    try:
        from obspec_utils.registry import ObjectStoreRegistry
        from obstore.store import HTTPStore, LocalStore
    except ImportError as error:
        raise ImportError(MISSING) from error

    servers: dict[str, Any] = {}

    class Registry(ObjectStoreRegistry[Any]):
        def resolve(self, url: str) -> tuple[Any, str]:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https"):
                found: tuple[Any, str] = super().resolve(url)
                return found
            path = parts.path.removeprefix("/")
            if parts.query or "%2f" in path.lower():
                return ServedFile(hasher, url), path
            base = f"{parts.scheme}://{parts.netloc}"
            if base not in servers:
                servers[base] = HTTPStore.from_url(base, client_options={"allow_http": True})
            return servers[base], unquote(path)

    return Registry({"file://": LocalStore()})


class ServedFile:
    """A file on an HTTP server, as much of an object store as readers of obspec need."""

    def __init__(self, hasher: RangeHasher, url: str) -> None:
        self._hasher = hasher
        self._url = url

    def head(self, path: str) -> dict[str, Any]:
        """Return the size of the file."""
        return {"path": path, "size": self._hasher.size(self._url)}

    def get_range(self, _: str, *, start: int, end: int | None = None, length: int | None = None) -> bytes:
        """Return a range of the file."""
        if length is None:
            length = 0 if end is None else end - start
        return self._hasher.read(self._url, start, length)

    def get_ranges(
        self, path: str, *, starts: Sequence[int], ends: Sequence[int] | None = None, lengths: Sequence[int] = ()
    ) -> list[bytes]:
        """Return ranges of the file."""
        sizes = lengths if ends is None else [end - start for start, end in zip(starts, ends, strict=True)]
        return [self.get_range(path, start=start, length=size) for start, size in zip(starts, sizes, strict=True)]


def add_store(registry: Any, url: str, options: Mapping[str, Any]) -> None:
    """Make a registry know the server or bucket of a URL, unless it does.

    :param options: as :class:`ipld_castore.ReferenceCAStore` takes them
    :raises ValueError: if nothing can read the URL
    """
    try:
        registry.resolve(url)
    except ValueError:
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        if parts.scheme in ("http", "https"):
            from obstore.store import HTTPStore

            store: Any = HTTPStore.from_url(base, client_options={"allow_http": True})
        else:
            own = {name: value for name, value in options.items() if name not in ("timeout", "retries")}
            store = ObjectCAStore.from_url(base, **own).store
        registry.register(base, store)


def as_url(name: str) -> str:
    """Return the URL of a path, as parsers take one: nothing is percent-encoded, and they decode nothing. A URL stays.

    >>> as_url("/data/model=a/1 2.nc")
    'file:///data/model=a/1 2.nc'
    """
    return name if "://" in name else f"file:///{Path(name).absolute().as_posix().removeprefix('/')}"


def array_of(url: str, dataset: Any) -> Any:
    """Return the array of VirtualiZarr for one dataset of HDF5; its parser has no public name for that.

    :param dataset: of h5py
    :raises ValueError: if this version of VirtualiZarr makes it elsewhere
    """
    try:
        from virtualizarr.parsers.hdf.hdf import _construct_manifest_array
    except ImportError as error:
        raise ValueError(
            f"expected a version of VirtualiZarr that makes arrays in virtualizarr.parsers.hdf.hdf, found {error}: "
            f"install an older one, and report it to ipldstore"
        ) from error
    return _construct_manifest_array(url, dataset, dataset.parent.name)
