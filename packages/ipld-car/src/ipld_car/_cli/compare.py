"""``ipld-car diff``: what is in one archive and not in another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ipld_car import cids

from .blocks import open_blocks, roots_for
from .files import mapped_file
from .layout import read_layout
from .listing import tree
from .sections import sections
from .tell import printable


class Change(NamedTuple):
    """Something that is in one archive only, or another in each."""

    sign: str
    """``-`` is only in the first, ``+`` only in the second, ``~`` in both."""
    what: str
    """``root``, ``block`` or ``path``."""
    name: str
    old: str | None
    new: str | None

    def as_mapping(self) -> dict[str, Any]:
        """For a machine."""
        return {"change": self.sign, self.what: self.name, "old": self.old, "new": self.new}

    def __str__(self) -> str:
        name = printable(self.name)
        return f"{self.sign} {name}" if self.what != "root" else f"{self.sign} root {name}"


def changes(a: str, b: str, *, unixfs: bool) -> Iterator[Change]:
    """The differences between two archives."""
    old, new = (_paths(a), _paths(b)) if unixfs else (_blocks(a), _blocks(b))
    for key, cid in old.items():
        other = new.get(key)
        if other is None:
            yield Change("-", *key, cid, None)
        elif other != cid:
            yield Change("~", *key, cid, other)
    for key, cid in new.items():
        if key not in old:
            yield Change("+", *key, None, cid)


def _blocks(path: str) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    with mapped_file(path) as (_, buffer):
        layout = read_layout(buffer)
        for root in layout.roots:
            found["root", cids.to_text(root)] = cids.to_text(root)
        for _, cid, _, _ in sections(buffer, layout):
            text = cids.to_text(cid)
            found["block", text] = text
    return found


def _paths(path: str) -> dict[tuple[str, str], str]:
    with open_blocks(path) as blocks:
        return {
            ("path", entry.path or "/"): cids.to_text(entry.cid)
            for root in roots_for(blocks)
            for entry in tree(blocks, root)
        }
