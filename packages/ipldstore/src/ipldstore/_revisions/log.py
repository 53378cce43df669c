"""Logs: commits from the newest to the oldest, and their drawing as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from ipld_car import cids

from ipldstore._history.ancestry import Entry, walk_newest_first

from .ahead import CommitsAhead
from .history import History
from .record import Commit, commit_of

_SHOWN_DIGITS = 12
"""Characters at the end of a CID that a drawing shows; those at the beginning are alike."""


def log(history: History, *tips: bytes) -> Iterator[Commit]:
    """Yield commits and all their ancestors, each once, the newest first. Streams.

    :raises IPLDStoreError: if a commit cannot be read, or breaks a bound of the format
    """
    return map(commit_of, walk_newest_first(CommitsAhead(history).load, *tips))


def graph(history: History, tips: Iterable[bytes], labels: dict[bytes, list[str]], limit: int | None) -> Iterator[str]:
    """Yield the lines of a drawing of a history, as ``git log --graph --oneline`` draws it.

    :param labels: by commit, the names that are shown with it
    :param limit: the most commits
    """
    lanes: list[bytes] = []
    for entry in islice(walk_newest_first(CommitsAhead(history).load, *tips), limit):
        yield from _draw(lanes, entry, lambda entry: _describe(entry, labels))


def _describe(entry: Entry, labels: dict[bytes, list[str]]) -> str:
    names = labels.get(entry.cid)
    title = _printable(entry.commit.message.partition("\n")[0])
    shown = f" ({', '.join(map(_printable, names))})" if names else ""
    return f"{cids.to_text(entry.cid)[-_SHOWN_DIGITS:]}{shown} {title}".rstrip()


def _printable(text: str) -> str:
    """Return a text that cannot command a terminal, nor turn the direction of what follows."""
    return "".join(each if each.isprintable() else " " for each in text)


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
    """Return the line in which the lane of one column ends in that of another to its left.

    Lanes further to the right move one column to the left.

    >>> _join(3, 0, 1), _join(4, 0, 2)
    ('|/ /', '|_|/ /')
    """
    line = [" "] * (2 * lanes)
    for column in range(lanes):
        if column < other:
            line[2 * column] = "|"
        else:
            line[2 * column - 1] = "/"
    for column in range(at, other - 1):
        line[2 * column + 1] = "_"
    return "".join(line).rstrip()
