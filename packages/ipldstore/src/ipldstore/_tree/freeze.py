"""From a changed tree to its canonical nodes (format, section 3).

First every chunk key comes to the directory that owns it, and to the form that its number asks for;
then the directories are built from the innermost outwards. Nothing is lost if writing fails: what has been
moved by then is still the same mapping.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipld_car import dagcbor

from ipldstore._format import index_tree, validate
from ipldstore._format import keys as _keys
from ipldstore._format.limits import Limits
from ipldstore._format.nodes import Folder, Load, NodeStore, as_folder

from . import lookup
from .directory import FULL, ONLY_C, Directory, Map
from .inline import drop_plain, put_plain

# The shortest entry of a map: a name of one byte, and a link with an identity CID without bytes.
_MIN_ENTRY_BYTES = 10


def freeze(top: Directory, nodes: NodeStore, limits: Limits) -> bytes:
    """Write the nodes of a changed tree; returns the block of its root."""
    for directory in _changed(top):
        _evict(directory, nodes.load)
    for directory in _changed(top):
        _absorb(directory, nodes.load)
    for directory in _changed(top):
        _choose_form(directory, nodes.load, limits)
    return dagcbor.encode_node(_build(top, nodes, limits))


def _changed(top: Directory) -> list[Directory]:
    """All directories that change, each before those below it."""
    found = [top]
    for directory in found:
        found.extend(entry for entry in directory.entries.values() if isinstance(entry, Directory))
    return found


# -- chunk keys to their owners --


def _evict(directory: Directory, load: Load) -> None:
    """Take the chunk keys out that are not the directory's own, to stand as entries."""
    if not directory.has_chunks:
        return
    is_owner = directory.owner(load) is not None
    for key, link in _strangers(directory, load).items() if is_owner else lookup.chunks_of(directory, load):
        _put_below(directory, key, link, load)
        if is_owner:
            directory.drop_chunk(key, load)
    if not is_owner:
        directory.forget_chunks()


def _strangers(directory: Directory, load: Load) -> dict[str, bytes]:
    """Chunk keys that are kept apart by an owner of others. Its index is read where what is owned may have changed."""
    only_c = directory.owner(load) == ONLY_C
    inner = tuple(f"{path}/" for path in _owners_below(directory, load))
    if not (only_c or inner):
        return {}
    has_strangers_in_base = inner or directory.owner_before != ONLY_C
    keys = lookup.chunks_of(directory, load) if has_strangers_in_base else iter(directory.chunk_new.items())
    return {key: link for key, link in keys if key.startswith(inner) or (only_c and not key.startswith("c"))}


def _owners_below(directory: Directory, load: Load) -> Iterator[str]:
    """Paths of changed directories that own chunks, where chunk keys of ``directory`` may lead through them."""
    stack = [("", directory)]
    while stack:
        prefix, above = stack.pop()
        for name, entry in above.entries.items():
            if isinstance(entry, Directory) and _keys.may_begin_chunk_key(name, first=not prefix):
                if entry.owner(load) is not None:
                    yield prefix + name
                else:
                    stack.append((f"{prefix}{name}/", entry))


def _put_below(directory: Directory, key: str, link: bytes, load: Load) -> None:
    """Have a value as entry, and nothing else at its key in any directory below ``directory``."""
    parts = key.split("/")
    for at, below in enumerate(put_plain(directory, parts, link, load)):
        if at and below.has_chunks:
            below.drop_chunk("/".join(parts[at:]), load)


def _absorb(directory: Directory, load: Load) -> None:
    """Take the chunk keys that stand as entries below their owner to the others of it."""
    owner = directory.owner(load)
    if owner is None:
        return
    found = {key: link for key, link in _plain_chunks(directory, load) if owner == FULL or key.startswith("c")}
    for key, link in found.items():
        # A key in the index of a foreign root counts before one in the entries.
        if directory.chunk(key, load) is None:
            directory.put_chunk(key, link)
        drop_plain(directory, key.split("/"), load)


def _plain_chunks(owner: Directory, load: Load) -> Iterator[tuple[str, bytes]]:
    """Key and link of all entries below an owner that have the form of its chunk keys."""
    stack = [("", owner)]
    while stack:
        prefix, directory = stack.pop()
        for name, entry in list(_candidates(directory, load)):
            if not _keys.may_begin_chunk_key(name, first=not prefix):
                continue
            key = prefix + name
            if isinstance(entry, bytes) and not validate.is_directory_link(entry):
                if _keys.is_chunk_key(key):
                    yield key, entry
                continue
            below = directory.open(name, load)
            if below is None:
                continue
            if below.value is not None and _keys.is_chunk_key(key):
                yield key, below.value
            if below.owner(load) is None:
                _evict(below, load)  # only a foreign root has an index there
                stack.append((f"{key}/", below))


def _candidates(directory: Directory, load: Load) -> Iterator[tuple[str, Map | bytes | Directory]]:
    """The entries that may be parts of chunk keys; of a name index only the leaves that have digits and ``c``."""
    yield from list(directory.entries.items())
    for low, high in ((b"0", b":"), (b"c", b"c/")):
        for name, link in index_tree.items(index_tree.NAMES, directory.name_base, load, low, high):
            if name not in directory.gone:
                yield name, link


def _choose_form(directory: Directory, load: Load, limits: Limits) -> None:
    """Have few chunk keys as entries, many apart."""
    if not directory.has_chunks:
        return
    at_least = index_tree.total(index_tree.CHUNKS, directory.chunk_base, load) - len(directory.chunk_gone)
    if max(at_least, len(directory.chunk_new)) * _MIN_ENTRY_BYTES > limits.plain:
        return
    keys: dict[str, bytes] = {}
    for key, link in lookup.chunks_of(directory, load):
        keys[key] = link
        if len(keys) * _MIN_ENTRY_BYTES > limits.plain:
            return
    if len(dagcbor.encode_node(index_tree.nested_map(keys))) > limits.plain:
        return
    for key, link in keys.items():
        _put_below(directory, key, link, load)
    directory.forget_chunks()


# -- nodes --


def _build(directory: Directory, nodes: NodeStore, limits: Limits) -> Map:
    """The map of a directory; empty if no key is in it. Recursion ends with the parts of a key."""
    made: Map = dict(directory.documents)
    if directory.value is not None:
        made[_keys.VALUE] = directory.value
    if directory.has_chunks:
        changes: index_tree.Changes = {**dict.fromkeys(directory.chunk_gone), **directory.chunk_new}
        index = index_tree.rebuild(index_tree.CHUNKS, directory.chunk_base, changes, nodes, limits)
        if index is not None:
            made[_keys.CHUNKS] = index
    entries = {
        name: built
        for name, entry in directory.entries.items()
        if (built := _build_entry(entry, nodes, limits)) is not None
    }
    if directory.name_base is not None:
        remaining = index_tree.total(index_tree.NAMES, directory.name_base, nodes.load) - len(directory.gone)
        if remaining > limits.names:
            changes = {**dict.fromkeys(directory.gone), **_as_links(entries, nodes)}
            made[_keys.NAMES] = index_tree.rebuild(index_tree.NAMES, directory.name_base, changes, nodes, limits)
            return made
        rest = index_tree.items(index_tree.NAMES, directory.name_base, nodes.load)
        entries.update((name, link) for name, link in rest if name not in directory.gone)
    if len(entries) > limits.names:
        made[_keys.NAMES] = index_tree.rebuild(index_tree.NAMES, None, _as_links(entries, nodes), nodes, limits)
    else:
        before = 0 if directory.name_base is not None else limits.embedding_limit(directory.names_before)
        limit = limits.embedding_limit(len(entries))
        made.update((name, _embed_or_link(entry, before, limit, nodes)) for name, entry in entries.items())
    return made


def _build_entry(entry: Map | bytes | Directory, nodes: NodeStore, limits: Limits) -> Map | bytes | None:
    """An entry as map or link; None if no key is in it."""
    made = _build(entry, nodes, limits) if isinstance(entry, Directory) else entry
    if isinstance(made, dict) and made.keys() <= {_keys.VALUE}:
        return made.get(_keys.VALUE)
    return made


def _as_links(entries: dict[str, Map | bytes], nodes: NodeStore) -> dict[str, bytes | None]:
    return {name: entry if isinstance(entry, bytes) else nodes.put(entry) for name, entry in entries.items()}


def _embed_or_link(entry: Map | bytes, before: int, limit: int, nodes: NodeStore) -> Map | bytes:
    """An entry as its directory has it, which embeds up to ``limit`` and has embedded up to ``before``."""
    if isinstance(entry, dict):
        block = dagcbor.encode_node(entry)
        return entry if len(block) <= limit else nodes.put_encoded(block)
    # Only a directory with fewer names than before may have to embed what it has not looked at.
    if limit > before and validate.is_directory_link(entry) and nodes.block_size(entry) <= limit:
        folder: Folder = nodes.load(entry, as_folder)
        return folder.map
    return entry
