"""Ranges of the files that an index names: on this machine, on HTTP servers, in buckets."""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

from ipld_castore._http.client import HTTPClient
from ipld_castore._object.options import open_store
from ipld_castore._remote.file_url import FileURL, parse_file_url
from ipld_castore._remote.http_source import HTTPRangeSource
from ipld_castore._remote.object_source import ObjectRangeSource
from ipld_castore.concurrency import ForkLocal
from ipld_castore.errors import BackendUnavailableError, FileRefusedError

from .allow import AllowList, is_url, local_name
from .moved import MovedFiles

_MAX_SOURCES: Final = 256
"""Files at URLs of which the version is remembered."""
_HTTP: Final = ("http", "https")
_BUCKETS: Final = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss")
_HTTP_OPTIONS: Final = ("timeout", "retries")
# A name may lead to a pipe or a terminal by the time it is opened: O_NONBLOCK opens those without waiting.
OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


class RangeSource(Protocol):
    """A file that is read by ranges."""

    @property
    def size(self) -> int:
        """Bytes of the file."""

    def read(self, offset: int, size: int, /) -> bytes:
        """Return ``size`` bytes from ``offset`` on, fewer where the file ends."""


class _Sources:
    """The sources of files at URLs, in one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_url: OrderedDict[tuple[str, bool], RangeSource] = OrderedDict()
        self.buckets: dict[str, Any] = {}


class FileRanges:
    """Read ranges of files by their names in an index, if they may be opened. Threads may share it.

    :param allow: what an index from others may open
    :param moved: where files are now that an index has by older names
    :param options: of buckets: those of :meth:`ipld_castore.ObjectCAStore.from_url`; of HTTP: ``timeout``, ``retries``
    """

    def __init__(self, allow: AllowList, options: Mapping[str, Any], moved: MovedFiles | None = None) -> None:
        self._allow = allow
        self._moved = moved or MovedFiles({})
        self._options = dict(options)
        timeout = self._options.get("timeout", 30.0)
        self._retries = self._options.get("retries", 3)
        self._client = HTTPClient(timeout)
        self._sources = ForkLocal(_Sources)

    def resolve(self, name: str, folder: str | Path, *, exempt: bool) -> str:
        """Return the URL or resolved path of a file.

        :param folder: where relative paths begin
        :param exempt: whether the index was made by this process, and may name any file
        :raises FileRefusedError: if the file may not be opened
        """
        path = self.place_of(name, folder)
        if is_url(path):
            if not exempt:
                self._allow.check_url(path)
            return path
        if exempt:
            return path
        path = os.path.realpath(path)
        self._allow.check_path(path)
        return path

    def place_of(self, name: str, folder: str | Path) -> str:
        """Return the URL or path of a file by its name in an index.

        :param folder: where relative paths begin
        :raises FileRefusedError: if it is the ``file:`` URL of a file of another machine
        """
        try:
            name = local_name(name)
        except ValueError as error:
            raise FileRefusedError(str(error)) from None
        return self._moved.place_of(name if is_url(name) else os.path.join(folder, name))  # noqa: PTH118  # a fifth of the time, at each block

    def read(self, resolved: str, offset: int, length: int, *, exempt: bool) -> bytes:
        """Return a range of a file, fewer bytes where the file ends.

        :param resolved: what :meth:`resolve` has returned
        :raises BackendUnavailableError: if the file cannot be read, or has changed since this process read it first
        :raises FileRefusedError: if a redirect leads to what may not be opened
        """
        if not is_url(resolved):
            with LocalRanges(resolved) as file:
                return file.read(offset, length)
        if length == 0:
            return b""  # no range of HTTP is empty
        source = self._source(resolved, exempt=exempt)
        try:
            return source.read(offset, length)
        except BackendUnavailableError:
            self.forget(resolved, exempt=exempt)  # the file may be another one now: hashes tell
            raise

    def size(self, resolved: str, *, exempt: bool) -> int:
        """Return the size of a file in bytes.

        :param resolved: what :meth:`resolve` has returned
        :raises BackendUnavailableError: if the file cannot be read
        :raises FileRefusedError: if a redirect leads to what may not be opened
        """
        if is_url(resolved):
            return self._source(resolved, exempt=exempt).size
        with LocalRanges(resolved) as file:
            return file.size

    def _source(self, url: str, *, exempt: bool) -> RangeSource:
        mine = self._sources.value
        with mine.lock:
            source = mine.by_url.get((url, exempt))
            if source is None:
                source = mine.by_url[url, exempt] = self._new_source(url, mine.buckets, exempt=exempt)
                if len(mine.by_url) > _MAX_SOURCES:
                    mine.by_url.popitem(last=False)
            mine.by_url.move_to_end((url, exempt))
        return source

    def _new_source(self, url: str, buckets: dict[str, Any], *, exempt: bool) -> RangeSource:
        parts = urlsplit(url)
        if parts.scheme in _HTTP:

            def check(place: FileURL) -> None:
                if not exempt:
                    self._allow.check_url(place.shown)

            try:
                place = parse_file_url(url)
            except ValueError as error:
                raise FileRefusedError(f"expected the URL of a file: {error}") from None
            return HTTPRangeSource(
                place, self._client.timeout, self._retries, client=self._client, check_redirect=check
            )
        if parts.scheme in _BUCKETS:
            bucket = f"{parts.scheme}://{parts.netloc}"
            if bucket not in buckets:
                own = {name: value for name, value in self._options.items() if name not in _HTTP_OPTIONS}
                buckets[bucket] = open_store(bucket, own)
            return ObjectRangeSource(buckets[bucket], parts.path.removeprefix("/"))
        raise FileRefusedError(
            f"expected a path, or a URL of {', '.join((*_HTTP, *_BUCKETS))}; found the scheme {parts.scheme!r}"
        )

    def forget(self, url: str, *, exempt: bool) -> None:
        """Forget which version of a file at a URL was read before."""
        mine = self._sources.value
        with mine.lock:
            mine.by_url.pop((url, exempt), None)

    def close(self) -> None:
        """Close the connections; reading opens new ones."""
        self._client.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_sources": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._sources = ForkLocal(_Sources)


class LocalRanges:
    """A file of this machine, open for reading ranges while it is used in a ``with`` statement.

    :param path: the file, with all symbolic links resolved
    :raises BackendUnavailableError: if it is no file, or cannot be read
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            descriptor = os.open(path, OPEN_FLAGS)
            self._file = os.fdopen(descriptor, "rb", buffering=0)
            found = os.fstat(descriptor)
            self.size = found.st_size
            if not stat.S_ISREG(found.st_mode):
                self._file.close()
                raise BackendUnavailableError(f"cannot read {path}: expected a file, found something else")
        except OSError as error:
            if isinstance(error, BackendUnavailableError):
                raise
            raise BackendUnavailableError(f"cannot read {path}: {error}") from error

    def read(self, offset: int, size: int, /) -> bytes:
        """Return a range of the file, fewer bytes where the file ends.

        :raises BackendUnavailableError: if it cannot be read
        """
        try:
            self._file.seek(offset)
            pieces = []
            while size and (piece := self._file.read(size)):
                pieces.append(piece)
                size -= len(piece)
        except (OSError, OverflowError) as error:
            raise BackendUnavailableError(f"cannot read {self.path} at {offset}: {error}") from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Read a range of the file into memory; return the number of bytes, fewer where the file ends.

        :raises BackendUnavailableError: if it cannot be read
        """
        done = 0
        try:
            self._file.seek(offset)
            while done < len(buffer) and (count := self._file.readinto(buffer[done:])):
                done += count
        except (OSError, OverflowError) as error:
            raise BackendUnavailableError(f"cannot read {self.path} at {offset}: {error}") from error
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
