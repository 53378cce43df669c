"""Where two trees differ: equal nodes are skipped by CID, indexes compared leaf against leaf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ipld_car import cids, dagcbor, hashes

from ipldstore._format import index_difference, index_tree, keys
from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import Load

from . import lookup
from .directory import ChunkOwnership, Frozen, Map, holds_nothing, is_name, ownership_of

_NOTHING = Frozen({})


class ValueChange(NamedTuple):
    """A key that is no document, with different links; None where it is absent."""

    key: str
    array: str | None
    """The path of the nearest directory at or above the key that owns chunks in one of the trees, if the rest of the
    key has the form of a chunk key or is ``c``, the chunk of an array without axes; else None."""
    before: bytes | None
    after: bytes | None


class DocumentsChange(NamedTuple):
    """A directory that both trees have, with different documents."""

    path: str
    before: Frozen
    after: Frozen


class DirectoryChange(NamedTuple):
    """A directory that only one tree has, with all that is below it."""

    path: str
    before: Frozen | None
    after: Frozen | None


Change = ValueChange | DocumentsChange | DirectoryChange


class _Pair(NamedTuple):
    """The directories of both trees at one path."""

    prefix: str
    before: Frozen
    after: Frozen
    indexed: tuple[tuple[int, Frozen, Frozen], ...]
    """Directories at or above it of which one has a chunk index, and the offset in a key at which relative keys begin.
    """
    arrays: tuple[tuple[str, bool], ...]
    """Paths of directories at or above it that own chunks, and whether they own only keys that begin with c."""


def is_same_target(one: lookup.KeyTarget | None, other: lookup.KeyTarget | None) -> bool:
    """Return whether two keys lead to the same; JSON tells 1, 1.0 and true apart, which Python does not."""
    if isinstance(one, dict) or isinstance(other, dict):
        return one is other or (one is not None and other is not None and cid_of(one) == cid_of(other))
    return one == other


def cid_of(target: lookup.KeyTarget) -> bytes:
    """Return the binary CID that a document has as a block of its own, or that a link has."""
    if isinstance(target, bytes):
        return target
    return cids.make(cids.DAG_CBOR, hashes.sha2_256(dagcbor.encode_node(target)))


def changes(before: Frozen, after: Frozen, load: Load, path: str = "") -> Iterator[Change]:
    """Yield what differs between two directories, those with their documents first.

    A key in an index and the same key elsewhere are compared as what a lookup finds, so moving a chunk key from one
    form to another is no change. In memory is the path down only.

    :param path: the path of both directories
    """
    prefix = f"{path}/" if path else ""
    stack = [_below(_Pair(prefix, before, after, (), ()), load)]
    while stack:
        for change in stack[-1]:
            if isinstance(change, _Pair):
                stack.append(_below(change, load))
                break
            yield change
        else:
            stack.pop()


def key_changes(
    before: Frozen, after: Frozen, load: Load
) -> Iterator[tuple[str, lookup.KeyTarget | None, lookup.KeyTarget | None]]:
    """Yield each key that differs between two roots, with what it leads to in both; None where it is absent."""
    for change in changes(before, after, load):
        if isinstance(change, ValueChange):
            yield change.key, change.before, change.after
        elif isinstance(change, DocumentsChange):
            prefix = f"{change.path}/" if change.path else ""
            for name in sorted(keys.DOCUMENTS):
                one, other = change.before.map.get(name), change.after.map.get(name)
                if not is_same_target(one, other):
                    yield prefix + name, one, other
        else:
            for directory, is_new in ((change.before, False), (change.after, True)):
                found = () if directory is None else lookup.items_below(directory, change.path, load)
                yield from ((key, None, target) if is_new else (key, target, None) for key, target in found)


def _below(pair: _Pair, load: Load) -> Iterator[Change | _Pair]:
    """Yield what differs directly in two directories, and the pairs of subdirectories to look into."""
    prefix, before, after = pair.prefix, pair.before, pair.after
    if before is after:
        return
    documents = [(before.map.get(name), after.map.get(name)) for name in sorted(keys.DOCUMENTS)]
    if any(not is_same_target(*each) for each in documents):
        yield DocumentsChange(prefix[:-1], before, after)
    ownerships = [ownership_of(directory.map, load) for directory in (before, after)]
    if any(each is not ChunkOwnership.NONE for each in ownerships):
        only_c = ChunkOwnership.ALL not in ownerships
        pair = pair._replace(arrays=(*pair.arrays, (prefix[:-1], only_c)))
    if before.has_chunks or after.has_chunks:
        yield from _chunks(pair, load)
        pair = pair._replace(indexed=(*pair.indexed, (len(prefix), before, after)))
    for name, one, other in _entries(before, after, load):
        yield from _entry(pair, name, one, other, load)


def _chunks(pair: _Pair, load: Load) -> Iterator[ValueChange]:
    """Yield the indexed chunks that differ."""
    prefix, before, after = pair.prefix, pair.before, pair.after
    bases = before.map.get(keys.CHUNKS), after.map.get(keys.CHUNKS)
    for rest, one, other in index_difference.differences(index_tree.CHUNKS, *bases, load, prefix.count("/")):
        if _is_indexed(prefix + rest, pair, load):
            continue
        link, new_link = one, other
        if link is None:
            link = _find_value(before, rest, load)
        if new_link is None:
            new_link = _find_value(after, rest, load)
        if link != new_link:
            yield ValueChange(prefix + rest, _array_of(prefix + rest, pair), link, new_link)


def _find_value(directory: Frozen, rest: str, load: Load) -> bytes | None:
    found = lookup.find(directory, rest.split("/"), load)
    return found if isinstance(found, bytes) else None


def _is_indexed(key: str, pair: _Pair, load: Load) -> bool:
    """Return whether an index above the pair has a key in one of the trees, which that index was compared for."""
    return any(
        keys.is_chunk_key(key[start:])
        and (before.chunk(key[start:], load) is not None or after.chunk(key[start:], load) is not None)
        for start, before, after in pair.indexed
    )


def _array_of(key: str, pair: _Pair) -> str | None:
    if not pair.arrays:
        return None
    path, only_c = pair.arrays[-1]
    rest = key[len(path) + 1 :] if path else key
    is_chunk = rest == "c" or (keys.is_chunk_key(rest) and (not only_c or rest.startswith("c")))
    return path if is_chunk else None


Entry = Map | bytes | None


def _entries(before: Frozen, after: Frozen, load: Load) -> Iterator[tuple[str, Entry, Entry]]:
    """Yield names with entries that are not known to be equal."""
    both = [{name: item for name, item in directory.map.items() if is_name(name)} for directory in (before, after)]
    bases = before.map.get(keys.NAMES), after.map.get(keys.NAMES)
    for name in sorted({**both[0], **both[1]}):
        one, other = (
            entries[name] if name in entries else index_tree.find(index_tree.NAMES, base, name, load)
            for entries, base in zip(both, bases, strict=True)
        )
        if not _is_equal_entry(one, other):
            yield name, one, other
    for name, link, new_link in index_difference.differences(index_tree.NAMES, *bases, load):
        if name not in both[0] and name not in both[1]:
            yield name, link, new_link


def _is_equal_entry(one: Entry, other: Entry) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one is other  # else what is in them is compared
    return is_same_target(one, other)


def _entry(pair: _Pair, name: str, one: Entry, other: Entry, load: Load) -> Iterator[Change | _Pair]:
    """Yield what differs at one name."""
    key = pair.prefix + name
    depth = key.count("/") + 1
    values = [lookup.value_of(entry, depth, load) for entry in (one, other)]
    if values[0] != values[1] and not _is_indexed(key, pair, load):
        yield ValueChange(key, _array_of(key, pair), *values)
    before, after = (_directory(entry, depth, load) for entry in (one, other))
    if before is None and after is None:
        return
    if before is not None and after is not None:
        yield _Pair(f"{key}/", before, after, pair.indexed, pair.arrays)
    elif pair.arrays and keys.may_begin_chunk_key(name, first=pair.prefix[:-1] == pair.arrays[-1][0]):
        yield _Pair(f"{key}/", before or _NOTHING, after or _NOTHING, pair.indexed, pair.arrays)
    else:
        yield DirectoryChange(key, before, after)


def _directory(entry: Entry, depth: int, load: Load) -> Frozen | None:
    """Return the directory at an entry; None where there is none, or one without a key."""
    if entry is None or (isinstance(entry, bytes) and not is_directory_link(entry)):
        return None
    directory = lookup.enter(entry, depth, load)
    if not isinstance(directory, Frozen) or holds_nothing(directory.map):
        return None
    return directory if directory.map.keys() - {keys.VALUE} else None
