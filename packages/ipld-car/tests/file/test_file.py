"""CarFile: what is put is there, found by its index, in a file that is an archive to everybody else."""

import hashlib
import io
import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import (
    BlockAbsentError,
    BlockLocation,
    CarError,
    CarFile,
    CarIndex,
    CarReader,
    HashMismatchError,
    IndexWriter,
    LimitError,
    cids,
)
from ipld_car._car.header import V2Header, encode_v2_header

from ..support.car_samples import MIXED, SMALL_V1, SMALL_V2, car_v1, cid, outcome, section
from ..support.file_samples import ABSENT, EMPTY_MAP, HELLO, WORLD, block, check_archive

# -- new files --


def test_a_new_file(tmp_path: Path) -> None:
    """Empty, with one root that holds the place of another; closed, it is an archive."""
    path = tmp_path / "new.car"
    with CarFile.open(path, "x") as file:
        assert [bytes(root) for root in file.roots] == [EMPTY_MAP]
        assert (file.version, len(file), list(file), file.scan_reason, file.path) == (2, 0, [], "it has no index", path)
        assert file.writable
        assert outcome(path.read_bytes()).roots == [EMPTY_MAP]
    assert not file.writable
    check_archive(path, [], [EMPTY_MAP])
    with CarFile.open(path) as file:
        assert (len(file), list(file), file.scan_reason, file.writable) == (0, [], None, False)
        assert ABSENT not in file


def test_what_is_put_is_there(tmp_path: Path) -> None:
    """At once, flushed, closed, and opened again; in the order of writing, each once."""
    path = tmp_path / "a.car"
    blocks = [block(number, size) for number, size in enumerate((0, 1, 90, 91, 92, 5_000, 17_000, 2_000_000, 3))]
    with CarFile.open(path, "x") as file:

        def check() -> None:
            for name, data in blocks:
                assert file.get(name) == data
                assert name in file
                assert cids.from_bytes(name) in file
                assert file.location(cids.to_text(name)).payload_size == len(data)
            assert len(file) == len(blocks)
            assert [bytes(each) for each, _ in file] == [name for name, _ in blocks]
            assert ABSENT not in file

        for name, data in blocks:
            assert file.put(name, data) is True
            assert file.put(name, data) is False
        check()
        file.flush()
        check()
        for name, data in blocks:
            assert file.put(name, data) is False
        file.roots = [cids.from_bytes(blocks[0][0])]
    check_archive(path, blocks, [blocks[0][0]])
    with CarFile.open(path) as file:
        check()
        archive = path.read_bytes()
        assert list(file) == [(each.cid, each.location) for each in CarReader(archive)]
        for each, location in file:
            assert archive[location.payload_offset :][: location.payload_size] == file.get(each)


def test_same_puts_same_bytes(tmp_path: Path) -> None:
    """However they were flushed, and whether the file was closed between them."""
    blocks = [block(number, 1000) for number in range(3000)]
    with CarFile.open(tmp_path / "at once", "x") as file:
        for name, data in blocks:
            file.put(name, data)
    for start in range(0, 3000, 700):
        with CarFile.open(tmp_path / "in steps", "a") as file:
            for name, data in blocks[start : start + 700]:
                file.put(name, data)
                file.put(*blocks[0])
                if data[0] == ord("7"):
                    file.flush()
    assert (tmp_path / "at once").read_bytes() == (tmp_path / "in steps").read_bytes()


def test_blocks_of_every_kind(tmp_path: Path) -> None:
    """Other codecs, hashes and versions; one multihash under several CIDs is one block for each."""
    path = tmp_path / "a.car"
    every = [found[:2] for found in outcome(SMALL_V1).blocks]
    twins = [(cid(b"\xa0", codec), b"\xa0") for codec in ("raw", "dag-cbor", "dag-pb")]
    odd = [(b"\x01\x81\x80\xc0\x01\x12\x20" + hashlib.sha256(b"?").digest(), b"?")]
    odd += [(cids.make(cids.RAW, hashlib.sha256(b"cut").digest()[:20]), b"cut")]
    blocks = [pair for pair in every if cids.prefix_of(pair[0]).hash_code] + twins + odd
    with CarFile.open(path, "x") as file:
        for name, data in every + twins + odd:
            file.put(name, data)
    check_archive(path, blocks, [EMPTY_MAP])
    with CarFile.open(path, "a") as file:
        assert not any(file.put(name, data) for name, data in every + twins + odd)
        for name, data in every + twins + odd:
            assert file.get(name) == data
        assert [file.location(name) for name, _ in blocks] == [at for _, at in file]
        digest = cid(b"\xa0")[4:]
        assert file.get(b"\x12\x20" + digest) == b"\xa0"  # no section has this CID
        assert cids.make(0x0129, digest) in file
        assert file.location(cids.make(0x0129, digest)).payload_size == 1
    check_archive(path, blocks, [EMPTY_MAP])


def test_identity_cids_hold_their_bytes(tmp_path: Path) -> None:
    """They are got from themselves and written nowhere; archives that have sections of them are read."""
    inline = cid(b"me", "raw", "identity")
    with CarFile.open(tmp_path / "a.car", "x") as file:
        assert inline in file
        assert file.get(inline) == b"me"
        assert file.put(inline, b"me") is False
        assert len(file) == 0
        with pytest.raises(HashMismatchError):
            file.put(inline, b"you")
        with pytest.raises(BlockAbsentError):
            file.location(inline)
    (tmp_path / "b.car").write_bytes(SMALL_V1)
    with CarFile.open(tmp_path / "b.car") as file:
        assert len(file) == len(list(file)) == len(MIXED) - 1


def test_identity_cids_in_an_index_do_not_count(tmp_path: Path) -> None:
    """As go-car writes them where it is told to store them."""
    path, inline = tmp_path / "a.car", cids.make(cids.RAW, b"in it", cids.IDENTITY)
    archive, index, out = car_v1(section(b"hello"), section(b"in it", inline)), IndexWriter(), io.BytesIO()
    for each in CarReader(archive):
        index.add(each.cid_bytes, each.location.offset)
    index.write(out)
    path.write_bytes(encode_v2_header(V2Header(True, 51, len(archive), 51 + len(archive))) + archive + out.getvalue())
    with CarFile.open(path) as file:
        assert (len(file), [bytes(name) for name, _ in file], file.scan_reason) == (1, [HELLO], None)
        assert file.get(inline) == b"in it"


def test_what_is_refused(tmp_path: Path) -> None:
    with CarFile.open(tmp_path / "a.car", "x") as file:
        with pytest.raises(HashMismatchError, match="expected bytes with the hash of"):
            file.put(HELLO, b"jello")
        with pytest.raises(CarError):
            file.put(b"no cid", b"hello")
        with pytest.raises(TypeError):
            file.put(HELLO, 5)  # type: ignore[arg-type]  # what a user may try
        large = bytes(8 << 20)
        with pytest.raises(LimitError, match="at most 8388608 bytes"):
            file.put(cid(large), large)
        assert file.put(cid(large[36:]), large[36:])
        for verb in (file.get, file.location):
            with pytest.raises(BlockAbsentError, match=f"{cids.to_text(ABSENT)} in .*a.car") as caught:
                verb(ABSENT)
            assert isinstance(caught.value, KeyError)
            assert isinstance(caught.value, CarError)
        buffer = bytearray(b"hello")
        assert file.put(HELLO, buffer)  # type: ignore[arg-type]  # any buffer will do
        buffer[:] = b"jello"
        assert file.get(HELLO) == b"hello"
        assert len(file) == 2
    verbs: list[Callable[[], object]] = [lambda: file.get(HELLO), lambda: HELLO in file, lambda: len(file)]
    verbs += [lambda: iter(file), lambda: file.put(HELLO, b"hello"), lambda: setattr(file, "roots", []), file.flush]
    for closed in verbs:
        with pytest.raises(ValueError, match="closed"):
            closed()
    file.close()
    with CarFile.open(tmp_path / "a.car") as file:
        file.flush()
        with pytest.raises(io.UnsupportedOperation, match="open for writing"):
            file.put(HELLO, b"hello")
        with pytest.raises(io.UnsupportedOperation, match="open for writing"):
            file.roots = [cids.from_bytes(HELLO)]
    with pytest.raises(ValueError, match='"r", "x" or "a", found \'w\''):
        CarFile.open(tmp_path / "a.car", "w")  # type: ignore[arg-type]  # what a user may try


# -- roots --


def test_roots_are_set_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    with CarFile.open(path, "x") as file:
        for name in (HELLO, WORLD):
            file.roots = [cids.from_bytes(name)]
            assert file.roots == [cids.from_bytes(name)]
            file.flush()
            assert outcome(path.read_bytes()).roots == [name]
    size = path.stat().st_size
    with CarFile.open(path, "a") as file:
        file.roots = (cids.to_text(HELLO),)
    assert path.stat().st_size == size
    check_archive(path, [], [HELLO])
    with CarFile.open(path) as file:
        assert file.roots == [cids.from_bytes(HELLO)]
        assert file.scan_reason is None


@pytest.mark.parametrize("roots", [[], [HELLO, WORLD], [cid(b"x", "raw", "sha2-512")]], ids=["none", "two", "longer"])
def test_roots_of_another_length_ask_for_a_rewrite(tmp_path: Path, roots: list[bytes]) -> None:
    with CarFile.open(tmp_path / "a.car", "x") as file:
        with pytest.raises(CarError, match="must be rewritten"):
            file.roots = [cids.from_bytes(root) for root in roots]
        assert [bytes(root) for root in file.roots] == [EMPTY_MAP]
    check_archive(tmp_path / "a.car", [], [EMPTY_MAP])


def test_a_new_file_with_roots_of_its_own(tmp_path: Path) -> None:
    """As many as there are, as long as they are; others take their place."""
    path = tmp_path / "a.car"
    longer = [cid(b"x", "raw", "sha2-512"), HELLO]
    with CarFile.open(path, "x", roots=longer) as file:
        file.put(HELLO, b"hello")
    check_archive(path, [(HELLO, b"hello")], longer)
    with CarFile.open(path, "a", roots=[WORLD]) as file:  # it is not new
        assert [bytes(root) for root in file.roots] == longer
        others = [cid(b"y", "raw", "sha2-512"), WORLD]
        file.check_roots(others)
        assert [bytes(root) for root in file.roots] == longer
        with pytest.raises(CarError, match="must be rewritten"):
            file.check_roots([WORLD])
        file.roots = [cids.from_bytes(root) for root in others]
    check_archive(path, [(HELLO, b"hello")], others)
    with CarFile.open(path) as file, pytest.raises(io.UnsupportedOperation):
        file.check_roots(others)


def test_headers_that_hold_more_than_roots_are_not_rewritten(tmp_path: Path) -> None:
    strange = bytearray(car_v1(roots=[HELLO]))
    strange[1:2] = b"\xa3\x61a\x01"  # a key more
    strange[0] += 3
    (tmp_path / "a.car").write_bytes(strange)
    with CarFile.open(tmp_path / "a.car", "a") as file, pytest.raises(CarError, match="rewrite the file"):
        file.roots = [cids.from_bytes(WORLD)]
    assert (tmp_path / "a.car").read_bytes() == strange


# -- CARv1 --


def test_a_carv1_opens_and_is_continued(tmp_path: Path) -> None:
    """It stays a CARv1; its roots too are set in place."""
    path = tmp_path / "a.car"
    path.write_bytes(SMALL_V1)
    with CarFile.open(path) as file:
        assert (file.version, file.scan_reason) == (1, "a CARv1 has no index")
        assert [bytes(root) for root in file.roots] == [HELLO]
        for name, data, location in outcome(SMALL_V1).blocks:
            assert file.get(name) == data
            if cids.prefix_of(name).hash_code:
                assert file.location(name) == location
    with CarFile.open(path, "a") as file:
        assert not file.put(HELLO, b"hello")
        assert file.put(WORLD, b"world")
        file.roots = [cids.from_bytes(WORLD)]
        assert outcome(path.read_bytes()).roots == [HELLO]
        file.flush()
        assert outcome(path.read_bytes()).roots == [WORLD]
        assert file.put(*block(5))
    assert path.read_bytes() == car_v1(*MIXED, section(b"world"), section(block(5)[1]), roots=[WORLD])


def test_a_carv2_with_padding_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    path.write_bytes(SMALL_V2[: -len(b"\x80\x08 no index, really")])
    fixed = bytearray(path.read_bytes())
    fixed[43:51] = bytes(8)
    path.write_bytes(fixed)
    with CarFile.open(path, "a") as file:
        assert file.put(WORLD, b"world")
        file.roots = [cids.from_bytes(WORLD)]
    found = outcome(path.read_bytes())
    assert (found.error, found.roots) == (None, [WORLD])
    assert [name for name, _, _ in found.blocks] == [name for name, _, _ in outcome(SMALL_V2).blocks] + [WORLD]
    with CarFile.open(path) as file:
        assert file.scan_reason is None
        assert len(file) == len(MIXED)  # all but the identity CID, and one more


# -- what it costs --


@pytest.mark.slow
def test_a_file_of_many_blocks_opens_in_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    blocks = [block(number, 100) for number in range(50_000)]
    with CarFile.open(path, "x", fsync=False) as file:
        for name, data in blocks:
            file.put(name, data)
    tracemalloc.start()
    with CarFile.open(path) as file:
        for name, data in blocks[::1000]:
            assert file.get(name) == data
        assert len(file) == len(blocks)  # which looks at all of them, once
        assert ABSENT not in file
        assert sum(1 for _ in file) == len(blocks)
        _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    with CarFile.open(path, "a") as file:
        assert not file.put(*blocks[7])


def test_small_blocks_are_few_system_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written, and no disk asked, until there is a megabyte or a flush."""
    calls: list[str] = []

    def count(name: str) -> None:
        real = getattr(os, name)

        def counted(*args: object) -> object:
            calls.append(name)
            return real(*args)

        monkeypatch.setattr(os, name, counted)

    count("writev")
    count("fsync")
    blocks = [block(number, 100) for number in range(50_000)]
    with CarFile.open(tmp_path / "a.car", "x") as file:
        calls.clear()
        size = (tmp_path / "a.car").stat().st_size
        for name, data in blocks[:7000]:
            file.put(name, data)
        assert (tmp_path / "a.car").stat().st_size == size
        for name, data in blocks[7000:]:
            file.put(name, data)
        assert "fsync" not in calls
        assert len(calls) <= 7
        file.flush()
        assert calls.count("fsync") == 2
        file.flush()
        assert calls.count("fsync") == 2
    assert calls.count("fsync") == 4


def test_blocks_in_the_order_of_the_file_are_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stands behind the one before it; who leaves that order is at the index again, and back in it soon."""
    blocks = [block(number, 100) for number in range(100)]
    with CarFile.open(tmp_path / "a.car", "x") as file:
        for name, data in blocks:
            file.put(name, data)
    looked_for: list[bytes] = []
    find = CarIndex.find

    def noting(index: CarIndex, multihash: bytes) -> list[int]:
        looked_for.append(multihash)
        return find(index, multihash)

    monkeypatch.setattr(CarIndex, "find", noting)
    with CarFile.open(tmp_path / "a.car") as file:
        for number in (*range(10, 60), *range(50, 100)):
            assert file.get(blocks[number][0]) == blocks[number][1]
        assert looked_for == [blocks[number][0][2:] for number in (10, 11, 50, 51)]
        with pytest.raises(BlockAbsentError):
            file.get(ABSENT)


@given(st.lists(st.integers(0, 30)), st.integers(0, 30))
def test_blocks_in_any_order(tmp_path_factory: pytest.TempPathFactory, order: list[int], indexed: int) -> None:
    """Of a file of which some are in the index, some behind it and some not in the file yet."""
    path = tmp_path_factory.mktemp("any") / "a.car"
    blocks = [block(number, number) for number in range(31)]
    with CarFile.open(path, "x", fsync=False) as file:
        for name, data in blocks[:indexed]:
            file.put(name, data)
    with CarFile.open(path, "a", fsync=False) as file:
        for number, (name, data) in enumerate(blocks[indexed:]):
            file.put(name, data)
            if number == 5:
                file.flush()
        for number in order:
            assert file.get(blocks[number][0], verify=False) == blocks[number][1]


def test_locations_and_errors_are_pickled(tmp_path: Path) -> None:
    """They travel to other processes; an open file does not."""
    with CarFile.open(tmp_path / "a.car", "x") as file:
        file.put(HELLO, b"hello")
        with pytest.raises(BlockAbsentError) as caught:
            file.get(ABSENT)
        for each in (file.location(HELLO), caught.value):
            assert repr(pickle.loads(pickle.dumps(each))) == repr(each)  # noqa: S301  # our own
        assert file.location(HELLO) == BlockLocation(110, 1, 36, 5)
        with pytest.raises(TypeError):
            pickle.dumps(file)
