"""Freezing: the canonical nodes of a tree with changes (format, section 3).

First each chunk key moves to the directory that owns it, and becomes indexed or an entry as the format asks. Then the
nodes of the directories are written, the innermost first. Nothing is lost if writing fails: the keys that have moved by
then still have their links.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipld_car import dagcbor

from ipldstore._format import index_tree, keys
from ipldstore._format.limits import Limits
from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import DirectoryNode, Load, NodeStore, decode_directory

from . import lookup
from .directory import ChunkOwnership, Directory, Map
from .inline import drop_inline, set_inline

_MIN_ENTRY_BYTES: Final = 10
"""Size of the smallest entry of a map: a name of one byte, and a link with an identity CID without data."""


def freeze(top: Directory, nodes: NodeStore, limits: Limits) -> bytes:
    """Write the nodes of a tree with changes, but its root; return the block of the root."""
    for directory in _changed(top):
        _evict(directory, nodes.load)
    for directory in _changed(top):
        absorb(directory, nodes.load)
    for directory in _changed(top):
        _choose_form(directory, nodes.load, limits)
    return dagcbor.encode_node(_build(top, nodes, limits))


def _changed(top: Directory) -> list[Directory]:
    """Return all directories with changes, each before those below it."""
    found = [top]
    for directory in found:
        found.extend(entry for entry in directory.entries.values() if isinstance(entry, Directory))
    return found


# -- moving chunk keys to their owners --


def _evict(directory: Directory, load: Load) -> None:
    """Make entries of the indexed chunk keys that the directory does not own."""
    if not directory.has_chunks:
        return
    is_owner = directory.ownership(load) is not ChunkOwnership.NONE
    for key, link in _unowned_chunks(directory, load).items() if is_owner else lookup.chunks_of(directory, load):
        _put_below(directory, key, link, load)
        if is_owner:
            directory.drop_chunk(key, load)
    if not is_owner:
        directory.forget_chunks()


def _unowned_chunks(directory: Directory, load: Load) -> dict[str, bytes]:
    """Return the indexed chunk keys that an owner of others does not own.

    The index of its node is read only where the ownership may have changed since it was written.
    """
    only_c = directory.ownership(load) is ChunkOwnership.ONLY_C
    inner = tuple(f"{path}/" for path in _owners_below(directory, load))
    if not (only_c or inner):
        return {}
    base_may_have_some = inner or directory.ownership_before is not ChunkOwnership.ONLY_C
    chunks = lookup.chunks_of(directory, load) if base_may_have_some else iter(directory.chunk_new.items())
    return {key: link for key, link in chunks if key.startswith(inner) or (only_c and not key.startswith("c"))}


def _owners_below(directory: Directory, load: Load) -> Iterator[str]:
    """Yield the paths of changed directories that own chunks and that chunk keys of ``directory`` may lead through."""
    stack = [("", directory)]
    while stack:
        prefix, above = stack.pop()
        for name, entry in above.entries.items():
            if isinstance(entry, Directory) and keys.may_begin_chunk_key(name, first=not prefix):
                if entry.ownership(load) is not ChunkOwnership.NONE:
                    yield prefix + name
                else:
                    stack.append((f"{prefix}{name}/", entry))


def _put_below(directory: Directory, key: str, link: bytes, load: Load) -> None:
    """Set a value as an entry, and delete its key from the indexed ones of all directories below ``directory``."""
    parts = key.split("/")
    for at, below in enumerate(set_inline(directory, parts, link, load)):
        if at and below.has_chunks:
            below.drop_chunk("/".join(parts[at:]), load)


def absorb(directory: Directory, load: Load) -> None:
    """Index the entries below a directory that are chunk keys which it owns."""
    ownership = directory.ownership(load)
    if ownership is ChunkOwnership.NONE:
        return
    owns_all = ownership is ChunkOwnership.ALL
    found = {key: link for key, link in _inline_chunks(directory, load) if owns_all or key.startswith("c")}
    for key, link in found.items():
        # In a foreign root an indexed key hides the same key among the entries.
        if directory.chunk(key, load) is None:
            directory.put_chunk(key, link)
        drop_inline(directory, key.split("/"), load)


def _inline_chunks(owner: Directory, load: Load) -> Iterator[tuple[str, bytes]]:
    """Yield key and link of all entries below an owner that have the form of its chunk keys."""
    stack = [("", owner)]
    while stack:
        prefix, directory = stack.pop()
        for name, entry in list(_entries_like_chunks(directory, load)):
            if not keys.may_begin_chunk_key(name, first=not prefix):
                continue
            key = prefix + name
            if isinstance(entry, bytes) and not is_directory_link(entry):
                if keys.is_chunk_key(key):
                    yield key, entry
                continue
            below = directory.open(name, load)
            if below is None:
                continue
            if below.value is not None and keys.is_chunk_key(key):
                yield key, below.value
            if below.ownership(load) is ChunkOwnership.NONE:
                _evict(below, load)  # only a foreign root has an index there
                stack.append((f"{key}/", below))


def _entries_like_chunks(directory: Directory, load: Load) -> Iterator[tuple[str, Map | bytes | Directory]]:
    """Yield the entries whose names may be parts of chunk keys; reads only leaves with such names of a name index."""
    yield from list(directory.entries.items())
    for low, high in ((b"0", b":"), (b"c", b"c/")):
        for name, link in index_tree.items(index_tree.NAMES, directory.name_base, load, low, high):
            if name not in directory.gone:
                yield name, link


def _choose_form(directory: Directory, load: Load, limits: Limits) -> None:
    """Make entries of the indexed chunk keys if their plain map is small."""
    if not directory.has_chunks:
        return
    at_least = index_tree.total(index_tree.CHUNKS, directory.chunk_base, load) - len(directory.chunk_gone)
    if max(at_least, len(directory.chunk_new)) * _MIN_ENTRY_BYTES > limits.inline:
        return
    chunks: dict[str, bytes] = {}
    for key, link in lookup.chunks_of(directory, load):
        chunks[key] = link
        if len(chunks) * _MIN_ENTRY_BYTES > limits.inline:
            return
    if len(dagcbor.encode_node(index_tree.nested_map(chunks))) > limits.inline:
        return
    for key, link in chunks.items():
        _put_below(directory, key, link, load)
    directory.forget_chunks()


# -- writing nodes --


def _build(directory: Directory, nodes: NodeStore, limits: Limits) -> Map:
    """Return the map of a directory; empty if it holds no key. It recurses once for each part of a key, at most 64."""
    made: Map = dict(directory.documents)
    if directory.value is not None:
        made[keys.VALUE] = directory.value
    if directory.has_chunks:
        changes: index_tree.Changes = {**dict.fromkeys(directory.chunk_gone), **directory.chunk_new}
        index = index_tree.rebuild(index_tree.CHUNKS, directory.chunk_base, changes, nodes, limits)
        if index is not None:
            made[keys.CHUNKS] = index
    entries = {
        name: built
        for name, entry in directory.entries.items()
        if (built := _build_entry(entry, nodes, limits)) is not None
    }
    if directory.name_base is not None:
        remaining = index_tree.total(index_tree.NAMES, directory.name_base, nodes.load) - len(directory.gone)
        if remaining > limits.names:
            changes = {**dict.fromkeys(directory.gone), **_as_links(entries, nodes)}
            made[keys.NAMES] = index_tree.rebuild(index_tree.NAMES, directory.name_base, changes, nodes, limits)
            return made
        rest = index_tree.items(index_tree.NAMES, directory.name_base, nodes.load)
        entries.update((name, link) for name, link in rest if name not in directory.gone)
    if len(entries) > limits.names:
        made[keys.NAMES] = index_tree.rebuild(index_tree.NAMES, None, _as_links(entries, nodes), nodes, limits)
    else:
        before = 0 if directory.name_base is not None else limits.embedding_limit(directory.names_before)
        limit = limits.embedding_limit(len(entries))
        made.update((name, _embed_or_link(entry, before, limit, nodes)) for name, entry in entries.items())
    return made


def _build_entry(entry: Map | bytes | Directory, nodes: NodeStore, limits: Limits) -> Map | bytes | None:
    """Return an entry as a map or link; None if it holds no key."""
    made = _build(entry, nodes, limits) if isinstance(entry, Directory) else entry
    if isinstance(made, dict) and made.keys() <= {keys.VALUE}:
        return made.get(keys.VALUE)
    return made


def _as_links(entries: dict[str, Map | bytes], nodes: NodeStore) -> dict[str, bytes | None]:
    return {name: entry if isinstance(entry, bytes) else nodes.put(entry) for name, entry in entries.items()}


def _embed_or_link(entry: Map | bytes, before: int, limit: int, nodes: NodeStore) -> Map | bytes:
    """Return an entry as its directory holds it: a link, or a map where it is small enough.

    :param before: size in bytes up to which the node of the directory embedded
    :param limit: size in bytes up to which the directory embeds now
    """
    if isinstance(entry, dict):
        block = dagcbor.encode_node(entry)
        return entry if len(block) <= limit else nodes.put_encoded(block)
    # A link of an unchanged directory is embedded only if the limit has grown, as it does where names are deleted.
    if limit > before and is_directory_link(entry) and nodes.block_size(entry) <= limit:
        node: DirectoryNode = nodes.load(entry, decode_directory)
        return node.map
    return entry
