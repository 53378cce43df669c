"""Roots that no conforming writer makes, and that every reader must read: each mix of forms that the format allows."""

from __future__ import annotations

from random import Random
from typing import Any

from . import reference
from .reference import Link

PARTS = ["a", "b", "0", "1", "c", "c.0", "0.1", "1.0.2", "10", "x"]
CHUNK_KEYS = [
    "0",
    "1",
    "10",
    "0/0",
    "0/1",
    "1/0",
    "c/0",
    "c/1",
    "c/0/1",
    "c/1/0",
    "0.1",
    "1.0.2",
    "c.0",
    "c.0.1",
    "c.1.0",
]
DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    ".zarray": [{"x": 1}],
    "zarr.json": [{"node_type": "array"}, {"node_type": "group"}, {"node_type": {"a": {}, "0": {}}}],
    ".zattrs": [{}, {"a": {"b": [1, 0.5, None, True, "é"]}}],
}


class Foreign:
    """A dataset that mixes forms, as blocks and a root.

    :param shadows: how likely a name stands at several places, of which one counts
    :param empty_blocks: whether blocks may be directories without keys
    """

    def __init__(self, random: Random, *, shadows: float = 0.3, empty_blocks: bool = True) -> None:
        self.random = random
        self.shadows = shadows
        self.empty_blocks = empty_blocks
        self.blocks: dict[Link, bytes] = {}
        self.root = self.put(self.directory(0, is_root=True))

    def put(self, node: Any) -> Link:
        block = reference.encode(node)
        link = reference.cid(0x71, block)
        self.blocks[link] = block
        return link

    def value(self) -> Link:
        data = bytes([self.random.randrange(100)]) * 3
        link = reference.cid(0x55, data)
        self.blocks[link] = data
        return link

    def may(self, chance: float) -> bool:
        return self.random.random() < chance

    def some(self, choices: list[str], most: int) -> list[str]:
        return self.random.sample(choices, self.random.randint(0, min(most, len(choices))))

    def directory(self, depth: int, *, is_root: bool = False) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if not is_root and self.may(0.3):
            made["__ipld_value__"] = self.value()
        for name in self.some(list(DOCUMENTS), 2 if self.may(0.5) else 0):
            document = self.random.choice(DOCUMENTS[name])
            made[name] = self.random.choice([document, self.put(document), self.value()])
        indexed = self.some(PARTS, 5) if self.may(0.3) else []
        free = [name for name in PARTS if name not in indexed or self.may(self.shadows)]
        made.update((name, self.entry(depth, self.may(0.5))) for name in self.some(free, 4))
        if indexed:
            links = {name: self.entry(depth, linked=True) for name in indexed}
            made["__ipld_names__"] = self.index(links, chunks=False)
        chunks = self.some(CHUNK_KEYS, 8) if self.may(0.4) else []
        chunks = [key for key in chunks if key.split("/")[0] not in made or self.may(self.shadows)]
        if chunks:
            made["__ipld_chunks__"] = self.index({key: self.value() for key in chunks}, chunks=True)
        return made

    def entry(self, depth: int, linked: bool) -> Any:
        below = {} if depth > 2 or self.may(0.1) else self.directory(depth + 1)
        if depth > 2 or self.may(0.4) or (linked and not self.empty_blocks and holds_nothing(below)):
            return self.value()
        return self.put(below) if linked else below

    def index(self, links: dict[str, Link], *, chunks: bool) -> Any:
        """Return an index with index nodes of any shape over leaves of any size."""
        code = reference.chunk_code if chunks else str.encode
        ordered = sorted(links, key=code)
        parts: list[Any] = []
        for names in self.cut(ordered):
            leaf = {name: links[name] for name in names}
            if chunks:
                leaf = reference.plain_map({tuple(name.split("/")): link for name, link in leaf.items()})
            parts.append([names[0], self.put(leaf), len(names)])
        for _ in range(self.random.choice([0, 0, 0, 1, 2, 4])):
            # Some stay where they are: a list may have leaves and lists.
            groups = self.cut(parts)
            parts = [self.over(group) if len(group) > 1 or self.may(0.5) else group[0] for group in groups]
        return self.put(parts) if self.may(0.5) else parts

    def over(self, group: list[Any]) -> list[Any]:
        return [group[0][0], self.put(group), sum(part[2] for part in group)]

    def cut(self, items: list[Any]) -> list[list[Any]]:
        places = sorted({0, *(at for at in range(1, len(items)) if self.may(0.5))})
        return [items[start:stop] for start, stop in zip(places, [*places[1:], len(items)], strict=True)]


def holds_nothing(directory: dict[str, Any]) -> bool:
    return all(name in PARTS and isinstance(item, dict) and holds_nothing(item) for name, item in directory.items())
