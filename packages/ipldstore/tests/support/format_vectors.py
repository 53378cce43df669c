"""The contents and figures of the vectors of the format; ``about`` in their file says how they are written."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from . import reference


def data_of(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    return "".join(text * times for text, times in value["repeat"]).encode()


def contents_of(case: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    for key, value in case.get("contents", {}).items():
        yield key, data_of(value)
    for grid in case.get("grids", []):
        data = data_of(grid["value"])
        for point in product(*map(range, grid["shape"])):
            yield grid["prefix"] + grid["separator"].join(map(str, point)), data
    for names in case.get("names", []):
        data = data_of(names["value"])
        for number in range(names["count"]):
            yield f"{names['prefix']}{number}{names['suffix']}", data


def figures_of(root: bytes, blocks: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return the figures that a vector gives of the blocks below a root."""
    nodes = [block for link, block in blocks.items() if link[1] == 0x71]
    return {
        "root": "b" + base64.b32encode(root).decode().lower().rstrip("="),
        "blocks": len(blocks),
        "nodes": len(nodes),
        "largest_node": max(map(len, nodes)),
        "bytes": sum(map(len, blocks.values())),
    }


def reference_figures(case: dict[str, Any]) -> dict[str, Any]:
    built = reference.build(dict(contents_of(case)))
    return figures_of(built.root, {bytes(link): block for link, block in built.blocks.items()})
