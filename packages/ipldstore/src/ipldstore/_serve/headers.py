"""Headers that answers share: caching, names of downloads, what browsers may do with the content."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

IMMUTABLE: Final = "public, max-age=29030400, immutable"

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Range, User-Agent, X-Requested-With, If-None-Match, Accept",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, Content-Type, ETag, X-Ipfs-Path, X-Ipfs-Roots",
    "Access-Control-Max-Age": "86400",
}
"""Any website may read content that it knows the CID of. No page that lists anything has these headers."""

SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",
    "Referrer-Policy": "no-referrer",
}
"""Content is from whoever made it: a browser runs no script of it, and does not guess its type."""

PAGE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox allow-same-origin"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Pages are made here, have no script, and are shown in no frame of another site."""


def disposition(filename: str) -> str:
    r"""Return the header that makes a browser store the content, by RFC 6266.

    >>> disposition("a.car")
    'attachment; filename="a.car"'
    >>> disposition("aé.car")
    'attachment; filename="a_.car"; filename*=UTF-8\'\'a%C3%A9.car'
    """
    plain = "".join(each if " " <= each <= "~" and each not in '"\\/' else "_" for each in filename)
    header = f'attachment; filename="{plain}"'
    return header if plain == filename else f"{header}; filename*=UTF-8''{quote(filename, safe='')}"


def is_fresh(if_none_match: str | None, etag: str) -> bool:
    """Return whether the visitor has the content already (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    tags = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags
