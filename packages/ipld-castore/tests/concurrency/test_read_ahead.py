"""What is fetched before a walk comes to it: many blocks at a time, no more than there is room for, each once."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
from ipld_car import binary_links, cids, walk_binary
from ipld_castore import MappingCAStore
from ipld_castore.concurrency import ReadAhead, read_ahead

THREADS = 8
TOGETHER = 4
"""Calls that the graph below allows at once, in whichever order its first blocks come."""


class Graph:
    """A store with graphs, and what gives their blocks; it keeps a record of what was asked.

    :param free: calls that are answered at once; those behind them wait until four are under way
    """

    def __init__(self, free: int = 10**6) -> None:
        self.castore = MappingCAStore()
        self.asked: list[bytes] = []
        self._free, self._under_way = free, 0
        self._changed = threading.Condition()

    def put(self, links: Iterable[bytes], size: int = 0) -> bytes:
        return bytes(self.castore.put({"links": [cids.from_bytes(link) for link in links], "filling": bytes(size)}))

    def history(self, count: int, size: int = 0) -> bytes:
        """Put blocks, each of which links a leaf, the block before it, and the one in the middle of those before."""
        blocks: list[bytes] = []
        for number in range(count):
            leaf = self.put([], size + number)
            before = [blocks[number // 2], blocks[-1]] if blocks else []
            blocks.append(self.put([leaf, *before]))
        return blocks[-1]

    def get(self, cid: bytes) -> bytes:
        with self._changed:
            self.asked.append(cid)
            if len(self.asked) > self._free:
                self._under_way += 1
                self._changed.notify_all()
                if not self._changed.wait_for(lambda: self._under_way >= TOGETHER, timeout=20):
                    raise TimeoutError(f"{self._under_way} calls were under way, expected {TOGETHER}")
        return self.castore.get_raw(cid)


def test_blocks_that_the_walk_has_not_met_are_fetched_many_at_a_time() -> None:
    graph = Graph(free=20)
    root = graph.history(60)
    plain = list(walk_binary(graph.castore.get_raw, root))
    with ReadAhead(graph.get, threads=THREADS, below=binary_links) as reader:
        assert list(walk_binary(reader.get, root, prefetch=reader.ahead)) == plain
    assert len(graph.asked) == len(set(graph.asked)) == len(plain), "each once"


def test_without_below_only_what_the_walk_has_met_is_fetched() -> None:
    graph = Graph()
    root = graph.history(6)
    with ReadAhead(graph.get) as reader:
        blocks = walk_binary(reader.get, root, prefetch=reader.ahead)
        next(blocks), next(blocks)
        assert len(graph.asked) <= 4, "the root and its three links"


def test_what_is_further_away_is_fetched_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded where the walk does not come to what was fetched."""
    monkeypatch.setattr(read_ahead, "_FAR_BYTES", 40_000)
    monkeypatch.setattr(read_ahead, "_NEAR", 4)
    graph = Graph()
    root = graph.history(60, size=10_000)
    plain = list(walk_binary(graph.castore.get_raw, root))
    with ReadAhead(graph.get, threads=2, below=binary_links) as reader:
        done = []
        for block in walk_binary(reader.get, root, prefetch=reader.ahead):
            done.append(block)
            ahead = set(graph.asked) - {cid for cid, _ in done}
            large = [cid for cid in ahead if len(graph.castore.get_raw(cid)) > 5000]
            assert len(large) <= 4 + 4 + 2, "near ones, those of 40,000 bytes, and two calls"
        assert done == plain


def test_a_block_that_fails_is_an_error_when_the_walk_comes_to_it() -> None:
    graph = Graph()
    lost, good = graph.put([], 1), graph.put([], 2)
    middle = graph.put([good, lost])
    root = graph.put([middle, good])
    graph.castore.delete_block(cids.from_bytes(lost))
    with ReadAhead(graph.get, below=binary_links) as reader:
        blocks = walk_binary(reader.get, root, prefetch=reader.ahead)
        assert [next(blocks)[0] for _ in range(3)] == [root, middle, good]
        with pytest.raises(KeyError):
            next(blocks)
