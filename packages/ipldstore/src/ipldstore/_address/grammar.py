"""The grammar of addresses that :func:`ipldstore.open` and its relatives take; ``docs/addresses.md`` shows it.

::

    address = place ["@" ref] ["#" group]
    place   = path | file:///path | s3://bucket/prefix | https://host/name.car | ipfs://CID[/path] | ...
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from ipld_car import CarError, cids
from ipld_car.messages import Message, Term
from multiformats import CID

from .content_url import parse_content_url, parse_gateway_url
from .file_path import path_of_url, split_existing
from .places import Address, AnyAddress, ArchiveURL, BucketURL, ContentPath
from .url_parts import check_text, decoded, split_url, without_secrets

_BUCKETS: Final = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss")
_HTTP: Final = ("http", "https")
_CONTENT: Final = ("ipfs", "ipns", "ipld")
_SCHEMES: Final = ("file", *_CONTENT, *_BUCKETS, *_HTTP)
_URL: Final = re.compile(rf"([^/\\]{{2,}}?):/|({'|'.join(_SCHEMES)}):", re.IGNORECASE)
"""A scheme of one letter is the drive of a path on Windows. Without a slash only known schemes make a URL."""
_ARCHIVE_REF: Final = re.compile(r"(.*\.car)@([^/]*)", re.IGNORECASE)
_CID_END: Final = re.compile(r"[/@#]")


def parse(what: AnyAddress) -> Address:
    """Return what an address names: a place, and the ref and the group behind it, if there are any.

    A ``file:`` URL is a path. A URL of ``s3:``, ``gs:``, ``az:`` and the like is a bucket, or a CAR file in it if its
    path ends in ``.car``, in any case. A URL of ``http:`` or ``https:`` is a CAR file, and its path ends so, or
    content behind a gateway, and its path is ``/ipfs/CID`` or ``/ipns/name``. A CID may be an object, its text,
    ``ipfs://CID``, ``ipld://CID`` or ``/ipfs/CID``; a file or folder that has that name goes before a CID. A
    :class:`os.PathLike` is a path as it is, never a CID, and has no ref and no group.

    Of a path on this machine, the longest beginning that is there is the place, so that a file whose name has ``@`` or
    ``#`` in it is opened by its plain path. In a URL such characters of a name are written ``%40`` and ``%23``.

    :raises ValueError: if the address is empty, or a URL of another scheme, of another machine, of no CAR file, without
        a host, or of content without a CID or a name; or nothing stands behind ``@``
    :raises TypeError: if it is none of the types

    >>> parse("air.car@v1#ocean/deep").ref, parse("air.car@v1#ocean/deep").group
    ('v1', 'ocean/deep')
    >>> parse("file:///data/air%20pressure.car").place.name
    'air pressure.car'
    >>> parse("bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua").place
    ipfs://bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua
    >>> parse("s3://bucket/air@main")
    Address(place=BucketURL(url='s3://bucket/air'), ref='main', group='')
    >>> parse("memory://air")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: expected a path, a CID or a URL of a known scheme, found ...; known are file:, ipfs:, ipns:, ...
    """
    if isinstance(what, CID):
        return Address(ContentPath(what, is_bare=True))
    given: object = what
    text = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise TypeError(f"expected a path, a CID or a URL as text, found {type(what).__name__}{_advice(what)}")
    if not text:
        raise ValueError('expected a path, a CID or a URL, found an empty text: the folder that one is in is "."')
    if "\0" in text:
        raise ValueError(f"expected an address without a character NUL, found {text!r}")
    url = _URL.match(text)
    if isinstance(what, os.PathLike) and (url is None or url[1] is None):
        return Address(Path(text))  # also "s3:bucket", which is what pathlib makes of "./s3:bucket"
    if url is None:
        return (None if _is_there(text) else parse_cid(text)) or _parse_path(text)
    scheme, _, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme == "file":
        return _parse_file_url(text, rest)
    if "://" in text and isinstance(what, str):
        check_text(text)
        if scheme in _CONTENT:
            return parse_content_url(scheme, text)
        if scheme in (*_BUCKETS, *_HTTP):
            return _parse_remote(f"{scheme}:{rest}")
    known = ", ".join(f"{scheme}:" for scheme in _SCHEMES)
    advice = "" if url[2] is None else f"; a file of that name is './{text}'"
    found = without_secrets(text)
    raise ValueError(f"expected a path, a CID or a URL of a known scheme, found {found!r}; known are {known}{advice}")


def _advice(what: object) -> str:
    """Return what to do with what holds bytes."""
    if hasattr(what, "read") or isinstance(what, (bytes, bytearray, memoryview)):
        name = getattr(what, "name", None)
        path = f"give its path, {name!r}, or " if isinstance(name, str) else ""
        return f": {path}IPLDStore.from_car(...), which reads a CAR into memory from bytes and any file object"
    return ""


def local_path(what: str | os.PathLike[str]) -> Path:
    """Return the path of a file or folder on this machine, given as path or ``file:`` URL.

    :raises ValueError: if the address is something else, or names a version or a group
    """
    found = parse(what)
    place = found.place
    if not isinstance(place, Path):
        name = "the URL of a CAR file" if isinstance(place, ArchiveURL) else f"{place!r}"
        name = f"the URL of a bucket, {place.url}" if isinstance(place, BucketURL) else name
        name = f"the CID {place.cid}" if isinstance(place, ContentPath) and place.is_bare else name
        raise ValueError(f"expected the path of a file or folder, found {name}")  # noqa: TRY004  # a wrong value
    if found.ref is not None or found.group:
        raise ValueError(f"expected the path of a file or folder, without a version or a group; found {what!r}")
    return place


def parse_cid(text: str) -> Address | None:
    """Return the address that begins with a CID: ``CID``, ``/ipfs/CID``, each with path, ref and group; else None."""
    rest = text.removeprefix("/ipfs/")
    name = _CID_END.split(rest, maxsplit=1)[0]
    try:
        cids.to_bytes(name)
    except CarError:
        return None
    parsed = parse_content_url("ipfs", f"ipfs://{rest}")
    assert isinstance(parsed.place, ContentPath)  # noqa: S101  # of the scheme
    return parsed._replace(place=ContentPath(parsed.place.cid, parsed.place.path, is_bare=True))


def _is_there(text: str) -> bool:
    return Path(text).exists() or split_existing(text, Path) is not None


def _parse_path(text: str) -> Address:
    path = Path(text)
    if path.exists() or not ("@" in text or "#" in text):
        return Address(path)
    return split_existing(text, Path) or _split_archive(text) or Address(path)


def _split_archive(text: str) -> Address | None:
    """Return the address of a CAR file that is not there, so that the error names the file."""
    found = re.fullmatch(r"(.*\.car)(?:@([^#/\\]*))?(?:#(.*))?", text, re.IGNORECASE)
    if found and found[2] == "":
        raise ValueError(f"expected a branch, tag or commit behind the @ of {text!r}, found nothing")
    return found and Address(Path(found[1]), found[2], (found[3] or "").strip("/"))


def _parse_file_url(url: str, rest: str) -> Address:
    rest, _, group = rest.partition("#")
    path = path_of_url(url, rest)
    if path.exists() or "@" not in rest:
        return Address(path, None, decoded(group).strip("/"))
    found = split_existing(rest, lambda text: path_of_url(url, text)) or Address(path)
    return found._replace(group=decoded(group).strip("/"))


def _parse_remote(url: str) -> Address:
    """Return what a URL of another machine names."""
    url, _, fragment = url.partition("#")
    group = decoded(fragment).strip("/")
    parts = split_url(url)
    if parts.path.lower().endswith(".car"):
        return Address(ArchiveURL(url), None, group)
    archive = _ARCHIVE_REF.fullmatch(parts.path)
    if archive is not None:
        if not archive[2]:
            raise ValueError(f"expected a branch, tag or commit behind the @ of {parts.path!r}, found nothing")
        return Address(ArchiveURL(parts._replace(path=archive[1]).geturl()), decoded(archive[2]), group)
    if parts.scheme in _HTTP:
        found = parse_gateway_url(parts)
        if found is not None:
            return found._replace(group=group)
        raise ValueError(
            Message(
                f"expected the URL of a CAR file, whose path ends in .car, or one behind a gateway, such as "
                f"https://gateway/ipfs/CID; found the path {parts.path!r}",
                Term(
                    "GatewayCAStore(url)",
                    " (GatewayCAStore(url) reads from a gateway, and CarCAStore(url) an archive at any URL)",
                ),
            )
        )
    before, slash, name = parts.path.rpartition("/")
    name, at, ref = name.partition("@")
    if at:
        if not ref:
            raise ValueError(f"expected a branch, tag or commit behind the @ of {parts.path!r}, found nothing")
        return Address(BucketURL(parts._replace(path=before + slash + name).geturl()), decoded(ref), group)
    return Address(BucketURL(url), None, group)
