"""Commits as users see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from ipld_car import cids
from multiformats import CID

from ipldstore._display.clip import clip
from ipldstore._display.page import page, section, table
from ipldstore._history.ancestry import Entry

from .times import to_datetime


class Commit(NamedTuple):
    """One version of a dataset, and where it came from.

    >>> from ipldstore import Repository
    >>> repo = Repository.create({})
    >>> repo.lookup("main")
    <Commit bafyreih2p5pzro7hbzftcsab2r47x4fj7rizulzna5an2bri2dodxw5poy: height 0, 1970-01-01T00:00:00+00:00, ''>
    """

    cid: CID
    """The CID of the commit. It lasts until the history is expired; ``data`` lasts as long as the contents do."""
    data: CID
    """The root of the dataset."""
    parents: tuple[CID, ...]
    """The commits that it follows; the first parent is that of the branch it was made on."""
    height: int
    """The number of first parents below it."""
    time: datetime
    """When it was made, in UTC."""
    author: str
    message: str
    meta: dict[str, Any]
    """What its author wanted to keep; names that begin with ``__ipld_`` are of the format."""

    def __repr__(self) -> str:
        title = self.message.partition("\n")[0]
        return f"<Commit {self.cid}: height {self.height}, {self.time.isoformat()}, {title[:80]!r}>"

    def _repr_html_(self) -> str:
        facts = {
            "commit": str(self.cid),
            "data": str(self.data),
            "time": self.time.isoformat(),
            "author": self.author,
            "message": self.message.partition("\n")[0],
        }
        parents = [section("Parents", table([str(each)] for each in self.parents), count=len(self.parents))]
        rows = [(clip(name, 60), clip(str(value), 300)) for name, value in self.meta.items()]
        meta = [section("Meta", table(rows), count=len(rows), is_open=False)] if rows else []
        return page("Commit", facts, parents + meta)


def commit_of(entry: Entry) -> Commit:
    """Return a commit as users see it."""
    found = entry.commit
    return Commit(
        cids.from_validated(entry.cid),
        cids.from_validated(found.data),
        tuple(map(cids.from_validated, found.parents)),
        found.height,
        to_datetime(found.time),
        found.author,
        found.message,
        found.meta,
    )
