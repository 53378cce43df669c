"""The block format, as slow and plain as its words: what a dataset's contents give, and what a root holds.

The oracle of the tests. It shares no line, and no library for nodes, with the package: hashes are hashlib's, and
DAG-CBOR, dag-pb, JSON and the order of an index are spelled out here. Sections are those of the format.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import dag_cbor
from multiformats import CID

DOCUMENTS = {".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json"}
MIB = 1 << 20


class Limits(NamedTuple):
    plain: int = 4096
    leaf: int = 2048
    parts: int = 1024
    names: int = 2048
    embedding: tuple[tuple[int, int], ...] = ((16, 16384), (256, 1024))


class Link(bytes):
    """A binary CID."""


class Document(NamedTuple):
    value: dict[str, Any]


class Built(NamedTuple):
    root: Link
    blocks: dict[Link, bytes]
    """All blocks below the root, the root's too."""

    @property
    def nodes(self) -> dict[Link, bytes]:
        return {link: block for link, block in self.blocks.items() if link[1] == 0x71}


# -- DAG-CBOR, and the CIDs of blocks --


def head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes([kind << 5 | number])
    for extra, size in enumerate((1, 2, 4, 8)):
        if number < 256**size:
            return bytes([kind << 5 | 24 + extra]) + number.to_bytes(size, "big")
    raise ValueError(number)


def encode(value: Any) -> bytes:
    if value is None or value is True or value is False:
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, Link):
        return b"\xd8\x2a" + head(2, len(value) + 1) + b"\0" + value
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(encode, value))
    pairs = sorted((len(name.encode()), name.encode(), name) for name in value)
    return head(5, len(pairs)) + b"".join(encode(name) + encode(value[name]) for _, _, name in pairs)


def cid(codec: int, block: bytes) -> Link:
    return Link(bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(block).digest())


# -- section 2: values and documents --


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def value_blocks(data: bytes) -> tuple[Link, dict[Link, bytes]]:
    """The link of a value, and its blocks: raw, or a UnixFS file."""
    blocks: dict[Link, bytes] = {}
    level = []  # link, bytes of the file, bytes of all blocks
    for at in range(0, max(len(data), 1), MIB):
        leaf = data[at : at + MIB]
        blocks[cid(0x55, leaf)] = leaf
        level.append((cid(0x55, leaf), len(leaf), len(leaf)))
    while len(level) > 1:
        above = []
        for at in range(0, len(level), 1024):
            children = level[at : at + 1024]
            links = [field(2, field(1, link) + field(2, b"") + field(3, whole)) for link, _, whole in children]
            size = sum(size for _, size, _ in children)
            message = field(1, 2) + field(3, size) + b"".join(field(4, size) for _, size, _ in children)
            block = b"".join(links) + field(1, message)
            blocks[cid(0x70, block)] = block
            above.append((cid(0x70, block), size, len(block) + sum(whole for _, _, whole in children)))
        level = above
    return level[0][0], blocks


class LossyError(Exception):
    """As data, something of the text would be lost."""


SPACE = re.compile(r"[ \t\n\r]*")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
STRING = re.compile(r'"((?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)"')
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Json:
    """A parser of RFC 8259 that refuses what would be lost."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def document(self) -> dict[str, Any]:
        found = self.value(1)
        if self.at != len(self.text) or not isinstance(found, dict):
            raise LossyError
        return found

    def space(self) -> None:
        self.at = SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]

    def take(self, mark: str) -> bool:
        """Whether a mark stands here, and space around it; if so they are behind us."""
        self.space()
        found = self.text.startswith(mark, self.at)
        if found:
            self.at += len(mark)
            self.space()
        return found

    def value(self, depth: int) -> Any:
        if self.take("{"):
            return self.object(depth)
        if self.take("["):
            return self.array(depth)
        for text, value in (("true", True), ("false", False), ("null", None)):
            if self.take(text):
                return value
        found = self.string() if self.text.startswith('"', self.at) else self.number()
        self.space()
        return found

    def object(self, depth: int) -> dict[str, Any]:
        if depth > 64:
            raise LossyError
        found: dict[str, Any] = {}
        if self.take("}"):
            return found
        while True:
            name = self.string()
            if name in found or not self.take(":"):
                raise LossyError
            found[name] = self.value(depth + 1)
            if self.take("}"):
                return found
            if not self.take(","):
                raise LossyError

    def array(self, depth: int) -> list[Any]:
        if depth > 64:
            raise LossyError
        found: list[Any] = []
        if self.take("]"):
            return found
        while True:
            found.append(self.value(depth + 1))
            if self.take("]"):
                return found
            if not self.take(","):
                raise LossyError

    def match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise LossyError
        self.at = found.end()
        return found

    def string(self) -> str:
        units = ESCAPE.sub(_unescaped, self.match(STRING)[1])
        try:
            # Two escapes may make one character; one alone is no text.
            return units.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise LossyError from None

    def number(self) -> int | float:
        found = self.match(NUMBER)
        if found[1] is None and found[2] is None:
            if found[0] == "-0" or len(found[0]) > 30 or not -(2**64) <= int(found[0]) < 2**64:
                raise LossyError
            return int(found[0])
        number = float(found[0])
        if number in (float("inf"), -float("inf")) or (number == 0 and found[0][0] == "-"):
            raise LossyError
        return number


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else ESCAPES.get(found[2], found[2])


def without_separator(array: Any) -> Any:
    if isinstance(array, dict) and array.get("dimension_separator") == ".":
        return {name: item for name, item in array.items() if name != "dimension_separator"}
    return array


def document_of(name: str, data: bytes) -> Document | None:
    """A document as data; None where it is kept as exact bytes."""
    try:
        value = Json(data.decode("utf-8")).document()
    except (LossyError, UnicodeDecodeError):
        return None
    if name == ".zarray":
        value = without_separator(value)
    if name == ".zmetadata" and isinstance(value.get("metadata"), dict):
        value["metadata"] = {
            path: without_separator(item) if re.search(r"(^|/)\.zarray\Z", path) else item
            for path, item in value["metadata"].items()
        }
    return Document(value) if len(encode(value)) <= MIB else None


def text_of(value: Any) -> str:
    """The JSON text that a document is read back as."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
    return "{" + ",".join(text_of(name) + ":" + text_of(value[name]) for name in names) + "}"


def _escaped(character: str) -> str:
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    return short.get(character) or (f"\\u{ord(character):04x}" if character < " " else character)


def read_back(key: str, data: bytes) -> bytes:
    """What reading a key gives after writing ``data`` to it."""
    name = key.rpartition("/")[2]
    document = document_of(name, data) if name in DOCUMENTS else None
    return data if document is None else text_of(document.value).encode()


# -- section 3: directories --

Keys = dict[tuple[str, ...], "Document | Link"]
"""Keys, relative to a directory, as their parts; () is the value that the directory is itself."""

CHUNK_KEY = re.compile(r"(c/)?N(/N)*|(c\.)?N(\.N)*".replace("N", "(0|[1-9][0-9]{0,17})"))


class Builder:
    """Collects blocks; one for each dataset."""

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
        """The map of a directory."""
        made: dict[str, Any] = {}
        chunks = chunk_keys(keys)
        if len(encode(plain_map(chunks))) > self.limits.plain:
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
        while len(parts) > self.limits.parts:
            groups = split([(code(part[0]), part) for part in parts], self.limits.parts)
            parts = [[group[0][0], self.put(group), sum(part[2] for part in group)] for group in groups]
        return parts if len(encode(parts)) <= self.limits.plain else self.put(parts)


def owns(keys: Keys, path: tuple[str, ...]) -> str | None:
    """What the chunk keys of a directory begin with; None if it owns none."""
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
    """The root of these contents, and all blocks."""
    builder = Builder(limits)
    root = builder.directory({tuple(key.split("/")): builder.item(key, data) for key, data in contents.items()})
    return Built(builder.put(root), builder.blocks)


# -- section 5: reading --


class Reader:
    """What keys a root holds, whoever wrote it, by the order in which a lookup goes."""

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
        """The document of a key, or the link of a document or value; None if it is absent."""
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
        """Key and link of all that an index has."""
        node = self.node(item)
        if isinstance(node, list):
            return {key: link for part in node for key, link in self.index(part[1]).items()}
        return dict(_leaf_items(node, ""))

    def contents(self) -> dict[str, dict[str, Any] | Link]:
        """All keys, and what a lookup finds at each."""
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


def decode(block: bytes) -> Any:
    return _with_links(dag_cbor.decode(block))  # the same as users of other libraries get


def _with_links(value: Any) -> Any:
    if isinstance(value, CID):
        return Link(bytes(value))
    if isinstance(value, dict):
        return {name: _with_links(item) for name, item in value.items()}
    return [_with_links(item) for item in value] if isinstance(value, list) else value
