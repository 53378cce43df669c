"""CarReader and read_car on good archives: what they give, from every kind of source, and their keywords."""

import io
import os
import pickle
import socket
import tempfile
import threading
import tracemalloc
import weakref
from itertools import permutations
from pathlib import Path

import pytest
from car_samples import MIXED, NO_ROOTS, SMALL_V1, SMALL_V2, Dribble, car_v1, car_v2, cid, outcome, section
from ipld_car import (
    Block,
    BlockLocation,
    CarReader,
    HashMismatchError,
    LimitError,
    MalformedError,
    TruncatedError,
    UnverifiableError,
    read_car,
)
from multiformats import CID

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


def test_blocks_compare_by_all_they_are() -> None:
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


def test_header_and_blocks_are_read_when_asked_for() -> None:
    stream = io.BytesIO(SMALL_V1[:-1])
    reader = CarReader(stream)
    assert reader.roots == [CID.decode(HELLO)]
    it = iter(reader)
    assert next(it).data == b"hello"
    with pytest.raises(TruncatedError):
        list(it)


def test_a_loop_can_be_left_and_taken_up_again() -> None:
    reader = CarReader(SMALL_V1)
    for block in reader:
        if not block.data:
            break
    assert [block.data for block in reader] == [b"\xa0", b"me", b"world" * 20, b"again"]
    assert list(reader) == []


def test_an_archive_is_let_go_with_its_iterator() -> None:
    """Not only when the garbage is collected: it may be large, or an open file."""

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
    """A second loop over a reader that failed must not end as if nothing had been wrong."""
    reader = CarReader(SMALL_V1[:-1])
    with pytest.raises(TruncatedError) as first:
        list(reader)
    with pytest.raises(TruncatedError) as second:
        list(reader)
    assert second.value is first.value


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


# -- sources -----------------------------------------------------------------------------------


@pytest.mark.parametrize("archive", [SMALL_V1, SMALL_V2, NO_ROOTS, SMALL_V1[:-1]], ids=["v1", "v2", "empty", "cut"])
def test_every_source_gives_the_same(archive: bytes, tmp_path: Path) -> None:
    expected = outcome(archive)
    assert outcome(bytearray(archive)) == expected
    assert outcome(memoryview(archive)) == expected
    assert outcome(io.BytesIO(archive)) == expected
    assert outcome(io.BufferedReader(io.BytesIO(archive))) == expected
    for step in range(1, 8):
        assert outcome(Dribble(archive, step)) == expected
    path = tmp_path / "some.car"
    path.write_bytes(archive)
    for buffering in (-1, 0):
        with path.open("rb", buffering=buffering) as file:
            assert outcome(file) == expected
    with tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(archive)
        spooled.seek(0)
        assert outcome(spooled) == expected


@pytest.mark.parametrize("buffering", [-1, 0])
def test_reads_a_pipe_and_a_socket(buffering: int) -> None:
    archive = car_v1(*(section(os.urandom(30_000)) for _ in range(10)))
    expected = outcome(archive)
    assert expected.error is None
    read_end, write_end = os.pipe()
    ours, theirs = socket.socketpair()

    def send() -> None:
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(archive)
        theirs.sendall(archive)
        theirs.close()

    sender = threading.Thread(target=send)
    sender.start()
    with os.fdopen(read_end, "rb", buffering=buffering) as pipe:
        assert outcome(pipe) == expected
    with ours, ours.makefile("rb", buffering=buffering) as stream:
        assert outcome(stream) == expected
    sender.join()


def test_a_section_is_given_as_soon_as_it_is_there() -> None:
    """A program at the other end may wait for an answer before it writes on, however small its blocks."""
    tiny = section(b"", cid(b"", "raw", "identity"))
    assert len(tiny) == 5
    for buffering in (-1, 0):
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb", buffering=buffering) as pipe, os.fdopen(write_end, "wb", buffering=0) as other:
            other.write(NO_ROOTS)
            blocks = iter(CarReader(pipe))
            for piece in (tiny, tiny, section(b"hello"), section(bytes(200)), section(bytes(20_000))):
                other.write(piece)
                # Would wait for ever, if it wanted more than there is.
                watch = threading.Timer(20, other.close)
                watch.start()
                assert next(blocks).location.size == len(piece)
                watch.cancel()
                assert not other.closed, "the reader waited for more than the section"


@pytest.mark.parametrize("buffering", [-1, 0])
def test_no_bytes_yet_is_not_the_end(buffering: int) -> None:
    """A stream that does not block must not look like an archive that ends here."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    with os.fdopen(read_end, "rb", buffering=buffering) as pipe, os.fdopen(write_end, "wb", buffering=0) as other:
        other.write(car_v1(section(b"hello")))
        blocks = iter(CarReader(pipe))
        assert next(blocks).data == b"hello"
        with pytest.raises(BlockingIOError, match="expected a stream that blocks"):
            next(blocks)


def test_reads_bytes_in_memory_without_copying_them_whole() -> None:
    """Not for bytearray and memoryview, as of a mapped file; nor for the index behind a CARv2."""
    archive = car_v1(*(section(os.urandom(50_000)) for _ in range(100)))
    view = memoryview(archive)
    for source in (bytearray(archive), view, memoryview(bytearray(archive)), car_v2(archive, index=b"x")):
        tracemalloc.start()
        assert sum(1 for _ in CarReader(source)) == 100
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 20


def test_a_view_of_wider_items_is_read_by_its_bytes() -> None:
    archive = SMALL_V1 + bytes(-len(SMALL_V1) % 4)
    expected = outcome(archive, zero_length_section_as_eof=True)
    assert outcome(memoryview(archive).cast("I"), zero_length_section_as_eof=True) == expected


def test_a_bytearray_can_be_changed_while_it_is_read() -> None:
    source = bytearray(SMALL_V1)
    blocks = iter(CarReader(source))
    next(blocks)
    source += b"more"  # BufferError, if the reader held on to it


class Fault:
    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    def read(self, size: int, /) -> bytes:
        return self._answers.pop(0)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (Fault("text"), TypeError, "expected a binary stream, found one that gives str"),
        (Fault(7), TypeError, "found one that gives int"),
        (Fault(None), BlockingIOError, "no bytes ready"),
        (Fault(SMALL_V1[:5], None), BlockingIOError, "no bytes ready"),
        (Fault(bytes(1 << 20)), OSError, "expected at most 65536 bytes from the stream, found 1048576"),
        (io.StringIO("text"), TypeError, "str"),
        ("bafkqaaa", TypeError, "expected bytes or a stream with read"),
        (17, TypeError, "found int"),
        (None, TypeError, "found NoneType"),
        (Path("some.car"), TypeError, "found"),
    ],
)
def test_sources_that_are_none(source: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CarReader(source)  # type: ignore[arg-type]


def test_streams_may_give_what_is_like_bytes() -> None:
    half = len(SMALL_V1) // 2
    answers = (bytearray(SMALL_V1[:half]), memoryview(SMALL_V1)[half:], b"", b"", b"")
    assert outcome(Fault(*answers)) == outcome(SMALL_V1)


def test_errors_of_the_stream_are_its_own() -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise ConnectionResetError("peer is gone")

    with pytest.raises(ConnectionResetError, match="peer is gone"):
        CarReader(Broken())


def test_never_asks_a_stream_beyond_its_end_of_payload() -> None:
    """What follows the payload of a CARv2 belongs to somebody else, and is not waited for."""
    asked: list[int] = []

    class Counting(Dribble):
        def read(self, size: int, /) -> bytes:
            asked.append(size)
            return super().read(size)

    stream = Counting(car_v2(SMALL_V1) + b"next message", 1 << 20)
    assert len(list(CarReader(stream))) == len(MIXED)
    assert max(asked) <= 8 << 16


# -- verification ------------------------------------------------------------------------------


def test_verifies_unless_told_not_to() -> None:
    archive = car_v1(section(b"good"), section(b"bad", cid(b"other")))
    with pytest.raises(HashMismatchError) as caught:
        list(CarReader(archive))
    assert (caught.value.offset, caught.value.block) == (18 + 41, 1)
    assert "expected bytes with the hash of bafkrei" in str(caught.value)
    assert [block.data for block in CarReader(archive, verify=False)] == [b"good", b"bad"]


def test_every_block_is_verified_when_the_prefix_is_that_of_the_block_before() -> None:
    good = [section(bytes([number])) for number in range(20)]
    for bad in range(20):
        sections = [*good[:bad], section(b"bad", cid(bytes([bad]))), *good[bad + 1 :]]
        found = outcome(car_v1(*sections))
        assert len(found.blocks) == bad
        assert found.error
        assert found.error[0] is HashMismatchError


def test_unknown_hash_functions_are_an_error_of_their_own() -> None:
    """Policy: what cannot be verified is never passed off as verified."""
    name = bytes.fromhex("01559120") + b"\x04abcd"  # 0x1011: nobody's
    archive = car_v1(section(b"abcd", name))
    with pytest.raises(UnverifiableError, match="0x1011 is not known here") as caught:
        list(CarReader(archive))
    assert (caught.value.offset, caught.value.block) == (18, 0)
    assert isinstance(caught.value, HashMismatchError)
    (block,) = CarReader(archive, verify=False)
    assert (block.cid_bytes, block.data) == (name, b"abcd")


def test_identity_cids_are_verified() -> None:
    name = cid(b"me", "raw", "identity")
    assert outcome(car_v1(section(b"me", name))).error is None
    for data in (b"", b"m", b"mee", b"ME"):
        found = outcome(car_v1(section(data, name)))
        assert found.error
        assert found.error[0] is HashMismatchError


@pytest.mark.parametrize("size", [64, 65, 127, 128, 300, 2000])
def test_identity_cids_of_any_length(size: int) -> None:
    data = bytes(range(256)) * 8
    name = cid(data[:size], "raw", "identity")
    archive = car_v1(section(data[:size], name), section(data[:size], name), roots=[name])
    found = outcome(archive)
    assert (found.roots, [block[:2] for block in found.blocks]) == ([name], [(name, data[:size])] * 2)
    with pytest.raises(HashMismatchError):
        list(CarReader(car_v1(section(b"other", name))))
    (first, _) = CarReader(archive)
    assert str(first.cid) == CID.decode(name).set(base="base32").encode()
    assert str(first.cid) in repr(first)


def test_a_cut_digest_is_compared_as_far_as_it_goes() -> None:
    whole = cid(b"hello")
    for size in (1, 16, 20, 31):
        name = bytes.fromhex("015512") + bytes([size]) + whole[4 : 4 + size]
        assert outcome(car_v1(section(b"hello", name))).error is None
        wrong = name[:-1] + bytes([name[-1] ^ 1])
        found = outcome(car_v1(section(b"hello", wrong)))
        assert found.error
        assert found.error[0] is HashMismatchError


def test_a_digest_of_no_bytes_or_too_many_matches_nothing() -> None:
    for name in (bytes.fromhex("01551200"), bytes.fromhex("01551221") + cid(b"hello")[4:] + b"\x00"):
        found = outcome(car_v1(section(b"hello", name)))
        assert found.error
        assert found.error[0] is HashMismatchError


# -- the form of the CID before is remembered: that must never show -------------------------------


def test_cids_of_every_form_in_every_order() -> None:
    other = cid(b"pb", "dag-pb", "sha2-256")
    long_codec = cid(b"json", "dag-json")  # 0x0129: two bytes
    forms = [*MIXED[:4], section(b"pb", other), section(b"json", long_codec)]
    for order in permutations(forms):
        archive = car_v1(*order)
        found = outcome(archive)
        assert found.error is None
        assert [archive[at.offset : at.offset + at.size] for _, _, at in found.blocks] == list(order)


def test_a_section_too_short_for_the_form_before() -> None:
    """The next section has the same first bytes, and ends inside the digest."""
    archive = car_v1(section(b"hello"), b"\x04" + HELLO[:4])
    found = outcome(archive)
    assert len(found.blocks) == 1
    assert found.error
    assert found.error[0] is MalformedError
    assert "expected a section with a whole CID" in found.error[1]
    assert found.error[2:] == (60, 1)


# -- limits and other keywords -------------------------------------------------------------------


def test_the_longest_section_is_a_keyword() -> None:
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
    assert outcome(car_v1(section(bytes(8 << 20)))).error[0] is LimitError  # type: ignore[index]
    assert outcome(car_v1(section(bytes((8 << 20) - 36)))).error is None


def test_the_longest_header_is_a_keyword() -> None:
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


def test_a_section_that_only_holds_a_cid_is_good() -> None:
    (block,) = CarReader(car_v1(section(b"")))
    assert block.data == b""
    assert block.location.payload_size == 0


def test_varints_of_every_length_that_a_section_can_have() -> None:
    sections = [section(bytes(size)) for size in (0, 91, 92, 200, 16346, 16347, 16348, 2_097_115, 2_097_116)]
    archive = car_v1(*sections)
    for source in (archive, io.BytesIO(archive), Dribble(archive, 1000)):
        found = outcome(source)
        assert found.error is None
        assert [at.varint_size for _, _, at in found.blocks] == [1, 1, 2, 2, 2, 2, 3, 3, 4]
        assert [archive[at.offset : at.offset + at.size] for _, _, at in found.blocks] == sections


# -- CARv2 -------------------------------------------------------------------------------------


def test_v2_offsets_are_those_of_the_file() -> None:
    inner, outer = outcome(SMALL_V1), outcome(SMALL_V2)
    assert (outer.version, outer.roots, outer.error) == (2, inner.roots, None)
    assert [(name, data) for name, data, _ in outer.blocks] == [(name, data) for name, data, _ in inner.blocks]
    for (_, _, there), (_, _, here) in zip(outer.blocks, inner.blocks, strict=True):
        assert there == here._replace(offset=here.offset + 58)


def test_v2_header_is_told() -> None:
    assert CarReader(SMALL_V1).v2_header is None
    told = CarReader(car_v2(SMALL_V1, padding=bytes(9), index=b"i", characteristics=b"\x80" + bytes(15))).v2_header
    assert told == (True, 60, len(SMALL_V1), 60 + len(SMALL_V1))
    assert told is not None
    assert told.fully_indexed is True


def test_v2_payload_ends_where_the_header_says() -> None:
    """Not at a section's end: neither the index nor padding may be taken for blocks."""
    for behind in (b"", b"junk", section(b"a block that is none of this archive's"), bytes(100_000)):
        for source in (car_v2(SMALL_V1) + behind, io.BytesIO(car_v2(SMALL_V1) + behind)):
            assert outcome(source).error is None
            assert len(outcome(car_v2(SMALL_V1) + behind).blocks) == len(MIXED)


def test_v2_payload_that_ends_inside_a_section() -> None:
    for less in range(1, len(MIXED[-1])):
        archive = car_v2(SMALL_V1, data_size=len(SMALL_V1) - less)
        found = outcome(archive)
        assert len(found.blocks) == len(MIXED) - 1
        assert found.error
        assert found.error[0] is TruncatedError
        assert outcome(Dribble(archive, 3)) == found


@pytest.mark.parametrize("more", [1, 5, 1 << 40, (1 << 63) - 1 - 51 - len(SMALL_V1)])
def test_v2_payload_that_is_not_all_there(more: int) -> None:
    archive = car_v2(SMALL_V1, data_size=len(SMALL_V1) + more)
    for source in (archive, io.BytesIO(archive)):
        found = outcome(source)
        assert len(found.blocks) == len(MIXED)
        message = f"expected {more} more bytes of payload, found the end of the file"
        assert found.error == (TruncatedError, message, len(archive), len(MIXED))


@pytest.mark.parametrize(
    ("archive", "error", "message"),
    [
        (car_v2(SMALL_V1, data_offset=50), MalformedError, "expected the data of a CARv2 at 51 or later, found 50"),
        (car_v2(SMALL_V1, data_offset=0), MalformedError, "at 51 or later, found 0"),
        (car_v2(SMALL_V1, data_size=0), MalformedError, "found a data size of 0"),
        (car_v2(SMALL_V1, data_offset=1 << 63), MalformedError, "expected offsets below 2^63"),
        (car_v2(SMALL_V1, data_size=(1 << 64) - 1), MalformedError, "expected offsets below 2^63"),
        (car_v2(SMALL_V1, index_offset=1 << 63), MalformedError, "expected offsets below 2^63"),
        (car_v2(SMALL_V1, data_offset=1 << 62, data_size=1 << 62), MalformedError, "expected offsets below 2^63"),
        (car_v2(SMALL_V1, index_offset=60), MalformedError, "expected the index of a CARv2 behind its data"),
        (car_v2(SMALL_V1, index_offset=50 + len(SMALL_V1)), MalformedError, "expected the index of a CARv2 behind"),
        (car_v2(SMALL_V1, data_offset=0, data_size=0), TruncatedError, "writer stopped before it wrote the header"),
        (car_v2(SMALL_V1, data_offset=1 << 62), TruncatedError, "more bytes, found the end"),
        (car_v2(car_v2(SMALL_V1)), MalformedError, "expected a CARv1 inside the CARv2, found version 2"),
        (car_v2(SMALL_V1)[:50], TruncatedError, "expected a CARv2 header of 40 bytes, found 39"),
        (car_v2(b"\x00" + SMALL_V1), MalformedError, "expected a CAR header, found one of length zero"),
        (car_v2(SMALL_V1)[:51], TruncatedError, "expected a CAR header, found no bytes at all"),
    ],
)
def test_v2_headers_that_cannot_be(archive: bytes, error: type[Exception], message: str) -> None:
    found = outcome(archive)
    assert found.error
    assert found.error[0] is error
    assert message in found.error[1]
    assert found.version is None
    assert outcome(Dribble(archive, 5)) == found
    assert outcome(io.BytesIO(archive)) == found


def test_v2_index_may_begin_right_behind_the_data() -> None:
    assert outcome(car_v2(SMALL_V1, index_offset=51 + len(SMALL_V1))).error is None


def test_blocks_pickle() -> None:
    for block in CarReader(SMALL_V2):
        again: Block = pickle.loads(pickle.dumps(block))  # noqa: S301
        assert again == block
        assert again.location == block.location


def test_a_buffered_stream_with_only_read() -> None:
    class Mine(io.BufferedIOBase):
        def __init__(self) -> None:
            self._inner = Dribble(SMALL_V1, 10)

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            return self._inner.read(size)

    assert outcome(Mine()) == outcome(SMALL_V1)
