"""What an address names: a place, a version and a group."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from multiformats import CID

AnyAddress = str | os.PathLike[str] | CID


class BucketURL(NamedTuple):
    """The URL of a bucket and a prefix in it."""

    url: str


class ArchiveURL:
    """The URL of a CAR file on a server or in a bucket. No text shows it, as there may be secrets in it.

    :param url: the URL, as the user gave it
    """

    def __init__(self, url: str) -> None:
        self.url = url


@dataclass(frozen=True)
class ContentPath:
    """A CID, and a path below it."""

    cid: CID
    path: tuple[str, ...] = ()
    """The names on the way: of groups below a root of ours, of directories below a UnixFS directory."""
    is_bare: bool = False
    """Whether the address says nothing of where blocks are: a CID alone, or ``/ipfs/CID``."""
    gateway: str | None = None
    """The URL of the one gateway to ask, which may hold credentials; None for a node or any gateway."""

    def __repr__(self) -> str:
        return "/".join((f"ipfs://{self.cid}", *self.path))


@dataclass(frozen=True)
class NamePath:
    """An IPNS name or a domain with a DNSLink, and a path below what it points to."""

    name: str
    path: tuple[str, ...] = ()
    """See :attr:`ContentPath.path`."""
    gateway: str | None = None
    """See :attr:`ContentPath.gateway`."""

    def __repr__(self) -> str:
        return "/".join((f"ipns://{self.name}", *self.path))


Place = Path | BucketURL | ArchiveURL | ContentPath | NamePath


class Address(NamedTuple):
    """An address, parsed."""

    place: Place
    ref: str | None = None
    """What follows ``@``: a branch, tag or commit of the repository at the place."""
    group: str = ""
    """What follows ``#``: the path of a group or an array, without slashes at its ends."""
