"""URLs taken apart, with errors that show no credentials."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
"""Python drops some of these from a URL without a word."""


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL that has a host, or a bucket in its place.

    :raises ValueError: if it has none, or one that cannot be, or a port that is none
    """
    scheme = url.partition("://")[0]
    shown = f"{scheme}://{_host_of(url)}"
    wanted = "a URL with a host, such as https://host:8080/air.car,"
    if not scheme.startswith("http"):
        wanted = f"a URL that names a bucket, such as {scheme}://bucket/prefix;"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"expected {wanted} found {shown!r}: {error}") from None
    host = parts.netloc.rpartition("@")[2]
    if not parts.hostname or port == 0 or re.search(r"[\s%\\]", host):
        raise ValueError(f"expected {wanted} found {shown!r}")
    return parts


def _host_of(url: str) -> str:
    return re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]


def without_secrets(url: str) -> str:
    """Return a URL of any scheme without userinfo and query, for errors; also where a slash is missing.

    >>> without_secrets("s4://me:pw@bucket/air?sig=1"), without_secrets("s3:/me:pw@bucket")
    ('s4://bucket/air', 's3:/bucket')
    """
    return re.sub(r"(:/+)[^/?#]*@", r"\1", url, count=1).partition("?")[0]


def check_text(text: str) -> None:
    """Refuse an address with control characters, which no place has in its name.

    :raises ValueError: if there are any
    """
    if _CONTROL.search(text):
        raise ValueError(f"expected an address without control characters, found one in {text!r}")


def decoded(text: str, what: str = "a URL") -> str:
    """Return a part of a URL with its percent encoding undone.

    :param what: what it is a part of, for errors
    :raises ValueError: if it is the encoding of no text
    """
    try:
        found = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"expected percent-encoded UTF-8 in {what}, found {text!r}") from None
    if "\0" in found:
        raise ValueError(f"expected {what} without %00, found {text!r}")
    return found
