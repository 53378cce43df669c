"""CarFile: a file that is replaced under its writer, and what an error leaves open: nothing."""

import errno
import gc
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ipld_car import CarError, CarFile, CarWarning, IndexWriter, cids, fs

from ..support.car_samples import SMALL_V1, SMALL_V2, car_v1, car_v2, cid, outcome, section
from ..support.file_samples import EMPTY_MAP, HELLO, WORLD, block, check_archive

pytestmark = pytest.mark.skipif(os.name == "nt", reason="an open file is neither removed nor replaced there")


# -- removed or replaced -----------------------------------------------------------------------------------


def replaced(path: Path) -> bytes:
    """Put another archive in the place of one."""
    path.unlink()
    with CarFile.open(path, "x") as other:
        other.put(WORLD, b"world")
    return path.read_bytes()


def test_a_file_that_is_replaced_under_its_writer(tmp_path: Path) -> None:
    """Nothing gets into the new one, flush and close say so, and what was put can still be had."""
    path = tmp_path / "a.car"
    file = CarFile.open(path, "x")
    file.put(HELLO, b"hello")
    file.roots = [cids.from_bytes(HELLO)]
    assert file.is_current
    other = replaced(path)
    assert not file.is_current
    for _ in range(2):
        with pytest.raises(fs.FileReplacedError, match="removed or replaced"):
            file.flush()
    assert file.get(HELLO) == b"hello"
    with pytest.raises(fs.FileReplacedError, match="removed or replaced"):
        file.close()
    assert file.closed
    assert path.read_bytes() == other
    check_archive(path, [(WORLD, b"world")], [EMPTY_MAP])


def test_a_file_that_is_moved_under_its_writer(tmp_path: Path) -> None:
    """It is finished where it is now."""
    path, elsewhere = tmp_path / "a.car", tmp_path / "b.car"
    file = CarFile.open(path, "x")
    file.put(HELLO, b"hello")
    path.rename(elsewhere)
    with pytest.raises(fs.FileReplacedError):
        file.flush()
    with pytest.raises(fs.FileReplacedError):
        file.close()
    assert not path.exists()
    check_archive(elsewhere, [(HELLO, b"hello")], [EMPTY_MAP])


def test_who_changes_nothing_hears_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    with CarFile.open(path, "x") as file:
        file.put(HELLO, b"hello")
    with CarFile.open(path, "a"):
        path.unlink()


def test_an_abandoned_file_does_not_take_another_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    file = CarFile.open(path, "x")
    other = replaced(path)
    file.abandon()
    assert path.read_bytes() == other


def test_a_file_that_is_replaced_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the lock and the second handle, which reads."""
    path = tmp_path / "a.car"
    with CarFile.open(path, "x") as file:
        file.put(HELLO, b"hello")
    open_locked = fs.open_locked

    def late(where: Path, *, exclusive: bool) -> object:
        found = open_locked(where, exclusive=exclusive)
        where.unlink()
        where.write_bytes(SMALL_V1)
        return found

    monkeypatch.setattr("ipld_car._file.handles.open_locked", late)
    with pytest.raises(fs.FileReplacedError):
        CarFile.open(path, "a")
    monkeypatch.undo()
    assert path.read_bytes() == SMALL_V1
    CarFile.open(path, "a").close()


# -- what an error leaves ------------------------------------------------------------------------------------


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def handles() -> list[str]:
    """What this process has open or mapped, of files in temporary folders."""
    if not sys.platform.startswith("linux"):
        pytest.skip("no list of open files there")
    found = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if _is_open(name)]  # noqa: PTH115, PTH208  # names are all that is needed
    mapped = [
        line.split(maxsplit=5)[5].strip() for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line
    ]
    # What tests before had open, in the same process, is deleted.
    return sorted(each for each in found + mapped if ".car" in each and not each.endswith("(deleted)"))


def _is_open(name: str) -> bool:
    return os.path.exists(f"/proc/self/fd/{name}")  # noqa: PTH110  # the handle of the list itself is gone


BAD = [
    b"nonsense",
    SMALL_V1[:20],
    SMALL_V2[:100],
    car_v1(section(b"a"), b"\x00", section(b"b")),
    SMALL_V1 + b"\x05\x01",
]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_failed_open_has_nothing_open(tmp_path: Path, bad: bytes, mode: str) -> None:
    """Though the error is still there, with its frames. A warning that is an error counts too."""
    path = tmp_path / "a.car"
    path.write_bytes(bad)
    with pytest.raises((CarError, CarWarning)) as caught:
        CarFile.open(path, mode)  # type: ignore[arg-type]  # one of the two
    assert handles() == []
    path.write_bytes(SMALL_V1)
    CarFile.open(path, "a").close()
    assert caught.value.__traceback__ is not None


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


VERBS: list[Callable[[CarFile], object]] = [
    lambda file: file.put(HELLO, bytes(2 << 20), verify=False),
    lambda file: file.flush(),
    lambda file: file.close(),
]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("number", range(len(VERBS)))
def test_a_full_disk_keeps_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Whatever fails: after close() the next writer of the same process has the file, at once."""
    path = tmp_path / "a.car"
    file = CarFile.open(path, "x")
    for each in range(100):
        file.put(*block(each))
    file.flush()
    file.put(cid(bytes(2 << 20)), bytes(2 << 20))  # the next put writes it
    errors: list[OSError] = []
    with monkeypatch.context() as patch:
        patch.setattr("ipld_car._file.append.write_at", full)
        for verb in (VERBS[number], lambda file: file.close()):
            try:
                verb(file)
            except OSError as error:
                errors.append(error)
    assert errors
    assert file.closed
    assert handles() == []
    with CarFile.open(path, "a") as again:
        assert len(again) == 100
        again.put(WORLD, b"world")
    assert outcome(path.read_bytes()).error is None


@pytest.mark.usefixtures("no_collector")
def test_errors_of_reading_are_freed_with_their_frames(tmp_path: Path) -> None:
    """Blocks that are absent or damaged: once the error is dropped, so are the file and its handles."""
    path = tmp_path / "a.car"
    path.write_bytes(SMALL_V1.replace(b"hello", b"jello"))
    file = CarFile.open(path)
    for name in (WORLD, HELLO):
        for verb in (file.get, file.location):
            with suppress(CarError):
                verb(name)
    del file, verb
    assert handles() == []


@pytest.mark.usefixtures("no_collector")
def test_a_file_that_is_dropped_and_cannot_be_finished_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no caller can take an error; it is not a traceback of a finalizer."""
    path = tmp_path / "a.car"
    file = CarFile.open(path, "x")
    file.put(HELLO, b"hello")
    monkeypatch.setattr("ipld_car._file.append.write_at", full)
    with pytest.warns(CarWarning, match=r"a\.car was not closed, and cannot be finished"):
        del file
    assert handles() == []


AT_EXIT = """
import errno, os, resource, signal, sys
from ipld_car import CarFile, cids, hashes

file = CarFile.open(sys.argv[1], "a")
file.put(cids.make(cids.RAW, hashes.sha2_256(b"new")), b"new")
if sys.argv[2] == "no room":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
elif sys.argv[2] == "failed sync":
    fsync = os.fsync
    def os_fsync(handle):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    os.fsync = os_fsync
    try:
        file.flush()
    except OSError as error:
        assert error.errno == errno.EIO
    os.fsync = fsync
if sys.argv[3] == "dropped":
    del file
print("end")
"""


@pytest.mark.parametrize("when", ["dropped", "at exit"])
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no room", "File too large"),
        ("failed sync", "a sync of this file has failed"),
        ("damage", "no writer makes one that long"),
    ],
)
def test_a_process_that_does_not_close_a_file_that_cannot_be_finished(
    tmp_path: Path, what: str, words: str, when: str
) -> None:
    """One warning, no traceback, and the next writer has the file."""
    path = tmp_path / "a.car"
    if what == "damage":  # found when the index, which lacks a block, is compared with the blocks
        path.write_bytes(car_v2(car_v1(section(b"a"), b"\xff\xff\xff\x7f", section(b"b")), index=index_of(b"a")))
    # Coverage could not write its own file either.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", AT_EXIT, str(path), what, when]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "end\n"
    assert done.stderr.count("CarWarning") == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr


def index_of(data: bytes) -> bytes:
    """An index with the one block of ``data``, the first behind a header without roots."""
    writer, stream = IndexWriter(), io.BytesIO()
    writer.add(cid(data), outcome(car_v1(section(data))).blocks[0][2].offset)
    writer.write(stream)
    return stream.getvalue()
