"""What an error leaves when it is dropped: nothing that waits for the garbage collector."""

import gc
import http.client
import io
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ipld_car import (
    CarFile,
    CarIndex,
    CarReader,
    CarWriter,
    IndexWriter,
    cids,
    ops,
    read_car,
    verify_block,
    walk_binary,
)
from ipld_car.codecs import dagcbor, dagjson, dagpb

from .support.car_samples import SMALL_V1, SMALL_V2, car_v1, car_v2, cid, section
from .support.cli_samples import Tree

HELD = (BaseException, types.FrameType, types.TracebackType)
Cycles = Callable[[list[Callable[[], object]]], tuple[int, list[str]]]


@pytest.fixture
def cycles() -> Iterator[Cycles]:
    """Call functions; return how many raised, and which errors and frames only the garbage collector would free."""

    def find(calls: list[Callable[[], object]]) -> tuple[int, list[str]]:
        # What the calls make is the youngest generation: to look at all that is older would take most of the time.
        gc.collect(0)
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            raised = sum(map(_raises, calls))
            gc.collect(0)
            return raised, [repr(each) for each in gc.garbage if isinstance(each, HELD)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

    gc.disable()
    try:
        yield find
    finally:
        gc.enable()


def _raises(call: Callable[[], object]) -> bool:
    try:
        call()
    except Exception:  # noqa: BLE001  # whatever it is
        return True
    return False


# -- archives -----------------------------------------------------------------------------------------

TREE = Tree()
FILE = TREE.file(b"hello world", "file")
FOLDER = TREE.folder(FILE, TREE.link("/etc", "absolute"), name="folder")
UNIXFS = TREE.car(TREE.folder(FOLDER))
NOT_CBOR = car_v1(section(b"\xff\xff", cid(b"\xff\xff", "dag-cbor")), roots=[cid(b"\xff\xff", "dag-cbor")])
BAD = {
    "empty": b"",
    "nonsense": b"nonsense",
    "header cut off": SMALL_V1[:20],
    "section cut off": SMALL_V1[:-1],
    "padded": SMALL_V1 + bytes(100),
    "CID": car_v1(section(b"a"), b"\x05\x01\x55\x12\x20\x00", section(b"b")),
    "length": SMALL_V1 + b"\x80",
    "damaged": SMALL_V1.replace(b"hello", b"jello"),
    "damaged UnixFS": UNIXFS.replace(b"hello world", b"jello world"),
    "missing block": TREE.car(TREE.folder(FOLDER), without=(FILE.cid,)),
    "no dag-cbor": NOT_CBOR,
    "CARv2 cut off": SMALL_V2[:100],
    "index": car_v2(SMALL_V1, index=b"\x81\x08\xff\xff\xff\x7f"),
}
ABSENT, HELLO, NEW = cid(b"not in any of these"), cid(b"hello"), cid(b"new")


def report(source: Path) -> None:
    """Hold a report in a frame that its error could hold."""
    found = ops.verify(source, every=True, on_verdict=lambda _: None)
    if found.error is not None:
        raise ValueError


def read_twice(reader: CarReader) -> None:
    assert _raises(lambda: list(reader))
    list(reader)


def read_file(path: Path, mode: str) -> None:
    with CarFile.open(path, mode) as file:  # type: ignore[arg-type]  # one of the modes
        for name in (*(name for name, _ in file), ABSENT):
            _raises(lambda name=name: file.get(name))  # type: ignore[misc]  # mypy knows no defaults of a lambda
        file.location(ABSENT)


VERBS: dict[str, Callable[[Path, Path], object]] = {
    "verify": lambda source, _: report(source),
    "list_blocks": lambda source, _: list(ops.list_blocks(source)),
    "list_paths": lambda source, _: list(ops.list_paths(source)),
    "get_block": lambda source, _: ops.get_block(source, ABSENT),
    "get_roots": lambda source, _: ops.get_roots(source),
    "find_implicit_roots": lambda source, _: ops.find_implicit_roots(source),
    "inspect": lambda source, _: ops.inspect(source, full=True),
    "cat": lambda source, _: list(ops.cat(source, "folder/file")),
    "extract": lambda source, folder: ops.extract(source, folder / "out"),
    "get_dag": lambda source, folder: ops.get_dag(source, folder / "out.car", strict=True),
    "filter_blocks": lambda source, folder: ops.filter_blocks(source, folder / "out.car", [ABSENT]),
    "concat": lambda source, folder: ops.concat([source, source], folder / "out.car"),
    "merge": lambda source, folder: ops.merge([source, source], folder / "out.car"),
    "split": lambda source, folder: ops.split(source, folder / "part", 100),
    "repair": lambda source, folder: ops.repair(source, folder / "out.car"),
    "convert": lambda source, folder: ops.convert(source, folder / "out.car"),
    "create_index": lambda source, folder: ops.create_index(source, folder / "out.idx"),
    "detach_index": lambda source, folder: ops.detach_index(source, folder / "out.idx"),
    "read_index": lambda source, _: list(ops.read_index(source)),
    "diff": lambda source, _: list(ops.diff(source, source)),
    "diff_paths": lambda source, _: list(ops.diff_paths(source, source)),
    "CarReader": lambda source, _: read_twice(CarReader(source.read_bytes())),
    "CarReader of a stream": lambda source, _: read_twice(CarReader(io.BytesIO(source.read_bytes()))),
    "read_car": lambda source, _: list(read_car(source.read_bytes())[1]),
    "CarFile": lambda source, _: read_file(source, "r"),
    "CarFile that appends": lambda source, _: read_file(source, "a"),
    "put_block": lambda source, _: ops.put_block(source, NEW, b"new"),
}


@pytest.mark.filterwarnings("ignore:.*was scanned")
@pytest.mark.parametrize("verb", VERBS)
def test_archives_that_are_bad(verb: str, tmp_path: Path, cycles: Cycles) -> None:
    calls: list[Callable[[], object]] = []
    for number, archive in enumerate(BAD.values()):
        path, folder = tmp_path / f"{number}.car", tmp_path / str(number)
        path.write_bytes(archive)
        folder.mkdir()
        calls.append(lambda path=path, folder=folder: VERBS[verb](path, folder))  # type: ignore[misc]  # mypy knows no defaults of a lambda
    raised, left = cycles(calls)
    assert raised > 2
    assert left == []


# -- streams and callbacks that fail ------------------------------------------------------------------


class Failing(io.RawIOBase):
    """A stream that fails after some bytes, with an error whose constructor takes more than its ``args``."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = data

    def read(self, size: int = -1, /) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        if not data:
            raise http.client.IncompleteRead(b"some", 100)
        return data

    def write(self, data: object, /) -> int:
        raise OSError(28, "No space left on device")


def fail(*_: object) -> None:
    raise RuntimeError("a callback that fails")


STREAMS: dict[str, Callable[[Path], object]] = {
    "CarReader": lambda _: read_twice(CarReader(Failing(SMALL_V1[:200]))),
    "verify": lambda _: ops.verify(Failing(SMALL_V1[:200])),
    "convert from": lambda _: ops.convert(Failing(SMALL_V1[:200]), io.BytesIO()),
    "merge from": lambda _: ops.merge([Failing(SMALL_V1[:200])], io.BytesIO()),
    "convert to": lambda _: ops.convert(SMALL_V1, Failing()),
    "filter to": lambda _: ops.filter_blocks(SMALL_V1, Failing(), [HELLO], version=1),
    "merge to": lambda _: ops.merge([SMALL_V1], Failing()),
    "create to": lambda _: ops.create(Failing(), [ops.NamedFile("a", b"a")], version=1),
    "create from": lambda folder: ops.create(folder / "a", [ops.NamedFile("a", Failing(b"some"))]),
    "create of nothing": lambda folder: ops.create(folder / "a", [folder / "none"]),
    "create into nothing": lambda folder: ops.create(folder / "none" / "a", [ops.NamedFile("a", b"a")]),
    "extract over files": lambda folder: ops.extract(UNIXFS, folder, skip_unsafe_links=True, force=False),
    "CarWriter": lambda _: CarWriter(Failing(), []),
    "IndexWriter": lambda _: IndexWriter().write(Failing()),
    "on_verdict": lambda _: ops.verify(SMALL_V1, every=True, on_verdict=fail),
    "on_entry": lambda folder: ops.extract(UNIXFS, folder / "b", skip_unsafe_links=True, on_entry=fail),
    "on_added": lambda folder: ops.create(folder / "a", [ops.NamedFile("a", b"a")], on_added=fail),
    "progress": lambda folder: ops.merge([UNIXFS, UNIXFS], folder / "a", progress=fail),
}


@pytest.mark.parametrize("verb", STREAMS)
def test_streams_and_callbacks_that_fail(verb: str, tmp_path: Path, cycles: Cycles) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"mine")
    assert cycles([lambda: STREAMS[verb](tmp_path)]) == (1, [])


def test_the_error_of_a_stream_is_raised_again() -> None:
    """The same class with the same attributes, whatever its constructor takes."""
    reader = CarReader(Failing(SMALL_V1[:200]))
    for _ in range(3):
        with pytest.raises(http.client.IncompleteRead) as caught:
            list(reader)
        assert (caught.value.partial, caught.value.expected) == (b"some", 100)


# -- blocks ---------------------------------------------------------------------------------------------

NO_BLOCKS: dict[bytes, bytes] = {}
CODECS: list[Callable[[], object]] = [
    lambda: dagcbor.decode(b"\xff\xff"),
    lambda: dagcbor.decode(b"\x81" * 5000),
    lambda: dagcbor.encode(object()),
    lambda: dagcbor.encode({1: 2}),
    lambda: dagjson.decode(b"\xff"),
    lambda: dagjson.decode(b"[" * 100000),
    lambda: dagjson.decode(b"{"),
    lambda: dagpb.decode(b"\xff\xff"),
    lambda: dagpb.decode(b"\x12\x02\x12\x05"),
    lambda: cids.to_bytes("ipfs://nonsense"),
    lambda: cids.to_bytes("nonsense"),
    lambda: cids.to_bytes(b"\x01\x55\x12\x20"),
    lambda: verify_block(cids.from_bytes(HELLO), b"b"),
    lambda: CarIndex(b"\x81\x08\xff\xff\xff\x7f"),
    lambda: list(walk_binary(NO_BLOCKS.__getitem__, FILE.cid)),
]


@pytest.mark.parametrize("number", range(len(CODECS)))
def test_blocks_and_cids_that_are_bad(number: int, cycles: Cycles) -> None:
    assert cycles([CODECS[number]]) == (1, [])


def test_values_that_are_good(cycles: Cycles) -> None:
    """A library that catches errors of its own leaves cycles too, with the frames of those who call it."""
    value = {"a": [1, "b", None]}
    assert cycles(
        [lambda: dagcbor.decode(dagcbor.encode(value)), lambda: dagcbor.decode_node(dagcbor.encode_node(value))]
    ) == (0, [])
