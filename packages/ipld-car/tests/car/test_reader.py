"""CarReader and read_car on good archives, and their keywords."""

import io
import pickle
import weakref
from itertools import permutations

import pytest
from ipld_car import Block, BlockLocation, CarReader, LimitError, MalformedError, TruncatedError, read_car
from multiformats import CID

from ..support.car_samples import MIXED, SMALL_V1, SMALL_V2, Dribble, car_v1, cid, outcome, section

HELLO = cid(b"hello")


def test_a_block_has_cid_data_and_location() -> None:
    (block,) = CarReader(car_v1(section(b"hello"), roots=[HELLO]))
    assert isinstance(block.cid, CID)
    assert (bytes(block.cid), block.cid_bytes, block.data) == (HELLO, HELLO, b"hello")
    assert block.location == BlockLocation(offset=59, varint_size=1, cid_size=36, payload_size=5)
    assert (block.location.payload_offset, block.location.size) == (96, 42)
    name, data, location = block
    assert (name, data, location) == (block.cid, block.data, block.location)
    assert repr(block) == "<Block bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq: 5 bytes at 96>"


def test_blocks_are_equal_by_cid_data_and_location() -> None:
    first, second, third = CarReader(car_v1(section(b"a"), section(b"a"), section(b"b")))
    (again, *_) = CarReader(car_v1(section(b"a")))
    assert first == again
    assert hash(first) == hash(again)
    assert first != second  # another place
    assert second != third
    assert first != (first.cid, first.data, first.location)


def test_read_car_gives_roots_and_an_iterator() -> None:
    roots, blocks = read_car(SMALL_V1)
    assert [bytes(root) for root in roots] == [HELLO]
    triples = list(blocks)
    assert len(triples) == len(MIXED)
    assert all(isinstance(location, BlockLocation) for _, _, location in triples)
    assert [tuple(block) for block in CarReader(SMALL_V1)] == triples


def test_blocks_are_read_when_they_are_asked_for() -> None:
    stream = io.BytesIO(SMALL_V1[:-1])
    reader = CarReader(stream)
    assert reader.roots == [CID.decode(HELLO)]
    it = iter(reader)
    assert next(it).data == b"hello"
    with pytest.raises(TruncatedError):
        list(it)


def test_iteration_can_be_interrupted_and_continued() -> None:
    reader = CarReader(SMALL_V1)
    for block in reader:
        if not block.data:
            break
    assert [block.data for block in reader] == [b"\xa0", b"me", b"world" * 20, b"again"]
    assert list(reader) == []


def test_the_source_is_released_with_the_iterator() -> None:
    """Not only when the garbage collector runs: the source may be large, or an open file."""

    class Source(Dribble):
        pass

    for read in (lambda source: read_car(source)[1], lambda source: iter(CarReader(source))):
        source = Source(SMALL_V1, 1 << 20)
        gone = weakref.ref(source)
        blocks = read(source)
        del source
        assert gone()
        list(blocks)
        del blocks
        assert not gone()
    source = Source(SMALL_V1, 1 << 20)
    gone = weakref.ref(source)
    blocks = read_car(source)[1]
    next(blocks)
    del source, blocks
    assert not gone()


def test_an_archive_cannot_look_complete_after_an_error() -> None:
    """A second loop over a reader that has failed must raise again."""
    reader = CarReader(SMALL_V1[:-1])
    with pytest.raises(TruncatedError) as first:
        list(reader)
    with pytest.raises(TruncatedError) as second:
        list(reader)
    assert second.value is not first.value  # with its frames, that would hold the reader, and the reader would hold it
    assert vars(second.value) == vars(first.value)
    assert str(second.value) == str(first.value)


class Failing(Dribble):
    """A connection that times out once."""

    failed = False

    def read(self, size: int, /) -> bytes:
        if self._position > 150 and not self.failed:
            self.failed = True
            raise TimeoutError("no bytes for a while")
        return super().read(size)


def test_an_archive_cannot_look_complete_after_the_stream_failed() -> None:
    reader = CarReader(Failing(SMALL_V1))
    with pytest.raises(TimeoutError):
        list(reader)
    with pytest.raises(TimeoutError):
        list(reader)


# -- the form of the previous CID is remembered: that must never change a result -----------------


def test_cids_of_every_form_in_every_order() -> None:
    other = cid(b"pb", "dag-pb", "sha2-256")
    long_codec = cid(b"json", "dag-json")  # 0x0129: two bytes
    forms = [*MIXED[:4], section(b"pb", other), section(b"json", long_codec)]
    for order in permutations(forms):
        archive = car_v1(*order)
        found = outcome(archive)
        assert found.error is None
        assert [archive[at.offset : at.offset + at.size] for _, _, at in found.blocks] == list(order)


def test_a_section_too_short_for_the_form_of_the_previous_cid() -> None:
    """The next section has the same first bytes, and ends inside the digest."""
    archive = car_v1(section(b"hello"), b"\x04" + HELLO[:4])
    found = outcome(archive)
    assert len(found.blocks) == 1
    assert found.error
    assert found.error[0] is MalformedError
    assert "expected a section with a whole CID" in found.error[1]
    assert found.error[2:] == (60, 1)


# -- limits and other keywords -------------------------------------------------------------------


def test_max_section_bytes() -> None:
    archive = car_v1(section(bytes(100)), section(bytes(101)))
    assert outcome(archive, max_section_bytes=137).error is None
    found = outcome(archive, max_section_bytes=136)
    assert len(found.blocks) == 1
    assert found.error
    assert found.error[0] is LimitError
    assert found.error[1].startswith(
        "expected a section of at most 136 bytes, found a length of 137 (max_section_bytes"
    )
    assert found.error[2:] == (18 + 2 + 136, 1)
    assert outcome(archive, max_section_bytes=136, verify=False) == found
    assert outcome(car_v1(section(bytes(8 << 20)))).error[0] is LimitError  # type: ignore[index]  # it ended in an error
    assert outcome(car_v1(section(bytes((8 << 20) - 36)))).error is None


def test_max_header_bytes() -> None:
    archive = car_v1(roots=[HELLO] * 5)
    size = len(archive) - 2
    assert outcome(archive, max_header_bytes=size).error is None
    found = outcome(archive, max_header_bytes=size - 1)
    assert found.error == (LimitError, f"expected a header of at most {size - 1} bytes, found one of {size}", 0, None)


@pytest.mark.parametrize("padding", [bytes(1), bytes(1000), b"\x00 and more"])
def test_a_section_of_length_zero(padding: bytes) -> None:
    archive = SMALL_V1 + padding
    found = outcome(archive)
    assert found.error
    assert found.error[0] is MalformedError
    assert "zero_length_section_as_eof" in found.error[1]
    assert found.error[2:] == (len(SMALL_V1), len(MIXED))
    assert outcome(archive, zero_length_section_as_eof=True) == outcome(SMALL_V1)
    with pytest.raises(MalformedError, match="zero_length_section_as_eof"):
        list(read_car(archive)[1])
    assert len(list(read_car(archive, zero_length_section_as_eof=True)[1])) == len(MIXED)


def test_a_section_may_hold_only_a_cid() -> None:
    (block,) = CarReader(car_v1(section(b"")))
    assert block.data == b""
    assert block.location.payload_size == 0


def test_section_lengths_of_one_to_four_bytes() -> None:
    sections = [section(bytes(size)) for size in (0, 91, 92, 200, 16346, 16347, 16348, 2_097_115, 2_097_116)]
    archive = car_v1(*sections)
    for source in (archive, io.BytesIO(archive), Dribble(archive, 1000)):
        found = outcome(source)
        assert found.error is None
        assert [at.varint_size for _, _, at in found.blocks] == [1, 1, 2, 2, 2, 2, 3, 3, 4]
        assert [archive[at.offset : at.offset + at.size] for _, _, at in found.blocks] == sections


def test_blocks_pickle() -> None:
    for block in CarReader(SMALL_V2):
        again: Block = pickle.loads(pickle.dumps(block))  # noqa: S301  # made right here
        assert again == block
        assert again.location == block.location
