"""Which files an index may name: a prefix that the user gave, and nothing else.

An index from others could name any file of this machine, or any address of its network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import url2pathname

from ipld_car.messages import Message, Term

from ipld_castore.errors import FileRefusedError

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PORTS: Final = {"http": 80, "https": 443}


def is_url(name: str) -> bool:
    """Return whether a file name is a URL, and no path.

    >>> is_url("s3://bucket/x.nc"), is_url("/data/x.nc"), is_url("C:/x.nc")
    (True, False, False)
    """
    return _URL.match(name) is not None


def local_name(name: str) -> str:
    """Return the path that a ``file:`` URL is of; any other name as it is.

    :raises ValueError: if the URL is of a file on another machine

    >>> local_name("file:///data/a%20b.nc"), local_name("file://localhost/data"), local_name("/data/a%20b.nc")
    ('/data/a b.nc', '/data', '/data/a%20b.nc')
    """
    if name[:6].lower() != "file:/":
        return name
    parts = urlsplit(name)
    if (parts.hostname or "localhost") != "localhost" or parts.query or parts.fragment:
        raise ValueError(f"expected the URL of a file of this machine, such as file:///data/x.nc; found {name!r}")
    return url2pathname(parts.path)


class AllowList:
    """Prefixes of paths and URLs that may be opened.

    A path is allowed if it leads, all symbolic links resolved, to a prefix or below it. A URL is allowed if scheme,
    host and port are those of a prefix, and its path is the path of the prefix or below it.

    :param prefixes: folders and files of this machine, and URLs
    :raises ValueError: if a prefix is empty, or a URL with credentials, a query or a fragment, or of a file elsewhere

    >>> allow = AllowList(["https://host/data"])
    >>> allow.check_url("https://host/data/2026/x.nc")
    >>> allow.check_url("https://host/database")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ipld_castore.FileRefusedError: expected a file below one of ['https://host/data'], found https://host/database: ...
    """

    def __init__(self, prefixes: Iterable[str | os.PathLike[str]]) -> None:
        if isinstance(prefixes, (str, os.PathLike)):
            raise TypeError(f"expected a list of prefixes, found one text: allow=[{os.fspath(prefixes)!r}]")
        given = [local_name(os.fspath(prefix)) for prefix in prefixes]
        if not all(given):
            raise ValueError("expected paths and URLs as prefixes, found an empty text")
        self._shown = given
        self._urls = [_parse(prefix) for prefix in given if is_url(prefix)]
        self._paths = frozenset(os.path.realpath(prefix) for prefix in given if not is_url(prefix))
        for parts in self._urls:
            if parts.query or parts.fragment or "@" in parts.netloc:
                raise ValueError(
                    "expected a URL without credentials, query and fragment as prefix, found one with them"
                )

    def check_path(self, resolved: str) -> None:
        """Require that a path may be opened.

        :param resolved: the path with all symbolic links resolved
        :raises FileRefusedError: if it may not
        """
        path, above = resolved, os.path.dirname(resolved)  # noqa: PTH120  # a tenth of the time, at each block
        while path not in self._paths:
            if path == above:
                raise self._refusal(resolved)
            path, above = above, os.path.dirname(above)  # noqa: PTH120  # as above

    def check_url(self, url: str) -> None:
        """Require that a URL may be opened, or a redirect to it followed.

        :raises FileRefusedError: if it may not
        """
        found = _parse(url)
        if "@" in found.netloc or not any(_is_below(found, prefix) for prefix in self._urls):
            raise self._refusal(f"{found.scheme}://{found.netloc.rpartition('@')[2]}{found.path}")

    def _refusal(self, found: str) -> FileRefusedError:
        return FileRefusedError(
            Message(
                f"expected a file below one of {self._shown}, found {found}: an index from others opens nothing else; ",
                Term("allow=[...]", "pass allow=[prefix, ...] with the folders and URLs that it may read"),
            )
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown!r})"


def _parse(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise FileRefusedError("expected a URL, found a text that is none") from None
    return parts


def _is_below(url: SplitResult, prefix: SplitResult) -> bool:
    """Return whether a URL is a prefix, or below it.

    Segments that a server may resolve could lead out of the prefix, so none is taken: as they are, percent-encoded, or
    with parameters (``..;x``).
    """
    if (url.scheme, url.hostname, _port(url)) != (prefix.scheme, prefix.hostname, _port(prefix)):
        return False
    segments = {part.partition(";")[0] for part in unquote(unquote(url.path)).replace("\\", "/").split("/")}
    if ".." in segments or "." in segments:
        return False
    above = prefix.path.rstrip("/")
    return url.path == above or url.path.startswith(f"{above}/")


def _port(url: SplitResult) -> int | None:
    return url.port or _PORTS.get(url.scheme)
