"""URLs of content: ``ipfs://CID/path``, ``ipns://name/path``, ``ipld://CID/path``, and the same behind a gateway.

Sources: https://docs.ipfs.tech/how-to/address-ipfs-on-web/ and https://specs.ipfs.tech/http-gateways/.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult

from ipld_car import CarError, cids

from .places import Address, ContentPath, NamePath
from .url_parts import decoded

_PATH_GATEWAY: Final = re.compile(r"(?P<base>/.*?)?/(?P<kind>ipfs|ipns)/(?P<rest>[^/].*)")
_NAME: Final = re.compile(r"[\w-]+(\.[\w-]+)*\.?")
"""A name of letters and digits of any script. DNS and IPNS have more rules, which a resolver applies."""
_SUBDOMAIN_GATEWAY: Final = re.compile(r"(?P<name>[^.]+)\.(?P<kind>ipfs|ipns)\.(?P<host>.+)")


def parse_content_url(scheme: str, text: str) -> Address:
    """Return the address that a URL of the scheme ``ipfs``, ``ipld`` or ``ipns`` is.

    :param text: the whole URL
    :raises ValueError: if it has a query, or a path with ``.`` or ``..`` in it, or names no CID and no name
    """
    rest = text.partition("://")[2]
    rest, _, fragment = rest.partition("#")
    return _parse(scheme, rest, text)._replace(group=decoded(fragment).strip("/"))


def parse_gateway_url(parts: SplitResult) -> Address | None:
    """Return the address that an ``https:`` URL behind a gateway is; None if it is not behind one.

    :param parts: a URL such as ``https://gateway.example/ipfs/CID/path`` or ``https://CID.ipfs.gateway.example/path``
    :raises ValueError: see :func:`parse_content_url`
    """
    found = _PATH_GATEWAY.fullmatch(parts.path)
    if found is not None:
        gateway = parts._replace(path=found["base"] or "", query="", fragment="").geturl()
        kind, rest = found["kind"], found["rest"]
    else:
        credentials, at, host = parts.netloc.rpartition("@")
        found = _SUBDOMAIN_GATEWAY.fullmatch(host)
        if found is None:
            return None
        gateway = f"{parts.scheme}://{credentials}{at}{found['host']}"
        kind, name = found["kind"], found["name"]
        if kind == "ipns" and "." not in name:  # a domain has "-" for ".", and "--" for "-", in one label
            name = name.replace("--", "\0").replace("-", ".").replace("\0", "-")
        rest = name + parts.path
    if kind == "ipfs" and not cids.is_cid(rest.partition("/")[0].partition("@")[0]):
        return None
    if parts.query:
        raise ValueError(f"expected a URL behind a gateway without a query, found one with '?' at {parts.path!r}")
    return _parse(kind, rest, parts.path, gateway)


def _parse(scheme: str, rest: str, shown: str, gateway: str | None = None) -> Address:
    """Return the address of ``CID[@ref][/path]`` or ``name[@ref][/path]``."""
    if "?" in rest:
        raise ValueError(f"expected a URL without a query, found {shown!r} (in a name, ? is %3F)")
    head, _, tail = rest.partition("/")
    name, at, ref = head.partition("@")
    path = tuple(decoded(part) for part in tail.strip("/").split("/")) if tail.strip("/") else ()
    if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in path):
        raise ValueError(f"expected a path of names, found an empty one, '.', '..' or one with '/' in {shown!r}")
    if at and not ref:
        raise ValueError(f"expected a branch, tag or commit behind the @ of {shown!r}, found nothing")
    if scheme == "ipns":
        if not name:
            raise ValueError(f"expected an IPNS name or a domain, as in ipns://name/path, found none in {shown!r}")
        return Address(NamePath(_name(decoded(name), shown), path, gateway), decoded(ref) or None)
    if not name:
        raise ValueError(f"expected the text of a CID, as in ipfs://CID/path, found none in {shown!r}")
    try:
        cid = cids.from_validated(cids.to_bytes(name))
    except CarError as error:
        raise ValueError(f"{error.message} (in the address {shown!r})") from None
    return Address(ContentPath(cid, path, gateway=gateway), decoded(ref) or None)


def _name(name: str, shown: str) -> str:
    """Return a name that can be that of a key or a domain.

    :raises ValueError: if it can be neither
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"expected an IPNS name or a domain, found {name!r} in {shown!r}")
    return name
