"""Addresses that :func:`ipldstore.open` and its relatives take: paths, URLs and CIDs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from ipld_car import CarError, cids
from multiformats import CID

Where = str | os.PathLike[str] | CID

_BUCKETS: Final = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss")
_HTTP: Final = ("http", "https")
_SCHEMES: Final = ("file", "ipfs", *_BUCKETS, *_HTTP)
_URL: Final = re.compile(rf"([^/\\]{{2,}}?):/|({'|'.join(_SCHEMES)}):", re.IGNORECASE)
"""A scheme of one letter is the drive of a path on Windows. Without a slash only known schemes make a URL."""


class BucketURL(NamedTuple):
    """The URL of a bucket and a prefix in it."""

    url: str


class ArchiveURL:
    """The URL of a CAR file on a server or in a bucket. No text shows it, as there may be secrets in it.

    :param url: the URL, as the user gave it
    """

    def __init__(self, url: str) -> None:
        self.url = url


def parse(where: Where) -> Path | CID | BucketURL | ArchiveURL:
    """Return what an address names: the path of a file or folder on this machine, a bucket, a CAR file, or a CID.

    A ``file:`` URL is a path. A URL of ``s3:``, ``gs:``, ``az:`` and the like is a bucket, or a CAR file in it if its
    path ends in ``.car``, in any case. A URL of ``http:`` or ``https:`` is a CAR file, and its path ends so. A CID may
    be an object, its text, ``ipfs://CID`` or ``/ipfs/CID``; a file or folder that has that name goes before a CID. A
    :class:`os.PathLike` is a path, never a CID.

    :raises ValueError: if the address is empty, or a URL of another scheme, of another machine, or of no CAR file
    :raises ipld_car.CarError: if an ``ipfs:`` URL names no CID, which is a ValueError
    :raises TypeError: if it is none of the types

    >>> print(parse("air.car"))
    air.car
    >>> parse("file:///data/air%20pressure.car").name
    'air pressure.car'
    >>> print(parse("bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"))
    bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua
    >>> parse("s3://bucket/air")
    BucketURL(url='s3://bucket/air')
    >>> parse("memory://air")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: expected a path, a CID or a URL of a known scheme, found ...; known are file:, ipfs:, s3:, ...
    """
    if isinstance(where, CID):
        return where
    text = os.fspath(where)
    if not isinstance(text, str):
        raise TypeError(f"expected a path, a CID or a URL as text, found {type(where).__name__}")
    if not text:
        raise ValueError('expected a path, a CID or a URL, found an empty text: the folder that one is in is "."')
    url = _URL.match(text)
    if isinstance(where, os.PathLike) and (url is None or url[1] is None):
        return Path(text)  # also "s3:bucket", which is what pathlib makes of "./s3:bucket"
    if url is None:
        return _path_or_cid(text)
    scheme, _, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme == "file":
        return _path_of_url(text, rest)
    if scheme == "ipfs" and "://" in text:
        return cids.from_validated(cids.to_bytes(text))
    if scheme in (*_BUCKETS, *_HTTP) and "://" in text and isinstance(where, str):
        return _remote(f"{scheme}:{rest}")
    known = ", ".join(f"{scheme}:" for scheme in _SCHEMES)
    advice = "" if url[2] is None else f"; a file of that name is './{text}'"
    raise ValueError(f"expected a path, a CID or a URL of a known scheme, found {text!r}; known are {known}{advice}")


def local_path(where: str | os.PathLike[str]) -> Path:
    """Return the path of a file or folder on this machine, given as path or ``file:`` URL.

    :raises ValueError: if the address is something else
    """
    found = parse(where)
    if not isinstance(found, Path):
        what = "the URL of a CAR file" if isinstance(found, ArchiveURL) else f"the CID {found}"
        what = f"the URL of a bucket, {found.url}" if isinstance(found, BucketURL) else what
        raise ValueError(f"expected the path of a file or folder, found {what}")  # noqa: TRY004  # a wrong value
    return found


def _remote(url: str) -> BucketURL | ArchiveURL:
    """Return what a URL of another machine names."""
    parts = urlsplit(url)
    if parts.path.lower().endswith(".car"):
        return ArchiveURL(url)
    if parts.scheme in _HTTP:
        raise ValueError(
            f"expected the URL of a CAR file, whose path ends in .car; found the path {parts.path!r} "
            f"(GatewayCAStore(url) reads from a gateway, and CarCAStore(url) an archive at any URL)"
        )
    return BucketURL(url)


def _path_or_cid(text: str) -> Path | CID:
    try:
        binary = cids.to_bytes(text)
    except CarError:
        return Path(text)
    return Path(text) if Path(text).exists() else cids.from_validated(binary)


def _path_of_url(url: str, rest: str) -> Path:
    """Return the path of a ``file:`` URL, by RFC 8089.

    :param rest: what follows ``file:``
    """
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise ValueError(
                f"expected a file: URL of this machine, such as file:///air.car, found the host {host!r} in {url!r}"
            )
        rest = slash + path
    if "?" in rest or "#" in rest:
        raise ValueError(f"expected a file: URL with %3F for ? and %23 for #, found {url!r}")
    if rest == "/" or not rest.startswith("/"):
        raise ValueError(f"expected a file: URL with an absolute path, such as file:///data/air.car, found {url!r}")
    return Path(url2pathname(rest) if os.name == "nt" else os.fsdecode(unquote_to_bytes(rest)))
