"""Logs: commits from the newest to the oldest, and their drawing as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from ipld_car import cids

from ipldstore._history.ancestry import Entry, walk_newest_first

from .history import History
from .record import Commit, commit_of

_SHOWN_DIGITS = 12
"""Characters at the end of a CID that a drawing shows; those at the beginning are alike."""


def log(history: History, *tips: bytes) -> Iterator[Commit]:
    """Yield commits and all their ancestors, each once, the newest first. Streams.

    :raises IPLDStoreError: if a commit cannot be read, or breaks a bound of the format
    """
    return map(commit_of, walk_newest_first(history.load, *tips))


def graph(history: History, tips: Iterable[bytes], labels: dict[bytes, list[str]], limit: int | None) -> Iterator[str]:
    """Yield the lines of a drawing of a history, as ``git log --graph --oneline`` draws it.

    :param labels: by commit, the names that are shown with it
    :param limit: the most commits
    """
    lanes: list[bytes] = []
    for entry in islice(walk_newest_first(history.load, *tips), limit):
        yield from _draw(lanes, entry, lambda entry: _describe(entry, labels))


def _describe(entry: Entry, labels: dict[bytes, list[str]]) -> str:
    names = labels.get(entry.cid)
    title = "".join(each if each.isprintable() else " " for each in entry.commit.message.partition("\n")[0])
    shown = f" ({', '.join(names)})" if names else ""
    return f"{cids.to_text(entry.cid)[-_SHOWN_DIGITS:]}{shown} {title}".rstrip()


def _draw(lanes: list[bytes], entry: Entry, describe: Callable[[Entry], str]) -> Iterator[str]:
    """Yield the lines of a commit, and change the lanes to what they are below it.

    :param lanes: for each column from the left, the commit that comes next in it
    """
    if entry.cid not in lanes:
        lanes.append(entry.cid)
    at = lanes.index(entry.cid)
    while entry.cid in lanes[at + 1 :]:  # branches that end at this commit join its lane
        other = lanes.index(entry.cid, at + 1)
        yield _join(len(lanes), at, other)
        del lanes[other]
    yield " ".join("*" if column == at else "|" for column in range(len(lanes))) + f" {describe(entry)}"
    if not entry.commit.parents:
        if at < len(lanes) - 1:
            yield " ".join(
                " " if column == at else "|" if column < at else "/" for column in range(len(lanes))
            ).rstrip()
        del lanes[at]
        return
    lanes[at] = entry.commit.parents[0]
    for number, parent in enumerate(entry.commit.parents[1:], at + 1):
        yield " ".join("|" for _ in lanes[:number]) + "\\" + "".join(" \\" for _ in lanes[number:])
        lanes.insert(number, parent)


def _join(lanes: int, at: int, other: int) -> str:
    """Return the line in which the lane of one column ends in that of another to its left."""
    line = ["|"]
    for column in range(1, lanes):
        between = "_" if at + 1 < column < other else " "
        line.append("/" if column == other or (column == at + 1 and column < other) else between)
        line.append("" if column == other else "|")
    return "".join(line)
