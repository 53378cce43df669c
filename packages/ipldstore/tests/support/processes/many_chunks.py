"""Write or list a grid of very many chunks, in a process whose memory is measured.

``many_chunks.py FOLDER write SHAPE EVERY`` writes a grid and freezes it after each ``EVERY`` chunks;
``many_chunks.py FOLDER read ROOT`` lists it. Both print JSON: what was found, and the peak of memory in bytes beyond
that of the interpreter with its modules.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ipld_car import cids
from ipldstore import FileSystemCAStore, IPLDStore
from multiformats import CID

CHUNK_SIZE = 8


class NodesOnly(FileSystemCAStore):
    """A folder that keeps nodes only: a file for each chunk would take far longer than the index that is measured."""

    largest = 0

    def put_block(self, cid: CID, data: bytes) -> None:
        self.largest = max(self.largest, len(data))
        if cids.codec_of(cids.to_bytes(cid)) == cids.DAG_CBOR:
            super().put_block(cid, data)


def keys_of(shape: tuple[int, ...]) -> Iterator[str]:
    """Return the keys of all chunks, axis 0 slowest."""
    return ("a/c/" + "/".join(map(str, point)) for point in itertools.product(*map(range, shape)))


def chunk_of(number: int) -> bytes:
    """Return the bytes of a chunk, different for each."""
    return number.to_bytes(CHUNK_SIZE, "big")


def resident(what: str) -> int:
    """Return the bytes of memory in use (``VmRSS``) or their peak (``VmHWM``; ru_maxrss has the parent's), on Linux."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) << 10


def write(folder: str, shape: tuple[int, ...], every: int) -> dict[str, Any]:
    castore = NodesOnly(folder, fsync=False)
    store = IPLDStore(castore)
    store["a/zarr.json"] = b'{"node_type":"array","zarr_format":3}'
    for number, key in enumerate(keys_of(shape)):
        store[key] = chunk_of(number)
        if not (number + 1) % every:
            store.freeze()
    return {"root": str(store.freeze()), "largest": castore.largest}


def read(folder: str, root: str) -> dict[str, Any]:
    store = IPLDStore(NodesOnly(folder, fsync=False), root=root, read_only=True)
    return {"listed": len(store)}


def main(folder: str, what: str, *arguments: str) -> None:
    before = resident("VmRSS")
    if what == "read":
        found = read(folder, *arguments)
    else:
        shape = tuple(map(int, arguments[0].split("x")))
        found = {"chunks": math.prod(shape), **write(folder, shape, int(arguments[1]))}
    print(json.dumps(found | {"bytes": resident("VmHWM") - before}))  # noqa: T201  # read by the test that started it


if __name__ == "__main__":
    main(*sys.argv[1:])
