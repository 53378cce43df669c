"""py-hamt's part of bench_index.py; prints JSON. Runs under a Python that has py-hamt, and nothing of this repository.

python hamt_index.py 100 25 40
"""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import sys
import time

from py_hamt import HAMT, InMemoryCAS


class CountingCAS(InMemoryCAS):
    """A store in memory that counts nodes and values apart, by the codec that they are saved with."""

    def __init__(self):
        super().__init__()
        self.nodes = {}
        self.loaded = 0

    async def save(self, data, codec):
        key = await super().save(data, codec)
        if codec == "dag-cbor":
            self.nodes[key] = len(data)
        return key

    async def load(self, id, offset=None, length=None, suffix=None):  # noqa: A002  # py-hamt's signature
        self.loaded += id in self.nodes
        return await super().load(id, offset=offset, length=length, suffix=suffix)


def reachable(cas, root):
    """Return the nodes below a root, and their bytes. Nodes of earlier roots do not count."""
    from dag_cbor import decode

    seen, todo = set(), [root]
    while todo:
        node = todo.pop()
        if node in seen or node not in cas.nodes:
            continue
        seen.add(node)
        stack = [decode(cas.store[node])]
        while stack:
            item = stack.pop()
            if isinstance(item, dict):
                stack.extend(item.values())
            elif isinstance(item, list):
                stack.extend(item)
            elif isinstance(item, bytes) and item in cas.nodes:
                todo.append(item)
    return len(seen), sum(cas.nodes[node] for node in seen)


async def lookups(cas, root, keys):
    """Return the nodes that a reader without a cache loads for some keys."""
    hamt = await HAMT.build(cas=cas, root_node_id=root, values_are_bytes=True, read_only=True)
    cas.loaded = 0
    for key in keys:
        await hamt.get_pointer(key)
    return cas.loaded


async def main(shape):
    cas = CountingCAS()
    hamt = await HAMT.build(cas=cas, values_are_bytes=True)
    start = time.process_time()
    for number, point in enumerate(itertools.product(*map(range, shape))):
        await hamt.set("air/c/" + "/".join(map(str, point)), b"%08d" % number)
        if number % 20_000 == 0:
            await hamt.cache_vacate()
    await hamt.make_read_only()
    seconds = time.process_time() - start
    root = hamt.root_node_id
    nodes, size = reachable(cas, root)
    steps, *space = shape
    one_map = ["air/c/0/" + "/".join(map(str, point)) for point in itertools.product(*map(range, space))]
    pixel = [f"air/c/{step}/" + "/".join("1" for _ in space) for step in range(steps)]
    found = {
        "seconds": seconds,
        "nodes": nodes,
        "node_bytes": size,
        "cold_chunk": await lookups(cas, root, pixel[steps // 2 : steps // 2 + 1]),
        "one_map": await lookups(cas, root, one_map),
        "one_pixel": await lookups(cas, root, pixel),
    }
    before = set(cas.nodes)
    more = await HAMT.build(cas=cas, root_node_id=root, values_are_bytes=True)
    for number, point in enumerate(itertools.product(*map(range, space))):
        await more.set(f"air/c/{steps}/" + "/".join(map(str, point)), b"+%07d" % number)
    await more.make_read_only()
    found["append_nodes"] = len(set(cas.nodes) - before)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main([int(size) for size in sys.argv[1:]]))
