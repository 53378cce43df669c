"""Archives and indexes that lie: a bounded number of reads, little memory, an error or the right bytes."""

from __future__ import annotations

import random
import struct
import warnings
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ipld_car import (
    CarError,
    CarFile,
    CarRangeReader,
    CarWarning,
    IndexWriter,
    V2Header,
    cids,
    encode_v2_header,
    hashes,
    verify_block,
)

from ..support.car_samples import header, section
from ..support.range_sources import MemorySource, block_of, indexed, raw_cid

DIGESTS = 8000


def skewed(kind: str, count: int) -> list[bytes]:
    """Digests that are not spread evenly, sorted."""
    chance = random.Random(7)
    if kind == "one beginning":
        return sorted(b"same beginning" + chance.randbytes(18) for _ in range(count))
    if kind == "powers":
        return sorted((1 << chance.randrange(256)).to_bytes(32) for _ in range(count))
    if kind == "two heaps":
        return sorted(bytes((chance.choice((0, 255)),) * 8) + chance.randbytes(24) for _ in range(count))
    return sorted(chance.randbytes(2) + bytes(30) for _ in range(count))


def with_digests(digests: list[bytes], payload: bytes, offset: int) -> bytes:
    """A CARv2 whose index has all these digests at one offset, sorted or not."""
    entries = b"".join(digest + offset.to_bytes(8, "little") for digest in digests)
    width = len(digests[0]) + 8
    index = bytes.fromhex("8108") + struct.pack("<iQiIq", 1, cids.SHA2_256, 1, width, len(entries)) + entries
    return encode_v2_header(V2Header(True, 51, len(payload), 51 + len(payload))) + payload + index


@pytest.mark.parametrize("kind", ["one beginning", "powers", "two heaps", "two bytes"])
def test_digests_that_are_not_spread_evenly(kind: str) -> None:
    """Interpolation fails, and halving finds them."""
    block = b"block"
    payload = header() + section(block)
    digests = sorted([*skewed(kind, DIGESTS), hashes.sha2_256(block)])
    source = MemorySource(with_digests(digests, payload, len(header())))
    reader = CarRangeReader(source)
    assert raw_cid(block) in reader
    for digest in digests[::97]:
        source.forget()
        assert reader._blocks.index().find(bytes((cids.SHA2_256, 32)) + digest)
        assert len(source.reads) <= 16
    for digest in (bytes(32), b"\xff" * 32, b"same beginning".ljust(32, b"\0")):
        assert not reader._blocks.index().find(bytes((cids.SHA2_256, 32)) + digest) or digest in digests


def test_an_index_of_one_digest() -> None:
    """A digest that repeats without end is looked at now and then."""
    payload = header() + section(b"block")
    digest = hashes.sha2_256(b"block")
    source = MemorySource(with_digests([digest] * 100_000, payload, len(header())))
    reader = CarRangeReader(source)
    found = reader._blocks.index().find(bytes((cids.SHA2_256, 32)) + digest)
    assert 0 < len(found) <= 64
    assert source.bytes_read < 1 << 20
    assert reader.get(raw_cid(b"block")) == b"block"


def test_an_index_out_of_order() -> None:
    """It is an index that is wrong: the sections are scanned."""
    payload = header() + section(b"block") + b"".join(section(block_of(number, 4000)) for number in range(200))
    digests = skewed("random", DIGESTS)
    random.Random(1).shuffle(digests)
    reader = CarRangeReader(MemorySource(with_digests(digests, payload, 18)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarWarning)
        for number in range(200):
            try:
                assert reader.get(raw_cid(block_of(number, 4000))) == block_of(number, 4000)
            except KeyError:  # as the index may say
                continue


def test_an_index_that_points_elsewhere() -> None:
    """The archive is scanned once, and then the blocks are found."""
    pairs = [(raw_cid(block_of(number, 4000)), block_of(number, 4000)) for number in range(200)]
    writer, stream, payload = IndexWriter(), BytesIO(), bytearray(header())
    for name, data in pairs:
        writer.add(name, len(payload) + 1)
        payload += section(data, name)
    writer.write(stream)
    head = encode_v2_header(V2Header(True, 51, len(payload), 51 + len(payload)))
    reader = CarRangeReader(MemorySource(head + payload + stream.getvalue()))
    with pytest.warns(CarWarning, match="index is wrong"):
        assert reader.get(pairs[100][0]) == pairs[100][1]
    assert reader.get(pairs[60][0]) == pairs[60][1]
    assert reader.scan_reason is not None


def test_many_buckets_are_not_read_one_by_one() -> None:
    """Each head would cost a read; such an archive is scanned."""
    payload = header() + section(b"block")
    wide = [struct.pack("<Qi", code, 1) + struct.pack("<Iq", 40, 40_000) + bytes(40_000) for code in range(100)]
    index = bytes.fromhex("8108") + struct.pack("<i", len(wide)) + b"".join(wide)
    data = encode_v2_header(V2Header(True, 51, len(payload), 51 + len(payload))) + payload + index
    source = MemorySource(data)
    reader = CarRangeReader(source)
    with pytest.warns(CarWarning, match="more buckets"), pytest.raises(KeyError):
        reader.get(raw_cid(b"absent"))
    assert len(source.reads) < 100


@pytest.mark.parametrize("size", [1 << 40, 9 << 20, (1 << 62) + 1])
def test_a_section_that_says_it_is_huge(size: int) -> None:
    from ipld_car import varint

    name = raw_cid(b"block")
    writer, stream = IndexWriter(), BytesIO()
    payload = header()
    writer.add(name, len(payload))
    payload += varint.encode(size) + name + bytes(1000)
    writer.write(stream)
    head = encode_v2_header(V2Header(True, 51, len(payload), 51 + len(payload)))
    reader = CarRangeReader(MemorySource(head + payload + stream.getvalue()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarWarning)
        with pytest.raises(CarError):
            reader.get(name)


BLOCKS = [block_of(number, 10 + 40 * number) for number in range(40)]
GOOD = indexed([(raw_cid(data), data) for data in BLOCKS], roots=[raw_cid(BLOCKS[0])])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutations(data: st.DataObject) -> None:
    """Whatever was changed, a block is right or an error, and the reads are bounded."""
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        what = data.draw(st.sampled_from(["byte", "cut", "insert", "number"]))
        if what == "byte":
            damaged[at] = data.draw(st.integers(0, 255))
        elif what == "cut":
            del damaged[at : at + data.draw(st.integers(1, 200))]
        elif what == "insert":
            damaged[at:at] = data.draw(st.binary(min_size=1, max_size=30))
        else:
            damaged[at : at + 8] = struct.pack("<Q", data.draw(st.integers(0, (1 << 64) - 1)))
        if not damaged:
            return
    source = MemorySource(bytes(damaged))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarWarning)
        try:
            reader = CarRangeReader(source)
            names = [raw_cid(block) for block in BLOCKS]
            for name in (*names, raw_cid(b"absent")):
                try:
                    verify_block(name, reader.get(name))
                except CarError:
                    continue
            for wanted, found in reader.get_many(names):
                verify_block(wanted, found)
            list(reader)
        except CarError:
            pass
    assert len(source.reads) < 300
    assert source.bytes_read <= 100 * len(damaged) + 1000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 40_000), min_size=1, max_size=40),
    codec=st.sampled_from([0x0400, 0x0401]),
    cache=st.sampled_from([1, 100_000, 64 << 20]),
    seed=st.integers(0, 1 << 32),
)
def test_car_file_is_the_oracle(
    sizes: list[int], codec: int, cache: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    order = random.Random(seed)
    blocks = [order.randbytes(size) for size in sizes]
    pairs = [(raw_cid(block), block) for block in blocks]
    data = indexed(pairs, codec=codec)
    path: Path = tmp_path_factory.mktemp("oracle") / "x.car"
    path.write_bytes(data)
    names = [name for name, _ in pairs] + [raw_cid(b"absent")]
    order.shuffle(names)
    reader = CarRangeReader(MemorySource(data), cache_bytes=cache)
    with CarFile.open(path) as file:
        for name in names:
            assert (name in reader) == (name in file)
            if name in file:
                assert reader.get(name) == file.get(name)
        there = [name for name in names if name in file]
        assert list(reader.get_many(there)) == [(name, file.get(name)) for name in there]
