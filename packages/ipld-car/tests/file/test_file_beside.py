"""CarFile: a block that is there is never said to be absent, whatever another thread or process does to the file."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from ipld_car import CarFile, CarIndex, CarReader, CarWarning, IndexWriter, cids
from ipld_car._car.header import encode_v2_header
from ipld_car._file.scan import index_of

from ..support.car_samples import cid
from ..support.damaged_files import warned
from ..support.file_samples import ABSENT, block

WRITER = """
import sys
from pathlib import Path
from tests.support.file_samples import block
from ipld_car import CarFile
with CarFile.open(sys.argv[1], "a", fsync=False) as file:
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        file.put(*block(number))
    file.flush()
    print("flushed", flush=True)
    sys.stdin.readline()
"""


def writer_of(path: Path, start: int, stop: int) -> subprocess.Popen[bytes]:
    """Another process that has flushed some blocks, and has the file open until a line comes."""
    command = [sys.executable, "-c", WRITER, str(path), str(start), str(stop)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"flushed\n"
    return process


def file_of(path: Path, stop: int) -> None:
    with CarFile.open(path, "x", fsync=False) as file:
        for number in range(stop):
            file.put(*block(number))


def test_threads_of_a_reader_while_one_sees_what_a_writer_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one takes up the new sections; for the others the old state holds until that is done."""
    path = tmp_path / "a.car"
    file_of(path, 3000)
    begun, go_on, made = threading.Event(), threading.Event(), index_of

    def slow(*arguments: object) -> object:
        begun.set()
        assert go_on.wait(60)
        return made(*arguments)  # type: ignore[arg-type]  # as they come

    with CarFile.open(path) as reader, ThreadPoolExecutor(2) as pool:
        assert len(reader) == 3000  # the index is known to be whole
        with writer_of(path, 3000, 30_000) as writer:  # over the index
            monkeypatch.setattr("ipld_car._file.state.index_of", slow)
            first = pool.submit(reader.get, block(20_000)[0])
            assert begun.wait(60)
            second = pool.submit(lambda: [block(number)[0] in reader for number in range(0, 3000, 100)])
            threading.Timer(0.2, go_on.set).start()  # the second may look, in vain, and has to wait then
            assert second.result() == [True] * 30
            assert first.result() == block(20_000)[1]
            writer.communicate(b"\n")


def test_a_reader_that_is_interrupted_while_it_looks_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks once more then."""
    path = tmp_path / "a.car"
    file_of(path, 1000)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with CarFile.open(path) as reader:
        assert len(reader) == 1000
        with CarFile.open(path, "a") as file:
            for number in range(1000, 3000):
                file.put(*block(number))
            file.flush()
            with monkeypatch.context() as patch:
                patch.setattr("ipld_car._file.state.index_of", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    reader.get(block(2000)[0])
            for number in range(3000):
                assert reader.get(block(number)[0]) == block(number)[1]


def test_threads_while_the_index_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that was about to read an index that is data now reads the header again."""
    path = tmp_path / "a.car"
    file_of(path, 3000)
    find, begun, go_on = CarIndex.find, threading.Event(), threading.Event()
    main = threading.current_thread()

    def slow(index: CarIndex, multihash: bytes) -> list[int]:
        if threading.current_thread() is not main and not begun.is_set():
            begun.set()
            assert go_on.wait(60)
        return find(index, multihash)

    with CarFile.open(path, "a", fsync=False) as file, ThreadPoolExecutor(1) as pool:
        assert len(file) == 3000
        monkeypatch.setattr(CarIndex, "find", slow)
        found = pool.submit(lambda: block(7)[0] in file)
        assert begun.wait(60)
        for number in range(3000, 20_000):
            file.put(*block(number))
        file.flush()
        go_on.set()
        assert found.result()


def test_a_reader_of_a_file_whose_index_becomes_shorter(tmp_path: Path) -> None:
    """There may be padding before an index. What a reader has mapped is not cut off: to touch it would be its end."""
    path = tmp_path / "a.car"
    file_of(path, 20_000)
    archive = path.read_bytes()
    header = CarReader(archive).v2_header
    assert header is not None
    padded = header._replace(index_offset=header.index_offset + (4 << 20))
    begin = header.index_offset
    path.write_bytes(encode_v2_header(padded) + archive[51:begin] + bytes(4 << 20) + archive[begin:])
    code = WRITER.replace('"a", fsync=False', '"r"').replace("file.put(*block(number))", "file.get(block(number)[0])")
    code = code.replace("    file.flush()\n", "") + "    [file.get(block(number)[0]) for number in range(20_000)]\n"
    command = [sys.executable, "-c", code, str(path), "0", "2"]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"flushed\n"
        with CarFile.open(path, "a") as file:
            file.put(*block(20_001))
        reader.communicate(b"\n")
        assert reader.returncode == 0
    with CarFile.open(path) as file:
        assert (len(file), file.scan_reason) == (20_001, None)


# -- an index that lacks blocks --


def lacking(path: Path, blocks: int, indexed: int) -> None:
    """An archive whose index has only the first blocks, and says that it has all."""
    file_of(path, blocks)
    with CarFile.open(path) as file:
        locations = [(bytes(name), location.offset) for name, location in file]
    archive, index, out = path.read_bytes(), IndexWriter(), BytesIO()
    header = CarReader(archive).v2_header
    assert header is not None
    assert header.fully_indexed
    for name, offset in locations[:indexed]:
        index.add(name, offset - header.data_offset)
    index.write(out)
    path.write_bytes(archive[: header.index_offset] + out.getvalue())


def test_a_writer_does_not_hand_on_an_index_that_lacks_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    lacking(path, 100, 50)
    with pytest.warns(CarWarning, match="lacks blocks"), CarFile.open(path, "a") as file:
        file.put(*block(1000))
    with CarFile.open(path) as file:
        assert {bytes(name) for name, _ in file} == {block(number)[0] for number in (*range(100), 1000)}
        assert len(file) == 101
        assert file.scan_reason is None


def test_a_writer_that_has_found_an_index_wrong_writes_a_right_one(tmp_path: Path) -> None:
    """Also if nothing is put."""
    path = tmp_path / "a.car"
    lacking(path, 100, 50)
    with pytest.warns(CarWarning, match="lacks blocks"), CarFile.open(path, "a") as file:
        assert block(80)[0] in file
    with CarFile.open(path) as file:
        assert (len(file), file.scan_reason) == (100, None)


def test_a_sound_copy_that_the_index_lacks_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    lacking(path, 10, 10)
    with CarFile.open(path) as file:
        location = file.location(block(3)[0])
    archive = bytearray(path.read_bytes())
    archive[location.payload_offset] ^= 1
    header = CarReader(bytes(archive)).v2_header
    assert header is not None
    section = bytes(path.read_bytes()[location.offset :][: location.size])
    begin = header.index_offset
    longer = header._replace(data_size=header.data_size + len(section), index_offset=begin + len(section))
    path.write_bytes(encode_v2_header(longer) + bytes(archive[51:begin]) + section + bytes(archive[begin:]))
    with warned(path, "lacks blocks") as file:
        assert file.get(block(3)[0]) == block(3)[1]
        assert ABSENT not in file


def test_an_iteration_has_what_was_there_when_it_was_begun(tmp_path: Path) -> None:
    """Where blocks are put and written between its call and its first step, as by another thread, they do not count."""
    with CarFile.open(tmp_path / "x.car", "x") as file:
        file.put(cids.from_bytes(cid(b"first")), b"first")
        found = iter(file)
        file.put(cids.from_bytes(cid(b"second")), b"second")
        file.flush()
        assert [bytes(each) for each, _ in found] == [cid(b"first")]
