"""Finding and listing keys in a tree, without changing it (format, section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ipld_car import cids

from ipldstore._format import index_tree, keys
from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import DirectoryNode, Load, decode_directory
from ipldstore._format.path_hint import NO_HINT, PathHint, hint_below_directory
from ipldstore._format.validate import MAX_BELOW_ROOT
from ipldstore._read.foreign_value import ForeignValue
from ipldstore.errors import NodeError

from .directory import Directory, Frozen, Map, holds_nothing, is_name

KeyTarget = Map | bytes
"""What a key leads to: a document, or the link of a document or a value."""

AnyTarget = KeyTarget | ForeignValue
"""What a key leads to, also below a root of another maker."""

AnyDirectory = Frozen | Directory


def enter(
    entry: Map | bytes | Directory | None, depth: int, load: Load, hint: PathHint = NO_HINT
) -> AnyDirectory | None:
    """Return the directory at an entry; None if the entry is a value or None.

    :param depth: number of parts of the entry's key
    :param hint: the path from the directory that is resolved next
    :raises NodeError: if it embeds directories deeper than the format allows
    """
    if entry is None or isinstance(entry, Directory):
        return entry
    if isinstance(entry, bytes):
        if not is_directory_link(entry):
            return None
        node: DirectoryNode = load(entry, decode_directory, hint)
        if depth + node.depth > MAX_BELOW_ROOT:
            raise NodeError(
                f"node {cids.to_text(entry)}: expected directories at most {MAX_BELOW_ROOT} parts below the "
                f"root, found one at {depth + node.depth}"
            )
        entry = node.map
    return Frozen(entry)


def value_of(entry: Map | bytes | Directory | None, depth: int, load: Load) -> bytes | None:
    """Return the link of the value at an entry, also where a directory is there too."""
    if isinstance(entry, bytes) and not is_directory_link(entry):
        return entry
    directory = enter(entry, depth, load)
    return None if directory is None else directory.value


def find(
    top: AnyDirectory, parts: list[str], load: Load, note: Callable[[int, AnyDirectory], None] | None = None
) -> KeyTarget | None:
    """Return what a key leads to; None if it is absent.

    :param note: called with the directory whose index holds the key and the number of parts that lead to it, if no
        directory above it has an index
    """
    directory: AnyDirectory | None = top
    above = False
    for at, name in enumerate(parts):
        if directory is None:
            return None
        if directory.has_chunks:
            rest = "/".join(parts[at:])
            link = directory.chunk(rest, load, at) if keys.is_chunk_key(rest) else None
            if link is not None:
                if note is not None and not above:
                    note(at, directory)
                return link
            above = True
        last = at + 1 == len(parts)
        if last and name in keys.DOCUMENTS:
            return directory.document(name)
        entry = directory.entry(name, load)
        if last:
            return value_of(entry, at + 1, load)
        directory = enter(entry, at + 1, load, hint_below_directory(parts[at + 1 :]))
    return None


# -- listing --

Owners = list[tuple[int, AnyDirectory]]
"""Directories on a path that have indexed chunks, and the offset in a key at which keys relative to them begin.

A foreign root may hold a key in several of their indexes and in entries too; the first on the path counts.
"""


def path_to(top: AnyDirectory, parts: list[str], load: Load) -> tuple[Owners, AnyDirectory | None]:
    """Return the directories above a path that have indexed chunks, and the directory at its end."""
    above: Owners = []
    start = 0
    directory: AnyDirectory | None = top
    for at, name in enumerate(parts):
        if directory is None or not is_name(name):  # documents are no directories
            directory = None
            break
        if directory.has_chunks:
            above.append((start, directory))
        start += len(name) + 1
        directory = enter(directory.entry(name, load), at + 1, load)
    return above, directory


def chunks_of(directory: AnyDirectory, load: Load, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield relative key and link of all indexed chunks of a directory.

    :param depth: see :func:`ipldstore._format.index_tree.find`
    """
    if isinstance(directory, Frozen):
        yield from index_tree.items(index_tree.CHUNKS, directory.map.get(keys.CHUNKS), load, depth=depth)
        return
    new, gone = dict(directory.chunk_new), set(directory.chunk_gone)
    yield from new.items()
    for key, link in index_tree.items(index_tree.CHUNKS, directory.chunk_base, load, depth=depth):
        if key not in new and key not in gone:
            yield key, link


def documents_of(directory: AnyDirectory) -> list[tuple[str, KeyTarget]]:
    """Return name and content of the documents of a directory."""
    if isinstance(directory, Directory):
        return list(directory.documents.items())
    return [(name, item) for name, item in directory.map.items() if name in keys.DOCUMENTS]


def entries_of(directory: AnyDirectory, load: Load) -> Iterator[tuple[str, Map | bytes | Directory]]:
    """Yield name and entry of all that is neither a document nor an indexed chunk."""
    if isinstance(directory, Directory):
        hidden, base = set(directory.gone), directory.name_base
        yield from list(directory.entries.items())
    else:
        base = directory.map.get(keys.NAMES)
        hidden = set() if base is None else {name for name in directory.map if is_name(name)}
        yield from ((name, item) for name, item in directory.map.items() if is_name(name))
    for name, link in index_tree.items(index_tree.NAMES, base, load):
        if name not in hidden:
            yield name, link


def items(top: AnyDirectory, load: Load, prefix: str = "") -> Iterator[tuple[str, KeyTarget]]:
    """Yield all keys that begin with ``prefix``, each with what it leads to; only the path down is in memory."""
    path, slash, fragment = prefix.rpartition("/")
    parts = path.split("/") if slash else []
    above, directory = path_to(top, parts, load)
    owners: Owners = []
    for start, opened in above:
        for key, link in _chunks_below(opened, path[:start], owners, load):
            if key.startswith(prefix):
                yield key, link
        owners.append((start, opened))
    if directory is not None:
        yield from _below(directory, path + slash, fragment, owners, load)


def items_below(directory: AnyDirectory, path: str, load: Load) -> Iterator[tuple[str, KeyTarget]]:
    """Yield all keys of a directory that is at a path, which no index above it has."""
    return _below(directory, f"{path}/", "", [], load)


def _below(
    top: AnyDirectory, prefix: str, fragment: str, owners: Owners, load: Load
) -> Iterator[tuple[str, KeyTarget]]:
    """Yield all keys below a directory whose first part below it begins with ``fragment``."""
    for name, document in documents_of(top):
        if name.startswith(fragment):
            yield prefix + name, document
    for key, link in _chunks_below(top, prefix, owners, load):
        if key.startswith(prefix + fragment):
            yield key, link
    if top.has_chunks:
        owners = [*owners, (len(prefix), top)]
    stack = [(prefix, owners, _named(top, fragment, load))]
    while stack:
        prefix, owners, entries = stack[-1]
        for name, entry in entries:
            key = prefix + name
            depth = key.count("/") + 1
            value = value_of(entry, depth, load)
            if value is not None and not _indexed(key, owners, load):
                yield key, value
            directory = enter(entry, depth, load)
            if directory is not None:
                below = key + "/"
                yield from ((below + name, document) for name, document in documents_of(directory))
                yield from _chunks_below(directory, below, owners, load)
                inner = [*owners, (len(below), directory)] if directory.has_chunks else owners
                stack.append((below, inner, entries_of(directory, load)))
                break
        else:
            stack.pop()


def _chunks_below(directory: AnyDirectory, prefix: str, owners: Owners, load: Load) -> Iterator[tuple[str, bytes]]:
    """Yield key and link of the indexed chunks of a directory, without those that an index above hides."""
    for rest, link in chunks_of(directory, load, prefix.count("/")):
        if not owners or not _indexed(prefix + rest, owners, load):
            yield prefix + rest, link


def _named(directory: AnyDirectory, fragment: str, load: Load) -> Iterator[tuple[str, Map | bytes | Directory]]:
    return ((name, entry) for name, entry in entries_of(directory, load) if name.startswith(fragment))


def _indexed(key: str, owners: Owners, load: Load) -> bool:
    """Return whether a directory above has a key in its chunk index."""
    return any(
        keys.is_chunk_key(key[start:]) and directory.chunk(key[start:], load) is not None for start, directory in owners
    )


def directory_links(top: AnyDirectory, parts: list[str], load: Load) -> Iterator[bytes]:
    """Yield the links of the subdirectories directly below a path, which a caller that lists them is about to load."""
    _, directory = path_to(top, parts, load)
    if directory is not None:
        for _, entry in entries_of(directory, load):
            if isinstance(entry, bytes) and is_directory_link(entry):
                yield entry


def names(top: AnyDirectory, parts: list[str], load: Load) -> Iterator[str]:
    """Yield the names directly below a path, of documents, values and directories, each once."""
    above, directory = path_to(top, parts, load)
    seen: set[str] = set()
    path = "/".join(parts)
    chunk_keys = [_children(opened, path, start, load) for start, opened in above]
    if directory is not None and directory.has_chunks:
        chunk_keys.append(_children(directory, path, len(path) + 1 if path else 0, load))
    if directory is not None:
        for name, _ in documents_of(directory):
            yield name
        for name, entry in entries_of(directory, load):
            if isinstance(entry, dict) and holds_nothing(entry):
                continue
            if chunk_keys:
                seen.add(name)
            yield name
    for children in chunk_keys:
        for name in children:
            if name not in seen:
                seen.add(name)
                yield name


def _children(directory: AnyDirectory, path: str, start: int, load: Load) -> Iterator[str]:
    """Yield the parts directly below a path of the indexed chunk keys of a directory on that path.

    :param start: offset in a key at which keys relative to the directory begin
    """
    prefix = f"{path}/"[start:] if path else ""
    chunks = chunks_of(directory, load, f"{path}/"[:start].count("/"))
    return (key[len(prefix) :].partition("/")[0] for key, _ in chunks if key.startswith(prefix))
