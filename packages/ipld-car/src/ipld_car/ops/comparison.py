"""Compare two archives: roots, blocks and paths that only one of them has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_car.errors import LimitError
from ipld_car.messages import Message, Term

from .archive import Source, open_archive
from .errors import Progress, naming
from .paths import MISSING, MISSING_SHARD, walk_paths

MAX_ENTRIES: Final = 1_000_000
"""Paths of an archive that are held by default."""
_PATH_SIZE: Final = 256
"""Characters of a path, over all paths of an archive: names may be long, and folders in each other."""


class Change(NamedTuple):
    """Something that is in one archive only, or another in each."""

    sign: str
    """``-`` is only in the first, ``+`` only in the second, ``~`` in both."""
    what: str
    """``root``, ``block`` or ``path``."""
    name: str
    """A path, or a CID as text."""
    old: str | None
    """The CID in the first archive, as text."""
    new: str | None
    """The CID in the second archive, as text."""


class Unknown(NamedTuple):
    """The gaps in the paths of an archive, where blocks are missing."""

    archive: str
    """Which one: ``a`` or ``b``."""
    path: str
    """The entry whose block is missing; empty for shards."""
    shards: int = 0
    """Blocks of sharded directories that are missing, with any number of entries."""


_Held = dict[tuple[str, str, str], None]
"""The contents of an archive in their order: kind, name and CID of each."""


def diff(
    a: Source, b: Source, *, zero_length_section_as_eof: bool = False, progress: Progress | None = None
) -> Iterator[Change]:
    """Yield what is in only one of two archives: roots, then blocks in their order. No block is hashed.

    :param a: path, bytes or stream
    :param b: likewise
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises CarError: if one cannot be read, with its name
    :raises OSError: if a source cannot be read

    >>> import io
    >>> from ipld_car import cids, hashes, ops
    >>> one, two = (cids.make(cids.RAW, hashes.sha2_256(data)) for data in (b"one", b"two"))
    >>> a, b = io.BytesIO(), io.BytesIO()
    >>> ops.put_block(a, one, b"one"), ops.put_block(b, two, b"two")
    (True, True)
    >>> [(change.sign, change.what) for change in ops.diff(a.getvalue(), b.getvalue())]
    [('-', 'block'), ('+', 'block')]
    """
    old, new = (_blocks(source, name, zero_length_section_as_eof, progress) for source, name in ((a, "a"), (b, "b")))
    return _changes(old, new)


def diff_paths(
    a: Source,
    b: Source,
    *,
    max_entries: int = MAX_ENTRIES,
    on_unknown: Callable[[Unknown], object] | None = None,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> Iterator[Change]:
    """Yield the paths that are in only one of two archives of UnixFS, or have another CID in each.

    A path that is below several roots of an archive has a CID below each; those that it has in both archives are no
    difference.

    :param a: path, bytes or stream
    :param b: likewise
    :param max_entries: refuse archives with more paths: all are held, and a few blocks can stand for any number
    :param on_unknown: called with what is not known, as blocks are missing
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises CarError: if one cannot be read, with its name
    :raises OSError: if a source cannot be read

    >>> import io
    >>> from ipld_car import ops
    >>> a, b = io.BytesIO(), io.BytesIO()
    >>> _ = ops.create(a, [ops.NamedFile("a.txt", b"one")]), ops.create(b, [ops.NamedFile("a.txt", b"two")])
    >>> [(change.sign, change.name) for change in ops.diff_paths(a.getvalue(), b.getvalue())]
    [('~', 'a.txt')]
    """
    old, new = (
        _paths(source, name, max_entries, on_unknown, zero_length_section_as_eof, progress)
        for source, name in ((a, "a"), (b, "b"))
    )
    return _changes(old, new)


def _changes(old: _Held, new: _Held) -> Iterator[Change]:
    """Yield the differences; what a name has lost and got is given together as long as there are both."""
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


def _label(source: Source, name: str) -> str:
    return str(source) if hasattr(source, "__fspath__") or isinstance(source, str) else name


def _blocks(source: Source, name: str, zero_is_end: bool, progress: Progress | None) -> _Held:
    found: _Held = {}
    with (
        naming(_label(source, name)),
        open_archive(source, zero_length_section_as_eof=zero_is_end, progress=progress) as archive,
    ):
        for root in archive.roots:
            text = cids.to_text(root)
            found["root", text, text] = None
        for _, cid, _, _ in archive.sections():
            text = cids.to_text(cid)
            found["block", text, text] = None
    return found


def _paths(
    source: Source,
    name: str,
    max_entries: int,
    on_unknown: Callable[[Unknown], object] | None,
    zero_is_end: bool,
    progress: Progress | None,
) -> _Held:
    found: _Held = {}
    shards = size = 0
    with (
        naming(_label(source, name)),
        open_archive(source, zero_length_section_as_eof=zero_is_end, progress=progress) as archive,
    ):
        for count, entry in enumerate((each for root in archive.start() for each in walk_paths(archive, root)), 1):
            size += len(entry.path)
            if count > max_entries or size > max_entries * _PATH_SIZE:
                raise LimitError(
                    Message(
                        f"expected at most {max_entries} entries, and {_PATH_SIZE} characters of path for each, "
                        f"found more: ",
                        Term("max_entries"),
                        " raises it",
                    )
                )
            if entry.kind == MISSING_SHARD:
                shards += 1
                continue
            found["path", entry.path or "/", cids.to_text(entry.cid_bytes)] = None
            if entry.kind == MISSING and cids.codec_of(entry.cid_bytes) != cids.RAW and on_unknown:
                on_unknown(Unknown(name, entry.path))
    if shards and on_unknown:
        on_unknown(Unknown(name, "", shards))
    return found
