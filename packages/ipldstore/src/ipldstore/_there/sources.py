"""Which format a source has, and what it holds."""

from __future__ import annotations

import errno
import glob
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ipld_car.messages import Message, Term
from ipld_castore import RangeHasher

from . import manifests
from .hdf5 import files as hdf5
from .hdf5.reasons import UnparsableError
from .hdf5.series import Series
from .keyed.bucket import zarr_bucket
from .keyed.folder import is_zarr_folder, zarr_folder
from .keyed.kerchunk import kerchunk_references, load_json
from .keyed.server import zarr_on_server
from .keyed.zip_file import MAGIC as ZIP_MAGIC
from .keyed.zip_file import zarr_zip
from .model import Source
from .netcdf3 import header as netcdf3
from .netcdf3.files import read as read_netcdf3

AnySource = str | os.PathLike[str]

_PARQUET_METADATA: Final = (".zmetadata", ".row_offset.parq")
_HEAD_BYTES: Final = 8
_JSON_HEAD_BYTES: Final = 1 << 20
"""Bytes of white space that JSON may begin with."""
Complete = Callable[[Source, str, Any], None]
"""Adds to a source what its parser leaves out; called with its URL and the registry."""

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def names_of(what: AnySource | Iterable[AnySource]) -> list[str]:
    """Return the absolute paths and URLs of sources, in the order in which they were given.

    Of a pattern they are those that match, sorted.

    :raises TypeError: if one is no path or URL
    :raises FileNotFoundError: if nothing matches a pattern
    """
    if isinstance(what, str) and glob.has_magic(what) and _URL.match(what) is None and not Path(what).exists():
        found = sorted(glob.glob(what, recursive=True))  # noqa: PTH207  # the pattern may be absolute
        if not found:
            raise FileNotFoundError(errno.ENOENT, "expected files that match the pattern, found none", what)
        return [_name(each) for each in found]
    is_one = isinstance(what, (str, bytes, os.PathLike, Mapping))
    given: list[Any] = [what] if is_one else list(what)  # type: ignore[arg-type]  # what is left
    for each in given:
        if not isinstance(each, (str, os.PathLike)):
            raise TypeError(f"expected a path or URL, or several; found {type(each).__name__}")
    return [_name(each) for each in given]


def _name(given: AnySource) -> str:
    text = manifests.local_name(os.fspath(given))
    return text if _URL.match(text) else os.path.abspath(text)  # noqa: PTH100  # links stay what the user calls them


class SourceReader:
    """Parse sources. Threads may share it.

    :param parser: a parser of VirtualiZarr for all of them; None chooses by the first bytes
    :param registry: the object stores that parsers read by; stores that it lacks are added
    :param storage_options: of sources at URLs
    """

    def __init__(
        self,
        hasher: RangeHasher,
        parser: Any = None,
        registry: Any = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._hasher = hasher
        self._options = storage_options or {}
        self._parser = parser
        self._completing = hdf5.completing(parser) if parser is not None and hdf5.is_ours(parser) else None
        self._registry = registry
        self._series: Series | None = None
        self._lock = threading.Lock()
        """Held while a file is parsed: the first one is parsed once, parsers need not be safe with threads, and h5py,
        which locks each of its calls, takes four times as long where two threads call it at a time."""

    def read(self, name: str) -> Source:
        """Return what a source holds.

        :raises ValueError: if it has no format that is known
        :raises ImportError: if what reads its format is not installed
        """
        is_local = _URL.match(name) is None
        path = Path(name)
        if is_local and path.exists() and not (path.is_file() or path.is_dir()):  # opening a pipe would wait
            raise _unknown(name, "neither a file nor a folder")
        if self._parser is not None:
            return self._parsed(name, lambda: self._parser, self._completing)
        if is_local and path.is_dir():
            if _is_parquet(path):
                return kerchunk_references(name, str(path.parent), name)
            if is_zarr_folder(path):
                return zarr_folder(name)
            raise _unknown(name, "a folder of something else, whose files a pattern such as 'folder/*.nc' gives")
        if not is_local and name.lower().endswith((".zarr", "/")):
            return self._zarr_at(name)
        head = self._head(name)
        if head.startswith(hdf5.SIGNATURE) or (is_local and hdf5.has_user_block(name)):
            return self._hdf5(name, is_local=is_local)
        if is_local and (head.startswith(ZIP_MAGIC) or path.suffix.lower() == ".zip"):  # it may begin with a program
            return zarr_zip(name)
        if head.startswith(netcdf3.SIGNATURES):
            return read_netcdf3(name, self._hasher)
        if is_local and head.lstrip()[:1] == b"{":
            content = load_json(path.read_bytes())
            if content is not None:
                return kerchunk_references(name, str(path.parent), content)
        raise _unknown(name)

    def _zarr_at(self, url: str) -> Source:
        """Return a zarr hierarchy in a bucket or on a server.

        :raises OSError: if the server cannot be asked
        """
        with self._lock:
            store, path = self._resolved(url)
        if isinstance(store, manifests.ServedFile):
            raise ValueError(f"expected the URL of a zarr hierarchy without '?' and '%2F', found {url}: keys follow it")  # noqa: TRY004  # a wrong value
        read = zarr_on_server if url.startswith(("http://", "https://")) else zarr_bucket
        try:
            return read(url, store, path)
        except (OSError, ValueError):
            raise
        except Exception as error:  # obstore's have no common base but this
            raise OSError(f"cannot read {url}: {error}") from error

    def _resolved(self, url: str) -> Any:
        """Return the object store of a URL, and the path in it."""
        if self._registry is None:
            self._registry = manifests.registry(self._hasher)
        manifests.add_store(self._registry, url, self._options)
        return self._registry.resolve(url)

    def _hdf5(self, name: str, *, is_local: bool) -> Source:
        if not is_local:
            return self._parsed(name, hdf5.parser, hdf5.complete)
        with self._lock:
            like = None if self._series is None else self._series.read(name)
            if like is not None:
                return like
            source = self._parse(name, hdf5.parser, hdf5.complete)
            self._series = Series(source, name)
        return source

    def _parsed(self, name: str, parser: Callable[[], Any], complete: Complete | None = None) -> Source:
        with self._lock:
            return self._parse(name, parser, complete)

    def _parse(self, name: str, parser: Callable[[], Any], complete: Complete | None = None) -> Source:
        url = manifests.as_url(name)
        _, path = self._resolved(url)
        if _URL.match(name) is None and not url.endswith(path):
            raise ValueError(f"expected a path without '#' and '?', which end that of a URL; found {name}: link to it")
        try:
            source = manifests.parse(name, parser(), self._registry)
        except ImportError:
            raise
        except OSError as error:
            raise OSError(f"cannot read {name}: {error}") from error
        except UnparsableError as error:
            raise ValueError(f"cannot parse {name}: {error}") from error
        except Exception as error:  # whatever a parser trips over: of a thousand files the user wants to know which
            raise ValueError(f"cannot parse {name}: {type(error).__name__}: {error}") from error
        if complete is not None:
            complete(source, url, self._registry)
        return source

    def _head(self, name: str) -> bytes:
        if _URL.match(name):
            return self._hasher.read(name, 0, _HEAD_BYTES)
        with Path(name).open("rb", buffering=0) as file:
            head = file.read(_HEAD_BYTES)
            return head + file.read(_JSON_HEAD_BYTES) if head[:1].isspace() else head


def _unknown(name: str, found: str = "something else") -> ValueError:
    return ValueError(
        Message(
            f"expected netCDF-4, HDF5, netCDF-3, a zarr folder or zip, or kerchunk references, found {found}: {name}",
            Term("parser=...", " (parser=... takes a parser of VirtualiZarr for other formats)"),
        )
    )


def _is_parquet(path: Path) -> bool:
    """Return whether a folder has kerchunk references as parquet: its metadata names a record size."""
    try:
        return b'"record_size"' in (path / ".zmetadata").read_bytes()
    except OSError:
        return False


def warn_of_codecs(source: Source, *, chosen: bool) -> None:
    """Warn which codecs readers of a dataset need.

    :param chosen: whether the user has chosen the parser: then of all codecs that zarr's specification lacks, else of
        those that neither zarr nor numcodecs brings
    """
    codecs = {
        name
        for array in source.arrays.values()
        for name in _codecs_of(array.metadata)
        if not _is_known(name, numcodecs_too=not chosen)
    }
    if codecs:
        warnings.warn(
            f"readers of {source.name} need the zarr codecs {', '.join(sorted(codecs))}: name the packages that have "
            f"them where you publish the dataset",
            stacklevel=4,
        )


def _codecs_of(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the codecs of an array; those of format 2 are codecs of numcodecs."""
    for codec in (*(metadata.get("filters") or ()), metadata.get("compressor")):
        if codec:
            yield f"numcodecs.{codec['id']}"
    todo = list(metadata.get("codecs", ()))
    while todo:
        codec = todo.pop()
        if isinstance(codec, str):  # the short form of one without a configuration
            yield codec
            continue
        yield str(codec.get("name"))
        own = codec.get("configuration") or {}
        todo += [*own.get("codecs", ()), *own.get("index_codecs", ())]  # of shards


def _is_known(name: str, *, numcodecs_too: bool) -> bool:
    if numcodecs_too and name.startswith("numcodecs."):
        from numcodecs import registry  # type: ignore[import-untyped,unused-ignore]  # it has no types

        known = registry.codec_registry.get(name.removeprefix("numcodecs."))
        return known is not None and known.__module__.startswith("numcodecs.")
    return name in _ZARR_CODECS


_ZARR_CODECS: Final = (
    "blosc", "bytes", "cast_value", "crc32c", "gzip", "scale_offset", "sharding_indexed", "transpose", "vlen-bytes",
    "vlen-utf8", "zstd",
)  # fmt: skip
