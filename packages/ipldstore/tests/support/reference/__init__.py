"""A reference implementation of the block format, slow and close to its text: the oracle of the tests.

It shares no code, and no library for nodes, with the package: hashes are hashlib's, and DAG-CBOR, dag-pb, JSON and the
order of an index are implemented here and in the modules beside this one. Sections are those of the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .blocks import Link, cid, decode, encode, field, value_blocks
from .documents import DOCUMENTS, Document, document_of, read_back

__all__ = [
    "DOCUMENTS",
    "Builder",
    "Built",
    "Document",
    "Limits",
    "Link",
    "Reader",
    "build",
    "chunk_code",
    "cid",
    "decode",
    "document_of",
    "encode",
    "field",
    "plain_map",
    "read_back",
    "split",
    "value_blocks",
]


class Limits(NamedTuple):
    inline: int = 4096
    leaf: int = 2048
    children: int = 1024
    names: int = 2048
    embedding: tuple[tuple[int, int], ...] = ((16, 16384), (256, 1024))


class Built(NamedTuple):
    root: Link
    blocks: dict[Link, bytes]
    """All blocks below the root, and that of the root."""

    @property
    def nodes(self) -> dict[Link, bytes]:
        return {link: block for link, block in self.blocks.items() if link[1] == 0x71}


# -- section 3: directories --

Keys = dict[tuple[str, ...], "Document | Link"]
"""Keys relative to a directory, as tuples of their parts; () is the value with the name of the directory."""

CHUNK_KEY = re.compile(r"(c/)?N(/N)*|(c\.)?N(\.N)*".replace("N", "(0|[1-9][0-9]{0,17})"))


class Builder:
    """Builds the nodes of one dataset and collects its blocks."""

    def __init__(self, limits: Any) -> None:
        self.limits = limits
        self.blocks: dict[Link, bytes] = {}

    def put(self, node: Any) -> Link:
        block = encode(node)
        link = cid(0x71, block)
        self.blocks[link] = block
        return link

    def item(self, key: str, data: bytes) -> Document | Link:
        name = key.rpartition("/")[2]
        document = document_of(name, data) if name in DOCUMENTS else None
        if document is not None:
            return document
        link, blocks = value_blocks(data)
        self.blocks.update(blocks)
        return link

    def directory(self, keys: Keys) -> dict[str, Any]:
        """Return the map of a directory."""
        made: dict[str, Any] = {}
        chunks = chunk_keys(keys)
        if len(encode(plain_map(chunks))) > self.limits.inline:
            made["__ipld_chunks__"] = self.index({"/".join(key): link for key, link in chunks.items()}, chunks=True)
            keys = {key: item for key, item in keys.items() if key not in chunks}
        below: dict[str, Keys] = {}
        for key, item in keys.items():
            if isinstance(item, Document) and len(key) == 1:
                made[key[0]] = item.value if len(encode(item.value)) <= 32768 else self.put(item.value)
            elif key == ():
                made["__ipld_value__"] = item
            elif key[0] in DOCUMENTS:
                made[key[0]] = item
            else:
                below.setdefault(key[0], {})[key[1:]] = item
        entries = {name: inner[()] if list(inner) == [()] else self.directory(inner) for name, inner in below.items()}
        if len(entries) > self.limits.names:
            links = {name: self.put(entry) if isinstance(entry, dict) else entry for name, entry in entries.items()}
            made["__ipld_names__"] = self.index(links, chunks=False)  # type: ignore[arg-type]  # all are links now
            return made
        limit = next((size for most, size in self.limits.embedding if len(entries) <= most), 0)
        for name, entry in entries.items():
            is_linked = isinstance(entry, dict) and len(encode(entry)) > limit
            made[name] = self.put(entry) if is_linked else entry
        return made

    # -- section 4: the index --

    def index(self, links: dict[str, Link], *, chunks: bool) -> list[Any] | Link:
        code = chunk_code if chunks else str.encode
        parts: list[Any] = []
        ordered = sorted(links, key=code)
        for names in split([(code(name), name) for name in ordered], self.limits.leaf):
            leaf = {name: links[name] for name in names}
            as_map = plain_map({tuple(name.split("/")): link for name, link in leaf.items()}) if chunks else leaf
            parts.append([names[0], self.put(as_map), len(names)])
        while len(parts) > self.limits.children:
            groups = split([(code(part[0]), part) for part in parts], self.limits.children)
            parts = [[group[0][0], self.put(group), sum(part[2] for part in group)] for group in groups]
        return parts if len(encode(parts)) <= self.limits.inline else self.put(parts)


def owns(keys: Keys, path: tuple[str, ...]) -> str | None:
    """Return the beginning of the chunk keys that a directory owns; None if it owns none."""
    if (*path, ".zarray") in keys:
        return ""
    metadata = keys.get((*path, "zarr.json"))
    if isinstance(metadata, Link):
        return "c"
    return "" if metadata is not None and metadata.value.get("node_type") == "array" else None


def chunk_keys(keys: Keys) -> dict[tuple[str, ...], Link]:
    start = owns(keys, ())
    if start is None:
        return {}
    directories = {key[:length] for key in keys for length in range(1, len(key))}
    owners = {path for path in directories if owns(keys, path) is not None}
    return {
        key: item
        for key, item in keys.items()
        if isinstance(item, Link)
        and is_chunk_key("/".join(key))
        and "/".join(key).startswith(start)
        and not any(key[:length] in owners for length in range(1, len(key)))
    }


def is_chunk_key(key: str) -> bool:
    return len(key.encode()) <= 255 and CHUNK_KEY.fullmatch(key) is not None


def plain_map(keys: Mapping[tuple[str, ...], Link]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    directories = {key[:length] for key in keys for length in range(1, len(key))}
    for key, link in keys.items():
        inner = made
        for part in key[:-1]:
            inner = inner.setdefault(part, {})
        if key in directories:
            inner.setdefault(key[-1], {})["__ipld_value__"] = link
        else:
            inner[key[-1]] = link
    return made


def chunk_code(key: str) -> bytes:
    numbers = [int(number) for number in re.findall("[0-9]+", key)]
    numbers[0] *= 4
    bits = "".join(map("".join, zip(*(f"{number:064b}" for number in numbers), strict=True)))
    return bytes([len(numbers)]) + int(bits, 2).to_bytes(8 * len(numbers), "big") + key.encode()


def bit(code: bytes, place: int) -> int:
    return code[place // 8] >> 7 - place % 8 & 1 if place // 8 < len(code) else 0


def split(items: list[tuple[bytes, Any]], cap: int) -> list[list[Any]]:
    if len(items) <= cap:
        return [[item for _, item in items]]
    first, last = items[0][0], items[-1][0]
    place = next(place for place in range(8 * max(len(first), len(last))) if bit(first, place) != bit(last, place))
    halves = [[pair for pair in items if bit(pair[0], place) == side] for side in (0, 1)]
    return split(halves[0], cap) + split(halves[1], cap)


def build(contents: Mapping[str, bytes], limits: Any = Limits()) -> Built:  # noqa: B008  # it has no state
    """Return the root of contents, and all blocks."""
    builder = Builder(limits)
    root = builder.directory({tuple(key.split("/")): builder.item(key, data) for key, data in contents.items()})
    return Built(builder.put(root), builder.blocks)


# -- section 5: reading --


class Reader:
    """Looks up keys below a root, canonical or foreign, in the order that section 5 gives."""

    def __init__(self, blocks: Mapping[bytes, bytes], root: bytes) -> None:
        self.blocks = blocks
        self.nodes: dict[Link, Any] = {}
        self.root = self.node(Link(root))

    def node(self, item: Any) -> Any:
        if isinstance(item, Link):
            if item not in self.nodes:
                self.nodes[item] = decode(self.blocks[item])
            return self.nodes[item]
        return item

    def lookup(self, key: str) -> dict[str, Any] | Link | None:
        """Return the document of a key, or the link of its document or value; None if it is absent."""
        directory = self.root
        parts = key.split("/")
        for at, name in enumerate(parts):
            rest = "/".join(parts[at:])
            if "__ipld_chunks__" in directory and is_chunk_key(rest):
                link = self.index(directory["__ipld_chunks__"]).get(rest)
                if link is not None:
                    return link
            if name in DOCUMENTS:
                return directory.get(name) if rest == name else None
            entry = directory.get(name)
            if entry is None and "__ipld_names__" in directory:
                entry = self.index(directory["__ipld_names__"]).get(name)
            if entry is None:
                return None
            if isinstance(entry, Link) and entry[1] != 0x71:
                return entry if rest == name else None
            directory = self.node(entry)
        value: Link | None = directory.get("__ipld_value__")
        return value

    def index(self, item: Any) -> dict[str, Link]:
        """Return key and link of all keys of an index."""
        node = self.node(item)
        if isinstance(node, list):
            return {key: link for part in node for key, link in self.index(part[1]).items()}
        return dict(_leaf_items(node, ""))

    def contents(self) -> dict[str, dict[str, Any] | Link]:
        """Return all keys, each with what a lookup finds."""
        found = {key: self.lookup(key) for key in self._candidates(self.root, "")}
        return {key: item for key, item in found.items() if item is not None}

    def _candidates(self, directory: dict[str, Any], prefix: str) -> Iterator[str]:
        entries = list(directory.items())
        if "__ipld_chunks__" in directory:
            yield from (prefix + rest for rest in self.index(directory["__ipld_chunks__"]))
        if "__ipld_names__" in directory:
            entries += self.index(directory["__ipld_names__"]).items()
        for name, item in entries:
            if name in DOCUMENTS:
                yield prefix + name
            elif not name.startswith("__ipld_"):
                yield prefix + name
                if isinstance(item, dict) or item[1] == 0x71:
                    yield from self._candidates(self.node(item), f"{prefix}{name}/")


def _leaf_items(node: dict[str, Any], prefix: str) -> Iterator[tuple[str, Link]]:
    for name, item in node.items():
        if name == "__ipld_value__":
            yield prefix[:-1], item
        elif isinstance(item, dict):
            yield from _leaf_items(item, f"{prefix}{name}/")
        else:
            yield prefix + name, item
