"""Sources of CarReader: memory, files, pipes, sockets and odd streams all give the same blocks."""

import io
import os
import socket
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from ipld_car import CarReader

from ..support.car_samples import MIXED, NO_ROOTS, SMALL_V1, SMALL_V2, Dribble, car_v1, car_v2, cid, outcome, section

HELLO = cid(b"hello")


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
    """The writer of a pipe may wait for an answer to each block, however small."""
    tiny = section(b"", cid(b"", "raw", "identity"))
    assert len(tiny) == 5
    for buffering in (-1, 0):
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb", buffering=buffering) as pipe, os.fdopen(write_end, "wb", buffering=0) as other:
            other.write(NO_ROOTS)
            blocks = iter(CarReader(pipe))
            for piece in (tiny, tiny, section(b"hello"), section(bytes(200)), section(bytes(20_000))):
                other.write(piece)
                # A reader that wants more than there is would wait for ever.
                watch = threading.Timer(20, other.close)
                watch.start()
                assert next(blocks).location.size == len(piece)
                watch.cancel()
                assert not other.closed, "the reader waited for more than the section"


@pytest.mark.parametrize("buffering", [-1, 0])
def test_no_bytes_yet_is_not_the_end(buffering: int) -> None:
    """A non-blocking stream without bytes must not look like the end of the archive."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    with os.fdopen(read_end, "rb", buffering=buffering) as pipe, os.fdopen(write_end, "wb", buffering=0) as other:
        other.write(car_v1(section(b"hello")))
        blocks = iter(CarReader(pipe))
        assert next(blocks).data == b"hello"
        with pytest.raises(BlockingIOError, match="expected a stream that blocks"):
            next(blocks)


def test_reads_bytes_in_memory_without_copying_them_whole() -> None:
    """bytearray and memoryview are read in steps, and the index after a CARv2 is not read."""
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
        return self._answers.pop(0)  # type: ignore[return-value]  # what no source should answer


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
def test_objects_that_are_no_source(source: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CarReader(source)  # type: ignore[arg-type]  # the wrong type is what is tested


def test_streams_may_give_bytearray_and_memoryview() -> None:
    half = len(SMALL_V1) // 2
    answers = (bytearray(SMALL_V1[:half]), memoryview(SMALL_V1)[half:], b"", b"", b"")
    assert outcome(Fault(*answers)) == outcome(SMALL_V1)


def test_errors_of_the_stream_pass_through() -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise ConnectionResetError("peer is gone")

    with pytest.raises(ConnectionResetError, match="peer is gone"):
        CarReader(Broken())


def test_nothing_is_read_after_the_payload() -> None:
    """What follows the payload of a CARv2 may be another message, which the reader must not wait for."""
    asked: list[int] = []

    class Counting(Dribble):
        def read(self, size: int, /) -> bytes:
            asked.append(size)
            return super().read(size)

    stream = Counting(car_v2(SMALL_V1) + b"next message", 1 << 20)
    assert len(list(CarReader(stream))) == len(MIXED)
    assert max(asked) <= 8 << 16


class Asked(Dribble):
    """A stream that records the size of each read."""

    def __init__(self, archive: bytes) -> None:
        super().__init__(archive, len(archive))
        self.sizes: list[int] = []

    def read(self, size: int, /) -> bytes:
        self.sizes.append(size)
        return super().read(size)


@pytest.mark.parametrize("wrap", [bytes, car_v2], ids=["v1", "v2"])
def test_large_payloads_are_read_by_themselves(wrap: Callable[[bytes], bytes]) -> None:
    """The payload is the object that the stream returned; joining pieces would copy it."""
    sizes = [100_000, 40_000, 300_000, 50_000]
    archive = wrap(car_v1(*(section(os.urandom(size)) for size in sizes)))
    stream = Asked(archive)
    assert [len(block.data) for block in CarReader(stream)] == sizes
    # The buffer has the beginning of the first section. Then come reads of length and CID, and of the payload.
    row = [39, 40_000, 39, 300_000, 39, 50_000]
    at = stream.sizes.index(39)
    assert stream.sizes[at : at + len(row)] == row
    assert outcome(io.BytesIO(archive)) == outcome(archive)


def test_no_read_is_larger_than_512_kib_or_the_largest_payload_before() -> None:
    """So a false length allocates little: read(size) of a file allocates all of it."""
    sizes = [1_000_000, 1_000_000, 5_000_000, 4_000_000]
    stream = Asked(car_v1(*(section(bytes(size)) for size in sizes)))
    assert len(list(CarReader(stream))) == len(sizes)
    seen = 1 << 19
    for size, before in zip(sizes[1:], sizes, strict=False):
        seen = max(seen, before)
        assert min(size, seen) in stream.sizes
    assert max(stream.sizes) == 4_000_000


def test_large_sections_whose_cids_differ_in_form(tmp_path: Path) -> None:
    """The reader expects length and CID to be as long as before; where they are not, nothing changes."""
    forms = [("raw", "sha2-256"), ("raw", "sha2-512"), ("dag-pb", "sha2-256")]
    sizes = [70_000, 33_000, 20, 70_000, 70_000, 70_000, 700_000]
    blocks = [os.urandom(size) for size in sizes * 4]
    archive = car_v1(*(section(data, cid(data, *forms[at // 2 % 3])) for at, data in enumerate(blocks)))
    expected = outcome(archive)
    assert expected.error is None
    assert [data for _, data, _ in expected.blocks] == blocks
    path = tmp_path / "some.car"
    path.write_bytes(archive)
    for buffering in (-1, 0):
        with path.open("rb", buffering=buffering) as file:
            assert outcome(file) == expected
    assert outcome(memoryview(archive)) == expected
    assert outcome(Dribble(archive, 5_000)) == expected
    for cut in (1, 30_000):
        assert outcome(io.BytesIO(archive[:-cut])) == outcome(archive[:-cut])


def test_a_buffered_stream_with_only_read() -> None:
    class Mine(io.BufferedIOBase):
        def __init__(self) -> None:
            self._inner = Dribble(SMALL_V1, 10)

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            return self._inner.read(size)

    assert outcome(Mine()) == outcome(SMALL_V1)
