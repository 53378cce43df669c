"""CarWriter: the bytes are those of the format, on any stream, and a partial write is never missed."""

import io
import os
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import (
    BlockLocation,
    CarError,
    CarReader,
    CarWriter,
    HashMismatchError,
    LimitError,
    MalformedError,
    UnverifiableError,
)
from multiformats import CID, multihash

from ..support.car_samples import NO_ROOTS, car_v1, cid, outcome, section, varint

pytestmark = pytest.mark.smoke

HELLO = cid(b"hello")


def test_written_bytes_are_those_of_the_format() -> None:
    stream = io.BytesIO()
    with CarWriter(stream, [CID.decode(HELLO)]) as writer:
        assert writer.write(HELLO, b"hello") == BlockLocation(59, 1, 36, 5)
        assert writer.write(HELLO, b"hello") == BlockLocation(101, 1, 36, 5)  # duplicates too
        writer.write(cid(bytes(200)), bytes(200))
    expected = car_v1(section(b"hello"), section(b"hello"), section(bytes(200)), roots=[HELLO])
    assert stream.getvalue() == expected


def test_an_empty_archive() -> None:
    stream = io.BytesIO()
    CarWriter(stream, []).close()
    assert stream.getvalue() == NO_ROOTS


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, CID.decode, lambda name: str(CID.decode(name))])
def test_cids_as_object_text_and_bytes(form: type) -> None:
    stream = io.BytesIO()
    with CarWriter(stream, [form(HELLO)]) as writer:
        writer.write(form(HELLO), b"hello")
    assert stream.getvalue() == car_v1(section(b"hello"), roots=[HELLO])


@pytest.mark.parametrize("root", ["hello", "", HELLO[:4], HELLO[:-1], HELLO + b"\x00", b"\x01" * 40], ids=repr)
def test_roots_must_be_cids(root: str | bytes) -> None:
    stream = io.BytesIO()
    with pytest.raises(CarError):
        CarWriter(stream, [root])
    assert stream.getvalue() == b""


def test_roots_of_another_type_are_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"expected a CID as multiformats\.CID, str or bytes, found int"):
        CarWriter(io.BytesIO(), [17])  # type: ignore[list-item]  # another type is what is tested


def test_blocks_are_verified_before_anything_is_written() -> None:
    stream = io.BytesIO()
    writer = CarWriter(stream, [])
    with pytest.raises(HashMismatchError):
        writer.write(HELLO, b"other")
    with pytest.raises(UnverifiableError):
        writer.write(bytes.fromhex("015591200400000000"), b"")
    with pytest.raises(MalformedError):
        writer.write(HELLO + b"more", b"hello")
    assert stream.getvalue() == NO_ROOTS
    location = writer.write(HELLO, b"hello")
    assert location.offset == len(NO_ROOTS)
    assert outcome(stream.getvalue()).error is None


def test_verification_can_be_turned_off() -> None:
    stream = io.BytesIO()
    with CarWriter(stream, [], verify=False) as writer:
        writer.write(HELLO, b"other")
    assert stream.getvalue() == NO_ROOTS + section(b"other", HELLO)


def test_sections_that_readers_refuse_are_not_written() -> None:
    stream = io.BytesIO()
    writer = CarWriter(stream, [], max_section_bytes=100)
    writer.write(cid(bytes(64)), bytes(64))
    with pytest.raises(LimitError, match="expected a section of at most 100 bytes, found 101"):
        writer.write(cid(bytes(65)), bytes(65))
    assert stream.getvalue() == NO_ROOTS + section(bytes(64))
    with pytest.raises(LimitError):
        CarWriter(io.BytesIO(), []).write(cid(bytes(8 << 20)), bytes(8 << 20))


def test_a_header_that_readers_refuse_is_not_written() -> None:
    stream = io.BytesIO()
    with pytest.raises(LimitError, match="expected a header of at most 100 bytes, found 347"):
        CarWriter(stream, [HELLO] * 8, max_header_bytes=100)
    assert stream.getvalue() == b""


def test_a_closed_writer_does_not_write() -> None:
    stream = io.BytesIO()
    writer = CarWriter(stream, [])
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="expected an open CarWriter"):
        writer.write(HELLO, b"hello")
    assert not stream.closed  # it is the caller's
    assert stream.getvalue() == NO_ROOTS


def test_close_flushes_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "some.car"
    with path.open("wb") as file:
        with CarWriter(file, []) as writer:
            writer.write(HELLO, b"hello")
        assert path.read_bytes() == car_v1(section(b"hello"))


def test_data_may_be_any_contiguous_buffer() -> None:
    """A view of wider items has more bytes than items; the length of the section counts bytes."""
    data = bytes(range(40))
    for buffer in (bytearray(data), memoryview(data), memoryview(data).cast("I"), memoryview(data).cast("I", (2, 5))):
        stream = io.BytesIO()
        with CarWriter(stream, []) as writer:
            location = writer.write(cid(data), buffer)  # type: ignore[arg-type]  # another type is what is tested
        assert location.payload_size == 40
        assert stream.getvalue() == car_v1(section(data))


@pytest.mark.parametrize("data", ["text", 17, None, [1, 2]])
def test_data_must_be_a_buffer(data: object) -> None:
    stream = io.BytesIO()
    with pytest.raises(TypeError):
        CarWriter(stream, [], verify=False).write(HELLO, data)  # type: ignore[arg-type]  # another type is what is tested
    assert stream.getvalue() == NO_ROOTS


# -- streams -----------------------------------------------------------------------------------


class Partial:
    """A raw stream that takes a few bytes at a time, and then does what its last answer says."""

    def __init__(self, *answers: object, step: int = 7) -> None:
        self.taken = bytearray()
        self._answers = list(answers)
        self._step = step

    def write(self, data: bytes, /) -> object:
        if self._answers:
            answer = self._answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        self.taken += data[: self._step]
        return min(len(data), self._step)


def test_the_rest_of_a_partial_write_is_written() -> None:
    for step in (1, 7, 100, 10_000):
        stream = Partial(step=step)
        with CarWriter(stream, [HELLO]) as writer:
            writer.write(HELLO, b"hello")
            writer.write(cid(bytes(5000)), bytes(5000))
        assert bytes(stream.taken) == car_v1(section(b"hello"), section(bytes(5000)), roots=[HELLO])


@pytest.mark.parametrize("answer", [0, -1, 1 << 40])
def test_an_impossible_count_of_written_bytes_is_refused(answer: int) -> None:
    """A stream that takes no bytes would be an endless loop."""
    with pytest.raises(OSError, match=f"expected a stream that takes 1 to 18 bytes, found one that took {answer}"):
        CarWriter(Partial(answer), [])


def test_a_stream_that_returns_none_has_taken_all() -> None:
    taken = []

    class Silent:
        def write(self, data: bytes, /) -> None:
            taken.append(data)

    with CarWriter(Silent(), []) as writer:
        writer.write(HELLO, b"hello")
    assert b"".join(taken) == car_v1(section(b"hello"))


def test_a_full_non_blocking_raw_stream_is_an_error() -> None:
    """Raw streams say None for that: taken for "all written", the section would be lost."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with os.fdopen(read_end, "rb"), os.fdopen(write_end, "wb", buffering=0) as pipe:
        writer = CarWriter(pipe, [], verify=False)
        with pytest.raises(BlockingIOError, match="expected a stream that blocks"):
            writer.write(HELLO, bytes(5_000_000))


def test_a_writer_refuses_to_continue_after_a_failed_write() -> None:
    stream = Partial()
    writer = CarWriter(stream, [])
    stream._answers = [20, OSError("disk full")]
    with pytest.raises(OSError, match="disk full"):
        writer.write(HELLO, b"hello")
    with pytest.raises(ValueError, match="a write has failed, so the archive ends in the middle of a section"):
        writer.write(HELLO, b"hello")
    writer.close()


@pytest.mark.parametrize("buffering", [-1, 0])
def test_writes_to_a_pipe_and_a_socket(buffering: int) -> None:
    blocks = [os.urandom(30_000) for _ in range(10)]
    expected = car_v1(*map(section, blocks))

    def send(stream: io.BufferedWriter) -> None:
        with stream, CarWriter(stream, []) as writer:
            for data in blocks:
                writer.write(cid(data), data)

    read_end, write_end = os.pipe()
    sender = threading.Thread(target=send, args=(os.fdopen(write_end, "wb", buffering=buffering),))
    sender.start()
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.read() == expected
    sender.join()
    ours, theirs = socket.socketpair()
    sender = threading.Thread(target=send, args=(theirs.makefile("wb", buffering=buffering),))
    sender.start()
    with ours.makefile("rb") as stream:
        assert stream.read(len(expected)) == expected
    sender.join()
    ours.close()
    theirs.close()


# -- writing and reading -------------------------------------------------------------------------


@st.composite
def blocks(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Any block with any CID that can be verified: known and unknown codecs, shortened digests, CIDv0."""
    data = draw(st.binary(max_size=300))
    name = draw(st.sampled_from(["sha2-256", "sha2-512", "sha3-256", "sha1", "blake2b-256", "blake2s-128", "identity"]))
    if name == "sha2-256" and draw(st.booleans()):
        return cid(data, "dag-pb", version=0), data
    function = multihash.get(name)
    raw = function.unwrap(function.digest(data))
    if name != "identity":
        raw = raw[: draw(st.integers(1, len(raw)))]
    codec = draw(st.sampled_from([0x55, 0x70, 0x71, 0x0129, 0x300000]) | st.integers(0, (1 << 63) - 1))
    return b"\x01" + varint(codec) + varint(function.code) + varint(len(raw)) + raw, data


@given(st.lists(blocks(), max_size=12), st.lists(blocks(), max_size=3))
def test_round_trip(written: list[tuple[bytes, bytes]], rooted: list[tuple[bytes, bytes]]) -> None:
    roots = [name for name, _ in rooted]
    stream = io.BytesIO()
    with CarWriter(stream, roots) as writer:
        locations = [writer.write(name, data) for name, data in written]
    archive = stream.getvalue()
    reader = CarReader(archive)
    assert [bytes(root) for root in reader.roots] == roots
    assert [(block.cid_bytes, block.data, block.location) for block in reader] == [
        (*block, location) for block, location in zip(written, locations, strict=True)
    ]
    for (name, data), at in zip(written, locations, strict=True):
        assert archive[at.payload_offset :][: at.payload_size] == data
        assert archive[at.offset :][: at.size] == section(data, name)
    again = io.BytesIO()
    with CarWriter(again, CarReader(archive).roots) as writer:
        for block in CarReader(archive):
            writer.write(block.cid, block.data)
    assert again.getvalue() == archive
