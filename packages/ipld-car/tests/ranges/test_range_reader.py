"""An archive that is read by ranges gives what CarFile gives, with few reads."""

from __future__ import annotations

import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ipld_car import (
    BlockAbsentError,
    CarFile,
    CarRangeReader,
    CarWarning,
    HashMismatchError,
    RangeSource,
    TruncatedError,
    cids,
    hashes,
)

from ..support.car_samples import SMALL_V1, SMALL_V2, car_v1, car_v2, cid, section
from ..support.range_sources import MemorySource, block_of, car_file, indexed, many_small_blocks, raw_cid

MANY = 20_000


@pytest.fixture(scope="module")
def many() -> tuple[bytes, list[bytes]]:
    """An archive whose index is too large to be read whole."""
    return many_small_blocks(MANY, 300)


def test_the_protocol_is_public() -> None:
    source: RangeSource = MemorySource(SMALL_V1)
    assert CarRangeReader(source).version == 1


@pytest.mark.parametrize("codec", [0x0400, 0x0401], ids=hex)
def test_it_reads_what_car_file_reads(codec: int, tmp_path: Path) -> None:
    """CIDs of each form, an identity CID, and one block under another codec."""
    pairs = [
        (raw_cid(b"hello"), b"hello"),
        (cid(b"", "dag-pb", version=0), b""),
        (cid(b"\xa0", "dag-cbor", "blake2b-256"), b"\xa0"),
        (cid(b"x" * 70_000, "dag-pb"), b"x" * 70_000),
        (cid(b"y" * 300_000), b"y" * 300_000),
        *((raw_cid(block_of(number)), block_of(number)) for number in range(50)),
    ]
    data = indexed(pairs, codec=codec, roots=[pairs[0][0]])
    (tmp_path / "x.car").write_bytes(data)
    reader = CarRangeReader(MemorySource(data))
    with CarFile.open(tmp_path / "x.car") as file:
        assert (reader.roots, reader.version, len(reader)) == (file.roots, 2, len(file))
        assert list(reader) == list(file)
        for name, block in pairs:
            assert name in reader
            assert reader.get(name) == file.get(name) == block
            assert reader.location(name) == file.location(name)
        assert [data for _, data in reader.get_many([name for name, _ in pairs])] == [block for _, block in pairs]
    inline = cid(b"me", "raw", "identity")
    assert inline in reader
    assert reader.get(inline) == b"me"
    assert reader.get(cids.make(cids.DAG_CBOR, hashes.sha2_256(b"hello"))) == b"hello"
    with pytest.raises(BlockAbsentError, match=cids.to_text(raw_cid(b"absent"))):
        reader.get(raw_cid(b"absent"))
    with pytest.raises(KeyError):
        reader.location(raw_cid(b"absent"))
    assert reader.scan_reason is None


def test_a_cold_block_is_two_reads_and_its_neighbours_none(many: tuple[bytes, list[bytes]]) -> None:
    data, names = many
    source = MemorySource(data)
    reader = CarRangeReader(source)
    assert source.reads == [(0, 128 << 10)]
    assert reader.get(names[3])
    assert len(source.reads) == 1, "it came with the headers"
    reader.get(names[-3])
    assert len(source.reads) == 2, "it came with the heads of the index"
    reader.get(names[5000])
    for at in (7000, 9000, 12_000, 14_000):
        source.forget()
        reader.get(names[at])
        assert len(source.reads) <= 2
        for near in range(at, at + 300):
            reader.get(names[near])
        assert len(source.reads) <= 2


def test_what_is_absent_is_one_read_at_most(many: tuple[bytes, list[bytes]]) -> None:
    source = MemorySource(many[0])
    reader = CarRangeReader(source)
    assert raw_cid(b"") not in reader
    for number in range(50):
        source.forget()
        assert raw_cid(block_of(number)) not in reader
        assert len(source.reads) <= 1


@pytest.mark.slow
def test_a_million_blocks() -> None:
    """At most 4 reads one after the other for a block of which nothing is known, and little of the index."""
    data, names = many_small_blocks(1_000_000)
    source = MemorySource(data)
    reader = CarRangeReader(source)
    reader.get(names[600_000])
    assert len(source.reads) == 4
    assert source.bytes_read < 700 << 10
    costs = []
    for name in names[1000 : len(names) - 2000 : 9973]:
        source.forget()
        reader.get(name)
        costs.append(len(source.reads))
    assert max(costs) <= 2


def test_blocks_in_their_order_take_few_reads(many: tuple[bytes, list[bytes]]) -> None:
    data, names = many
    source = MemorySource(data)
    reader = CarRangeReader(source)
    for name in names[2000:18_000]:
        reader.get(name)
    assert len(source.reads) < 16, "the windows grow"
    assert source.bytes_read < 2 * len(data)


def test_many_blocks_are_planned(many: tuple[bytes, list[bytes]]) -> None:
    """What follows each other is read so; what is scattered is looked up, and read once."""
    data, names = many
    source = MemorySource(data)
    reader = CarRangeReader(source)
    wanted = names[4000:6000]
    assert [raw_cid(found) for _, found in reader.get_many(wanted)] == wanted
    assert len(source.reads) < 12
    source.forget()
    scattered = names[7000::61]
    with ThreadPoolExecutor(8) as pool:
        assert [raw_cid(found) for _, found in reader.get_many(scattered, map=pool.map)] == scattered
    assert len(source.reads) < 2 * len(scattered)
    assert source.bytes_read < len(data)


def test_many_blocks_with_one_that_is_absent(many: tuple[bytes, list[bytes]]) -> None:
    data, names = many
    found = CarRangeReader(MemorySource(data)).get_many([names[5000], raw_cid(b"absent"), names[9000]])
    assert next(found)[0] == names[5000]
    with pytest.raises(BlockAbsentError):
        list(found)


def test_a_small_cache_is_enough(many: tuple[bytes, list[bytes]]) -> None:
    data, names = many
    reader = CarRangeReader(MemorySource(data), cache_bytes=1)
    for at in (19_000, 4000, 4001, 12_000, 4000):
        assert raw_cid(reader.get(names[at])) == names[at]
    assert [raw_cid(found) for _, found in reader.get_many(names[::1999])] == names[::1999]


def test_a_large_block(tmp_path: Path) -> None:
    """One that is longer than others costs a read more."""
    large = bytes(3 << 20)
    data = car_file(tmp_path / "x.car", [*(block_of(number, 4096) for number in range(500)), large])
    source = MemorySource(data)
    reader = CarRangeReader(source)
    assert reader.get(raw_cid(large)) == large
    assert len(source.reads) <= 4


@pytest.mark.parametrize(
    ("data", "warning"),
    [(SMALL_V1, None), (SMALL_V2, "index cannot be read")],
    ids=["CARv1", "an index of other codec"],
)
def test_without_an_index_it_is_read_once(data: bytes, warning: str | None) -> None:
    source = MemorySource(data)
    reader = CarRangeReader(source)
    for name, block in ((cid(b"hello"), b"hello"), (cid(b"again"), b"again")):
        assert reader.get(name) == block
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(BlockAbsentError):
            reader.get(raw_cid(b"absent"))
    assert [warning in str(each.message) for each in caught if warning] == [True] * bool(warning)
    assert reader.scan_reason
    assert len(source.reads) == 1


def test_a_large_archive_without_an_index_is_scanned_in_pieces(many: tuple[bytes, list[bytes]]) -> None:
    whole, names = many
    start, size = int.from_bytes(whole[27:35], "little"), int.from_bytes(whole[35:43], "little")
    data = whole[start : start + size]
    for cache in (1 << 20, 64 << 20):
        source = MemorySource(data)
        reader = CarRangeReader(source, cache_bytes=cache)
        assert raw_cid(reader.get(names[-1])) == names[-1]
        assert len(source.reads) <= 5
        assert source.bytes_read < 1.3 * len(data)
        assert len(reader) == MANY


def test_a_block_that_is_damaged(tmp_path: Path) -> None:
    data = bytearray(car_file(tmp_path / "x.car", [b"first", b"second"]))
    data[data.index(b"first")] ^= 1
    reader = CarRangeReader(MemorySource(bytes(data)))
    with pytest.raises(HashMismatchError, match="offset"):
        reader.get(raw_cid(b"first"))
    assert reader.get(raw_cid(b"first"), verify=False) == b"girst"
    assert reader.get(raw_cid(b"second")) == b"second"


def test_of_two_copies_the_whole_one_is_taken() -> None:
    name = raw_cid(b"block")
    filler = [(raw_cid(block_of(number, 5000)), block_of(number, 5000)) for number in range(60)]
    for pairs in ([(name, b"wrong"), *filler, (name, b"block")], [(name, b"block"), *filler, (name, b"wrong")]):
        assert CarRangeReader(MemorySource(indexed(pairs))).get(name) == b"block"


def test_a_torn_end(tmp_path: Path) -> None:
    """A CARv1 may end in the middle of a section; a CARv2 says how long it is."""
    reader = CarRangeReader(MemorySource(car_v1(section(b"whole"), section(b"torn")[:-1])))
    with pytest.warns(CarWarning, match="ends with something else"), pytest.raises(BlockAbsentError):
        reader.get(raw_cid(b"torn"))
    assert reader.get(raw_cid(b"whole")) == b"whole"
    data = car_file(tmp_path / "x.car", [b"first", b"second"])
    with pytest.raises(TruncatedError, match="end of the archive"):
        CarRangeReader(MemorySource(data[:100]))


def test_padding_with_zeros() -> None:
    data = car_v1(section(b"whole")) + bytes(1000)
    reader = CarRangeReader(MemorySource(data), zero_length_section_as_eof=True)
    with pytest.raises(BlockAbsentError):
        reader.get(raw_cid(b"absent"))
    assert len(list(reader)) == 1


def test_an_empty_source() -> None:
    with pytest.raises(TruncatedError):
        CarRangeReader(MemorySource(b""))


def test_a_source_that_gives_less_than_it_should(many: tuple[bytes, list[bytes]]) -> None:
    data, names = many

    class Short(MemorySource):
        def read(self, offset: int, size: int, /) -> bytes:
            return super().read(offset, size)[: size if offset == 0 else size - 1]

    reader = CarRangeReader(Short(data))
    with pytest.raises(TruncatedError, match="from the source"):
        reader.get(names[9000])


def test_errors_of_the_source_pass(many: tuple[bytes, list[bytes]]) -> None:
    """And the next try reads again."""
    data, names = many

    class Broken(MemorySource):
        is_down = False

        def read(self, offset: int, size: int, /) -> bytes:
            if self.is_down:
                raise ConnectionResetError("gone")
            return super().read(offset, size)

    source = Broken(data)
    reader = CarRangeReader(source)
    source.is_down = True
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            reader.get(names[9000])
    source.is_down = False
    assert raw_cid(reader.get(names[9000])) == names[9000]


def test_threads(many: tuple[bytes, list[bytes]]) -> None:
    data, names = many
    reader = CarRangeReader(MemorySource(data), cache_bytes=1 << 20)
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for name in names[number::523]:
            assert raw_cid(reader.get(name)) == name

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_data_far_behind_the_header() -> None:
    """What lies between them is not read."""
    data = car_v2(SMALL_V1, padding=bytes(10 << 20))
    source = MemorySource(data)
    reader = CarRangeReader(source)
    assert reader.get(cid(b"again")) == b"again"
    assert source.bytes_read < 1 << 20


def test_many_blocks_in_another_order_than_that_of_the_archive(many: tuple[bytes, list[bytes]]) -> None:
    """Where a sample of them is dense, what is between is read; few are looked up one by one."""
    data, names = many
    source = MemorySource(data)
    reader = CarRangeReader(source)
    wanted = names[8000:9000]
    random.Random(3).shuffle(wanted)
    assert [raw_cid(found) for _, found in reader.get_many(wanted)] == wanted
    assert len(source.reads) < 150


def test_threads_that_want_neighbours_read_them_once(many: tuple[bytes, list[bytes]]) -> None:
    """The second thread waits for the read of the first, and needs none of its own."""
    data, names = many
    entered, leave = threading.Event(), threading.Event()

    class Held(MemorySource):
        held = -1

        def read(self, offset: int, size: int, /) -> bytes:
            if offset == self.held:
                entered.set()
                assert leave.wait(60)
            return super().read(offset, size)

    source = Held(data)
    reader = CarRangeReader(source)
    reader.get(names[5000])
    places = [reader._blocks.offsets(reader._blocks.index(), name[2:])[0] for name in names[9000:9010]]
    source.held = places[0]
    source.forget()
    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(reader.get, names[9000])
        assert entered.wait(60)
        others = [pool.submit(reader.get, name) for name in names[9001:9010]]
        leave.set()
        found = [first.result(), *(each.result() for each in others)]
    assert [raw_cid(each) for each in found] == names[9000:9010]
    assert [offset for offset, _ in source.reads if offset in places] == [places[0]]
