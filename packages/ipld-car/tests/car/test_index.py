"""Indexes of CARv2: those of go-car are read, ours have the same bytes, and their contents are untrusted."""

import hashlib
import io
import mmap
import random
import struct
import tracemalloc
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import (
    INDEX_SORTED,
    MULTIHASH_INDEX_SORTED,
    CarError,
    CarIndex,
    CarReader,
    IndexEntry,
    IndexWriter,
    LimitError,
    MalformedError,
    TruncatedError,
    V2Header,
    cids,
    encode_v2_header,
)
from ipld_car._car import index as _index

from ..support.car_samples import SMALL_V1, cid, varint

IDENTITY = 0x00
BLAKE2B_256 = 0xB220


def written(writer: IndexWriter) -> bytes:
    stream = io.BytesIO()
    assert writer.write(stream) == len(stream.getvalue())
    return stream.getvalue()


def test_the_length_of_an_index_that_is_written_in_pieces() -> None:
    writer = IndexWriter()
    for number in range(100):
        writer.add(cid(b"%d" % number), number)
    whole = written(writer)
    with patch("ipld_car._car.index_writer._PIECE", 100):
        assert written(writer) == whole


def index_of(
    pairs: list[tuple[bytes, int]], codec: int = MULTIHASH_INDEX_SORTED, base: CarIndex | None = None
) -> bytes:
    writer = IndexWriter(codec, base)
    for name, offset in pairs:
        writer.add(name, offset)
    return written(writer)


def sections(archive: bytes) -> list[tuple[bytes, int]]:
    """Return the CIDs of an archive, and their offsets in its CARv1."""
    reader = CarReader(archive)
    start = reader.v2_header.data_offset if reader.v2_header else 0
    return [(block.cid_bytes, block.location.offset - start) for block in reader]


# -- indexes of go-car --


def test_an_index_by_multihash(fixtures: Path) -> None:
    """The index of `car index create sample-v1.car`: all entries are found, and our index has the same bytes."""
    data = (fixtures / "go-car-v2/sample-multihash-index-sorted.carindex").read_bytes()
    index = CarIndex(data)
    blocks = sections((fixtures / "go-car-v2/sample-v1.car").read_bytes())
    hashed = [pair for pair in blocks if cids.prefix_of(pair[0]).hash_code != IDENTITY]
    assert (index.codec, len(index), index.end) == (MULTIHASH_INDEX_SORTED, 1043, len(data))
    for name, offset in hashed:
        assert index.find(cids.multihash_of(name)) == [offset]
    assert {(entry.hash_code, entry.digest, entry.offset) for entry in index} == {
        (BLAKE2B_256, name[6:], offset) for name, offset in hashed
    }
    assert [entry.digest for entry in index] == sorted(entry.digest for entry in index)
    assert index_of(blocks) == data


def test_an_index_without_hash_functions(fixtures: Path) -> None:
    """Codec 0x0400, into which go-car once wrote identity CIDs too: five lengths of digests."""
    data = (fixtures / "go-car-v2/sample-index.carindex").read_bytes()
    index = CarIndex(data)
    blocks = sections((fixtures / "go-car-v2/sample-v1.car").read_bytes())
    assert (index.codec, len(index), index.end) == (INDEX_SORTED, 1049, len(data))
    assert sorted(bucket.width for bucket in index.buckets.values()) == [18, 19, 20, 21, 40]
    for name, offset in blocks:
        assert offset in index.find(cids.multihash_of(name))
    writer = IndexWriter(INDEX_SORTED)
    for name, offset in blocks:
        prefix = cids.prefix_of(name)
        writer.add_digest(prefix.hash_code, name[prefix.size :], offset)
    assert written(writer) == data


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("go-car-v2/sample-wrapped-v2.car", 1043),
        ("go-car-v2/sample-rw-bs-v2.car", 3),
        ("go-car-v2/sample-unixfs-v2.car", 3),
        ("ipld-spec/selector-fixtures-adl.car", 5),
    ],
)
def test_an_index_in_an_archive(fixtures: Path, name: str, count: int) -> None:
    """The index is read from a mapped file at the offset in the header, and ours has the same bytes."""
    with (fixtures / name).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        archive = bytes(mapped)
        header = CarReader(archive).v2_header
        assert header is not None
        index = CarIndex(mapped, header.index_offset)
        assert (len(index), index.end) == (count, len(archive))
        pairs = [pair for pair in sections(archive) if cids.prefix_of(pair[0]).hash_code != IDENTITY]
        for cid_bytes, offset in pairs:
            assert index.find(cids.multihash_of(cid_bytes)) == [offset]
        assert index_of(pairs) == archive[header.index_offset :]
        assert encode_v2_header(header) == archive[:51]


def test_an_index_without_a_codec_is_refused(fixtures: Path) -> None:
    """The index of carv2-basic.car has a form that is older than the codecs."""
    archive = (fixtures / "ipld-spec/carv2-basic.car").read_bytes()
    with pytest.raises(MalformedError, match="found 0x1") as caught:
        CarIndex(archive, 499)
    assert caught.value.offset == 499


# -- our indexes --

DIGESTS = st.one_of(st.binary(min_size=20, max_size=20), st.binary(min_size=0, max_size=3))
CIDS = st.builds(
    lambda code, digest: cids.make(cids.RAW, digest, code), st.sampled_from([0x12, 0x13, BLAKE2B_256]), DIGESTS
)
PAIRS = st.lists(st.tuples(CIDS, st.integers(0, 2**63 - 1)), max_size=60)
CODECS = st.sampled_from([INDEX_SORTED, MULTIHASH_INDEX_SORTED])


def found_in(pairs: list[tuple[bytes, int]], name: bytes, codec: int) -> list[int]:
    prefix = cids.prefix_of(name)
    return sorted(
        offset
        for other, offset in pairs
        if other[cids.prefix_of(other).size :] == name[prefix.size :]
        and (codec == INDEX_SORTED or cids.prefix_of(other).hash_code == prefix.hash_code)
    )


@given(pairs=PAIRS, more=PAIRS, codec=CODECS, behind=st.binary(max_size=5), seed=st.integers())
def test_all_that_is_added_is_found(
    pairs: list[tuple[bytes, int]], more: list[tuple[bytes, int]], codec: int, behind: bytes, seed: int
) -> None:
    """In any order, with and without a base; and nothing else is found."""
    data = index_of(pairs, codec)
    for every, made in ((pairs, data), (pairs + more, index_of(more, codec, CarIndex(data)))):
        index = CarIndex(b"before" + made + behind, 6)
        assert (index.codec, len(index), index.end) == (codec, len(every), 6 + len(made))
        for name, _ in every + more:
            assert sorted(index.find(cids.multihash_of(name))) == found_in(every, name, codec)
        assert sorted(entry.offset for entry in index) == sorted(offset for _, offset in every)
        shuffled = random.Random(seed).sample(every, len(every))
        assert index_of(shuffled, codec) == made
        assert CarIndex(memoryview(made)).find(b"\x12\x14" + bytes(20)) == index.find(b"\x12\x14" + bytes(20))


SKEWED = st.one_of(
    st.binary(min_size=20, max_size=20),
    st.integers(0, 40).map(lambda number: number.to_bytes(20)),  # crowded at one end
    st.integers(0, 3).map(lambda number: bytes([number]) * 20),  # and often the same
).map(lambda digest: cids.make(cids.RAW, digest))


@given(names=st.lists(SKEWED, max_size=80), others=st.lists(SKEWED, max_size=20), window=st.integers(2, 9))
def test_all_is_found_where_digests_are_not_spread_evenly(names: list[bytes], others: list[bytes], window: int) -> None:
    """The search expects digests to be spread evenly; an attacker can choose others."""
    pairs = list(zip(names, range(len(names)), strict=True))
    index = CarIndex(index_of(pairs))
    with patch.object(_index, "_PROBE", window):
        for name in names + others:
            assert sorted(index.find(cids.multihash_of(name))) == found_in(pairs, name, MULTIHASH_INDEX_SORTED)


def test_the_layout_of_an_index() -> None:
    """Codes in order, then widths, then digests; numbers are little endian."""
    short, usual = cids.make(cids.RAW, b"\x02" * 20), cids.make(cids.DAG_CBOR, b"\x01" * 32)
    other = cids.make(cids.RAW, b"\x00" * 20, 0x13)
    assert index_of([(other, 5), (usual, 7), (short, 300), (usual, 6)]) == b"".join(
        [
            b"\x81\x08",
            *[struct.pack("<i", 2), struct.pack("<Qi", 0x12, 2)],
            *[struct.pack("<Iq", 28, 28), b"\x02" * 20, struct.pack("<Q", 300)],
            *[struct.pack("<Iq", 40, 80), b"\x01" * 32, struct.pack("<Q", 6), b"\x01" * 32, struct.pack("<Q", 7)],
            *[struct.pack("<Qi", 0x13, 1), struct.pack("<Iq", 28, 28), bytes(20), struct.pack("<Q", 5)],
        ]
    )


def test_an_empty_index() -> None:
    for codec, expected in ((MULTIHASH_INDEX_SORTED, "810800000000"), (INDEX_SORTED, "800800000000")):
        data = index_of([], codec)
        assert data.hex() == expected
        assert (len(CarIndex(data)), list(CarIndex(data)), CarIndex(data).end) == (0, [], 6)
        assert index_of([], codec, CarIndex(data)) == data


def test_identity_cids_are_left_out() -> None:
    assert index_of([(cid(b"me", "raw", "identity"), 5)]) == index_of([])
    assert [entry.offset for entry in CarIndex(index_of(sections(SMALL_V1)))] != []
    assert len(CarIndex(index_of(sections(SMALL_V1)))) == 5


def test_cids_of_one_digest_have_one_key() -> None:
    """Of a CID an index stores the digest only."""
    digest = hashlib.sha256(b"").digest()
    names = [b"\x12\x20" + digest, cids.make(cids.DAG_PB, digest), cids.make(cids.RAW, digest)]
    index = CarIndex(index_of([(name, number) for number, name in enumerate(names)]))
    for name in names:
        assert index.find(cids.multihash_of(name)) == [0, 1, 2]
    assert list(index) == [IndexEntry(0x12, digest, number) for number in range(3)]


def test_what_an_index_writer_refuses() -> None:
    with pytest.raises(ValueError, match="expected an index of codec 0x400 or 0x401, found 0x402"):
        IndexWriter(0x402)
    with pytest.raises(ValueError, match="expected a base of codec 0x401, found 0x400"):
        IndexWriter(base=CarIndex(index_of([], INDEX_SORTED)))
    with pytest.raises(CarError, match="expected"):
        IndexWriter().add(b"no cid", 5)


def test_a_large_index_is_searched_in_place_and_written_in_little_memory(tmp_path: Path) -> None:
    count = 100_000
    names = [cids.make(cids.RAW, hashlib.sha256(b"%d" % number).digest()) for number in range(count)]
    tracemalloc.start()
    writer = IndexWriter()
    for number, name in enumerate(names):
        writer.add(name, number)
    with (tmp_path / "index").open("wb") as stream:
        writer.write(stream)
    _, peak = tracemalloc.get_traced_memory()
    assert peak < 48 * count + (3 << 20)  # 40 bytes for an entry is what the index takes
    del writer
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with (tmp_path / "index").open("rb") as file:
        index = CarIndex(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        for number in range(0, count, 997):
            assert index.find(names[number][2:]) == [number]
        assert index.find(b"\x12\x20" + bytes(32)) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 100_000


# -- hostile indexes --


def bucket(width: int = 28, size: int | None = None, entries: bytes = bytes(28)) -> bytes:
    return struct.pack("<Iq", width, len(entries) if size is None else size) + entries


ONE = b"\x80\x08" + struct.pack("<i", 1)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", TruncatedError, "expected a varint"),
        (b"\x82\x08", MalformedError, "found 0x402"),
        (b"\x80\x08\x00", TruncatedError, "head of a bucket"),
        (b"\x80\x08" + struct.pack("<i", -1), MalformedError, "found -1"),
        (b"\x80\x08" + struct.pack("<i", 2) + bucket(), TruncatedError, "head of a bucket"),
        (b"\x80\x08" + struct.pack("<i", 2**31 - 1) + bytes(1000), MalformedError, "found 2147483647"),
        (b"\x81\x08" + struct.pack("<i", 2**31 - 1) + bytes(1000), MalformedError, "found 2147483647"),
        (b"\x81\x08" + struct.pack("<iQi", 1, 0x12, 2**31 - 1) + bytes(1000), MalformedError, "found 2147483647"),
        (ONE + bucket(width=7), MalformedError, "8 to 2056 bytes, found 7"),
        (ONE + bucket(width=2057), MalformedError, "found 2057"),
        (ONE + bucket(width=0), MalformedError, "found 0"),
        (ONE + bucket(size=27), MalformedError, "whole entries"),
        (ONE + bucket(size=-28), MalformedError, "whole entries"),
        (ONE + bucket(size=28 << 50), TruncatedError, "expected a bucket of"),
        (ONE + bucket(size=56), TruncatedError, "expected a bucket of 56 bytes, found 28"),
        (b"\x80\x08" + struct.pack("<i", 2) + bucket() * 2, MalformedError, "found a second"),
        (b"\x81\x08" + struct.pack("<i", 2) + (struct.pack("<Qi", 5, 1) + bucket()) * 2, MalformedError, "a second"),
        (
            b"\x81\x08"
            + struct.pack("<i", 5000)
            + b"".join(struct.pack("<Qi", code, 1) + bucket(entries=b"") for code in range(5000)),
            LimitError,
            "at most 4096 buckets",
        ),
    ],
)
def test_impossible_indexes_are_refused(data: bytes, error: type[CarError], message: str) -> None:
    """Nothing is allocated for their claims."""
    for start in (0, 9):
        with pytest.raises(error, match=message) as caught:
            CarIndex(bytes(start) + data, start)
        assert caught.value.offset is not None
        assert start <= caught.value.offset <= start + len(data)


@given(data=st.data())
def test_damaged_indexes_are_a_car_error_or_give_numbers(data: st.DataObject) -> None:
    good = index_of(sections(SMALL_V1), data.draw(CODECS))
    cut = data.draw(st.integers(0, len(good)))
    bad = bytearray(good[:cut])
    for _ in range(data.draw(st.integers(0, 3)) if bad else 0):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    try:
        index = CarIndex(bytes(bad))
    except CarError:
        return
    assert index.end <= len(bad)
    assert len(list(index)) == len(index) <= len(bad) // 8
    for name, _ in sections(SMALL_V1):
        assert all(0 <= offset < 1 << 64 for offset in index.find(cids.multihash_of(name)))
    index_of(sections(SMALL_V1), index.codec, index)


def test_a_base_that_is_not_sorted_loses_no_entry() -> None:
    """The entries are wrong, and are copied one by one."""
    entries = [bytes([first]) * 32 + struct.pack("<Q", first) for first in (200, 3, 90, 90, 1, 255, 0)]
    lie = b"\x81\x08" + struct.pack("<iQi", 1, 0x12, 1) + bucket(40, entries=b"".join(entries))
    made = CarIndex(index_of([(cids.make(cids.RAW, bytes([90]) * 32), 7)], base=CarIndex(lie)))
    assert sorted(entry.offset for entry in made) == sorted([200, 3, 90, 90, 1, 255, 0, 7])


@given(
    header=st.builds(
        V2Header, st.booleans(), st.integers(51, 2**40), st.integers(1, 2**40), st.just(0) | st.integers(2**41, 2**62)
    )
)
def test_round_trip_of_v2_headers(header: V2Header) -> None:
    made = encode_v2_header(header)
    assert len(made) == 51
    padded = encode_v2_header(header._replace(data_offset=51, data_size=len(SMALL_V1)))
    found = CarReader(padded + SMALL_V1).v2_header
    assert found == header._replace(data_offset=51, data_size=len(SMALL_V1))
    assert made[27:] == struct.pack("<QQQ", *header[1:])
    assert varint(made[0])[0] == 10
