"""The rules of prefetching alone: what was read, what is cached and how large it is decide what is fetched."""

from __future__ import annotations

import pytest
from ipld_car import cids
from ipldstore._read import prefetch_policy
from ipldstore._read.prefetch_policy import (
    MAX_LEAF_BYTES,
    MAX_MIXED_BYTES,
    MAX_USELESS_GUESSES,
    MIN_READS,
    MIN_READS_TO_EXPECT_MORE,
    LeafLinks,
    PrefetchPolicy,
)

from ..support import reference

LEAF = reference.cid(cids.DAG_CBOR, b"leaf")
CHUNKS = [reference.cid(cids.RAW, b"%d" % number) for number in range(100)]


class Known:
    """What a reader knows: the sizes of cached blocks, and which blocks are being fetched."""

    def __init__(self) -> None:
        self.sizes: dict[bytes, int] = {}
        self.in_flight: set[bytes] = set()

    def cached_size(self, cid: bytes) -> int | None:
        return self.sizes.get(cid)

    def is_missing(self, cid: bytes) -> bool:
        return cid not in self.sizes and cid not in self.in_flight

    def read(self, policy: PrefetchPolicy, chunk: bytes, leaf: bytes = LEAF, size: int = 8) -> set[bytes]:
        """Read a chunk as the reader does: the chunks that the policy names are cached, and so is this one."""
        fetched = policy.chunks_to_fetch(chunk, LeafLinks(leaf, CHUNKS), self)
        self.sizes.update(dict.fromkeys([*fetched, chunk], size))
        return fetched


def test_the_first_chunks_of_a_leaf_come_alone() -> None:
    policy, known = PrefetchPolicy(), Known()
    assert [known.read(policy, chunk) for chunk in CHUNKS[: MIN_READS - 1]] == [set()] * (MIN_READS - 1)
    assert known.read(policy, CHUNKS[50]) == set(CHUNKS) - set(CHUNKS[: MIN_READS - 1])


def test_what_is_cached_or_being_fetched_is_not_fetched_again() -> None:
    policy, known = PrefetchPolicy(), Known()
    known.in_flight.update(CHUNKS[90:])
    for chunk in CHUNKS[: MIN_READS - 1]:
        known.read(policy, chunk)
    assert known.read(policy, CHUNKS[MIN_READS - 1]) == set(CHUNKS[MIN_READS - 1 : 90])
    assert known.read(policy, CHUNKS[95]) == set()


def test_a_chunk_that_its_reader_is_about_to_fetch_is_left_to_it() -> None:
    """It was counted, and is neither cached nor in flight yet: it does not wait for all others of the leaf."""
    policy, known, leaf = PrefetchPolicy(), Known(), LeafLinks(LEAF, CHUNKS)
    known.sizes[CHUNKS[0]] = 8
    for chunk in CHUNKS[1:MIN_READS]:
        assert policy.chunks_to_fetch(chunk, leaf, known) == set()
    assert policy.chunks_to_fetch(CHUNKS[MIN_READS], leaf, known) == set(CHUNKS[MIN_READS:])


def test_a_chunk_that_is_there_fetches_nothing() -> None:
    """However often it is read; the read counts, so that the next missing chunk fetches the leaf."""
    policy, known = PrefetchPolicy(), Known()
    known.sizes[CHUNKS[0]] = 8
    assert all(known.read(policy, CHUNKS[0]) == set() for _ in range(10))
    assert known.read(policy, CHUNKS[1])


def test_values_of_several_blocks_are_not_fetched_with_a_leaf() -> None:
    """Only raw blocks are chunks that come with a leaf at a known cost."""
    file = reference.cid(cids.DAG_PB, b"file")
    policy, known = PrefetchPolicy(), Known()
    links = [*CHUNKS, file]
    known.sizes[CHUNKS[0]] = 8
    fetched = [policy.chunks_to_fetch(CHUNKS[1], LeafLinks(LEAF, links), known) for _ in range(MIN_READS)][-1]
    assert fetched == set(CHUNKS[1:])


def test_a_leaf_is_fetched_up_to_a_size() -> None:
    """Estimated from the chunks that are cached: exactly the limit is fetched, one byte more a chunk is not."""
    for more, pays in ((0, True), (1, False)):
        policy, known = PrefetchPolicy(), Known()
        size = MAX_LEAF_BYTES // len(CHUNKS) + more
        assert (size * len(CHUNKS) <= MAX_LEAF_BYTES) is pays
        fetched = [known.read(policy, chunk, size=size) for chunk in CHUNKS[:MIN_READS]]
        assert bool(fetched[-1]) is pays


def test_a_leaf_of_unknown_size_is_not_fetched() -> None:
    policy, known = PrefetchPolicy(), Known()
    assert all(not policy.chunks_to_fetch(chunk, LeafLinks(LEAF, CHUNKS), known) for chunk in CHUNKS)


def test_a_leaf_that_is_too_large_is_considered_again_after_twice_the_reads() -> None:
    """So looking at the sizes costs little in all; and chunks that turn out to be small are fetched after all."""
    policy, known = PrefetchPolicy(), Known()
    for chunk in CHUNKS[:MIN_READS]:
        assert not known.read(policy, chunk, size=MAX_LEAF_BYTES)
    known.sizes = dict.fromkeys(CHUNKS[:20], 8)
    fetched = [bool(known.read(policy, chunk)) for chunk in CHUNKS[20 : 20 + 2 * MIN_READS]]
    assert fetched.index(True) == MIN_READS - 1


@pytest.mark.parametrize("more", [0, 1])
def test_chunks_that_stand_by_a_hash_come_node_by_node(more: int) -> None:
    """Where all are too many to come at once, and few enough for the cache to keep them until they are read."""
    policy, known = PrefetchPolicy(), Known()
    node = reference.cid(cids.DAG_CBOR, b"node")
    leaf = LeafLinks(LEAF, CHUNKS, mixed=10 * len(CHUNKS), node=node)
    size = MAX_MIXED_BYTES // leaf.mixed + more
    parts = []
    for chunk in CHUNKS:
        part = policy.part_of(leaf)
        fetched = policy.chunks_to_fetch(chunk, part, known)
        parts.append((part.cid, len(fetched)))
        known.sizes.update(dict.fromkeys([*fetched, chunk], size))
    alone = leaf.mixed // 64  # reads from which on all of them are considered
    assert parts[:alone] == [(LEAF, 0)] * alone
    if more:
        assert parts == [(LEAF, 0)] * len(CHUNKS)
    else:
        first = len(CHUNKS) // 16  # reads of the node from which on it is fetched
        assert parts[alone : alone + first] == [(node, 0)] * (first - 1) + [(node, len(CHUNKS) - alone - first + 1)]


def test_a_leaf_with_a_block_that_cannot_be_had_is_never_fetched_again() -> None:
    policy, known = PrefetchPolicy(), Known()
    for chunk in CHUNKS[:MIN_READS]:
        known.read(policy, chunk)
    policy.note_failure(LEAF)
    known.sizes = {CHUNKS[0]: 8}
    assert all(not known.read(policy, chunk) for chunk in CHUNKS[1:])


def read_many(policy: PrefetchPolicy, known: Known, leaf: bytes = LEAF, count: int = MIN_READS_TO_EXPECT_MORE) -> None:
    for chunk in CHUNKS[:count]:
        known.read(policy, chunk, leaf)


def test_many_reads_of_a_whole_leaf_make_the_next_one_expected() -> None:
    policy, known = PrefetchPolicy(), Known()
    read_many(policy, known, count=MIN_READS_TO_EXPECT_MORE - 1)
    assert not policy.expects_whole_leaf(100)
    policy.note_read(LEAF, known)
    assert policy.expects_whole_leaf(100)
    assert not policy.expects_whole_leaf(0)  # no leaf of a chunk index
    assert policy.expects_whole_leaf(MAX_LEAF_BYTES // 8)
    assert not policy.expects_whole_leaf(MAX_LEAF_BYTES // 8 + 1)


def test_many_reads_of_chunks_that_came_alone_expect_nothing() -> None:
    """Large chunks do: to fetch their next leaf whole would be far too much."""
    policy, known = PrefetchPolicy(), Known()
    for chunk in CHUNKS:
        known.read(policy, chunk, size=MAX_LEAF_BYTES)
    assert not policy.expects_whole_leaf(100)


def test_expectations_end_after_some_that_were_wrong() -> None:
    """A leaf fetched in advance whose chunks hardly anybody read is a wrong one."""
    policy, known = PrefetchPolicy(), Known()
    read_many(policy, known)
    for number in range(MAX_USELESS_GUESSES):
        assert policy.expects_whole_leaf(100)
        policy.note_expected_leaf(reference.cid(cids.DAG_CBOR, b"%d" % number), CHUNKS)
    assert not policy.expects_whole_leaf(100)
    known.read(policy, CHUNKS[0])
    assert policy.expects_whole_leaf(100)  # the first leaf is still being read


def test_one_right_expectation_among_the_last_is_enough() -> None:
    policy, known = PrefetchPolicy(), Known()
    read_many(policy, known)
    for number in range(3 * MAX_USELESS_GUESSES):
        assert policy.expects_whole_leaf(100)
        leaf = reference.cid(cids.DAG_CBOR, b"%d" % number)
        policy.note_expected_leaf(leaf, CHUNKS)
        if number % MAX_USELESS_GUESSES == 0:
            read_many(policy, known, leaf)


def test_a_bounded_number_of_leaves_is_remembered() -> None:
    policy, known = PrefetchPolicy(), Known()
    for number in range(2 * prefetch_policy._MAX_LEAVES):
        policy.note_read(reference.cid(cids.DAG_CBOR, b"%d" % number), known)
    assert len(policy._leaves) == prefetch_policy._MAX_LEAVES
