"""``ipld-car diff``: what is in one archive and not in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from ipld_car import cids
from ipld_car._cli.exit_codes import named
from ipld_car._cli.files import mapped_file
from ipld_car._cli.render.printer import printable
from ipld_car.errors import CarError, LimitError

from .blocks import open_blocks, roots_for
from .layout import read_layout
from .listing import MISSING, MISSING_SHARD, tree, unknown_shards
from .sections import sections

_PATH_SIZE: Final = 256
"""Characters of a path, over all paths of an archive: names may be long, and folders in each other."""


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


Held = dict[tuple[str, str, str], None]
"""What is in an archive: what it is, its name and its CID, in their order."""


def changes(a: str, b: str, *, unixfs: bool, note: Callable[[str], None], max_entries: int) -> Iterator[Change]:
    """The differences between two archives.

    A path that leads to several blocks, below as many roots, has all their CIDs, and those that it has in both
    archives are no difference. What it has lost and what it has got are told together as long as there are both.

    :param note: is told what is not known of the paths of an archive
    :param max_entries: paths of an archive: all are held, and a few blocks can stand for any number of them
    :raises CarError: if one cannot be read, with its name
    """
    old, new = (_paths(a, max_entries, note), _paths(b, max_entries, note)) if unixfs else (_blocks(a), _blocks(b))
    come: dict[tuple[str, str], list[str]] = {}
    for each in reversed(new):  # so that the first is the last, which pop() takes
        if each not in old:
            come.setdefault(each[:2], []).append(each[2])
    for each in old:
        if each not in new:
            what, name, cid = each
            others = come.get((what, name))
            yield Change("~", what, name, cid, others.pop()) if others else Change("-", what, name, cid, None)
    for (what, name), others in reversed(come.items()):
        for other in reversed(others):
            yield Change("+", what, name, None, other)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Say in an error which archive is meant."""
    try:
        yield
    except CarError as error:
        raise named(path, error) from error


def _blocks(path: str) -> Held:
    found: Held = {}
    with _named(path), mapped_file(path) as (_, buffer):
        layout = read_layout(buffer)
        for root in layout.roots:
            text = cids.to_text(root)
            found["root", text, text] = None
        for _, cid, _, _ in sections(buffer, layout):
            text = cids.to_text(cid)
            found["block", text, text] = None
    return found


def _paths(path: str, max_entries: int, note: Callable[[str], None]) -> Held:
    found: Held = {}
    unknown = size = 0
    with _named(path), open_blocks(path) as blocks:
        for count, entry in enumerate((each for root in roots_for(blocks) for each in tree(blocks, root)), 1):
            size += len(entry.path)
            if count > max_entries or size > max_entries * _PATH_SIZE:
                raise LimitError(
                    f"expected at most {max_entries} entries, and {_PATH_SIZE} characters of path for each, "
                    "found more: --max-entries raises it"
                )
            if entry.kind == MISSING_SHARD:
                unknown += 1
                continue
            found["path", entry.path or "/", cids.to_text(entry.cid)] = None
            if entry.kind == MISSING and cids.codec_of(entry.cid) != cids.RAW:
                note(f"{path}: data for entry not found, nor what is below it: /{printable(entry.path)}")
    if unknown:
        note(f"{path}: {unknown_shards(unknown)}")
    return found
