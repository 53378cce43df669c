"""Paths on this machine: ``file:`` URLs, and where in a text the path ends."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote_to_bytes
from urllib.request import url2pathname

from .places import Address


def path_of_url(url: str, rest: str) -> Path:
    """Return the path of a ``file:`` URL, by RFC 8089.

    :param url: the whole URL, for errors
    :param rest: what follows ``file:``
    :raises ValueError: if it names no path on this machine
    """
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise ValueError(
                f"expected a file: URL of this machine, such as file:///air.car, found the host {host!r} in {url!r}"
            )
        rest = slash + path
    if "?" in rest:
        raise ValueError(f"expected a file: URL with %3F for ?, found {url!r}")
    if "%00" in rest:
        raise ValueError(f"expected a file: URL without %00, found {url!r}")
    if rest == "/" or not rest.startswith("/"):
        raise ValueError(f"expected a file: URL with an absolute path, such as file:///data/air.car, found {url!r}")
    return Path(url2pathname(rest) if os.name == "nt" else os.fsdecode(unquote_to_bytes(rest)))


def split_existing(text: str, path_of: Callable[[str], Path]) -> Address | None:
    """Return the address whose place is the longest beginning of a text that ends before ``@`` or ``#`` and is there.

    Only what can be a dataset counts: a file, or a folder of blocks.

    :param path_of: returns the path of a beginning
    :returns: None if there is none
    :raises ValueError: if nothing stands behind its ``@``
    """
    for cut in reversed([found.start() for found in re.finditer("[@#]", text)]):
        if cut == 0:
            continue
        path = path_of(text[:cut])
        if not (path.is_file() or (path / "SHARDING").exists()):
            continue
        ref, _, group = text[cut + 1 :].partition("#") if text[cut] == "@" else ("", "", text[cut + 1 :])
        if text[cut] == "@" and not ref:
            raise ValueError(f"expected a branch, tag or commit behind the @ of {text!r}, found nothing")
        if text[cut] == "#" or (ref and "/" not in ref):
            return Address(path, ref or None, group.strip("/"))
    return None
