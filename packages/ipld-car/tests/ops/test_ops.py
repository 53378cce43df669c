"""The operations as users of Python call them: paths, bytes and streams in, plain data out, nothing printed."""

import gc
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ipld_car import CarError, CarReader, cids, ops

from ..support.car_samples import MIXED, SMALL_V1, car_v1, car_v2, cid, outcome, section
from ..support.cli_samples import Tree

PADDED = car_v1(*MIXED[:3], roots=[cid(b"hello")]) + bytes(1000)
PADDED_V2 = car_v2(PADDED)


def test_what_is_exported_says_so() -> None:
    """Classes name the package that users import them from, and each name is documented."""
    for name in ops.__all__:
        exported = getattr(ops, name)
        if isinstance(exported, type):
            assert exported.__module__ == "ipld_car.ops"
            if issubclass(exported, Exception):
                assert issubclass(exported, CarError)
        if callable(exported) and not name[0].isupper():
            assert exported.__doc__, name


def test_operations_know_nothing_of_the_command() -> None:
    """Neither click nor tqdm is imported for them."""
    code = "import sys; from ipld_car import ops; print([n for n in sys.modules if n in ('click', 'tqdm')"
    code += " or n.startswith('ipld_car._cli')])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"[]\n"


@pytest.fixture(params=["path", "Path", "bytes", "bytearray", "stream", "pipe"])
def as_source(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], ops.Source]:
    """An archive in each of the forms that are taken."""

    def make(archive: bytes) -> ops.Source:
        path = tmp_path / "source.car"
        path.write_bytes(archive)
        if request.param == "pipe":
            here, there = os.pipe()
            os.write(there, archive)
            os.close(there)
            stream = os.fdopen(here, "rb")
            request.addfinalizer(stream.close)
            return stream
        forms: dict[str, Callable[[], ops.Source]] = {
            "path": lambda: str(path),
            "Path": lambda: path,
            "bytes": lambda: archive,
            "bytearray": lambda: bytearray(archive),
            "stream": lambda: io.BytesIO(archive),
        }
        return forms[request.param]()

    return make


def test_sources_and_targets_of_each_form(as_source: Callable[[bytes], ops.Source], tmp_path: Path) -> None:
    blocks = outcome(SMALL_V1).blocks
    assert [each.cid_bytes for each in ops.list_blocks(as_source(SMALL_V1))] == [name for name, _, _ in blocks]
    assert ops.verify(as_source(SMALL_V1)).blocks == len(blocks)
    assert ops.get_roots(as_source(SMALL_V1)) == [cids.from_bytes(cid(b"hello"))]
    assert ops.get_block(as_source(SMALL_V1), cid(b"hello")) == b"hello"
    assert ops.inspect(as_source(SMALL_V1), full=True).block_sizes.count == len(blocks)
    stream = io.BytesIO()
    assert ops.convert(as_source(SMALL_V1), stream) == len(blocks)
    ops.convert(as_source(SMALL_V1), tmp_path / "v2.car")
    assert (tmp_path / "v2.car").read_bytes() == stream.getvalue()
    assert outcome(stream.getvalue()).error is None
    again = io.BytesIO()
    ops.convert(as_source(stream.getvalue()), again, version=1)
    assert again.getvalue() == SMALL_V1
    written = ops.merge([as_source(SMALL_V1), SMALL_V1], tmp_path / "merged.car", version=1)
    assert written.blocks == len(blocks)
    assert (tmp_path / "merged.car").read_bytes() == SMALL_V1
    kept = ops.filter_blocks(as_source(SMALL_V1), io.BytesIO(), [cids.from_bytes(cid(b"hello"))])
    assert ops.filter is ops.filter_blocks
    assert (kept.roots, kept.blocks) == ([cids.from_bytes(cid(b"hello"))], 1)
    assert [change.sign for change in ops.diff(as_source(SMALL_V1), car_v1(*MIXED))] == ["-"]  # the root


def test_files_go_in_and_come_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    added: list[ops.Added] = []
    made = ops.create(
        tmp_path / "a.car", [tmp_path / "in", ops.NamedFile("b", io.BytesIO(b"bb"))], on_added=added.append
    )
    assert [(each.path, each.size) for each in added] == [("in/a.txt", 1), ("in", 0), ("b", 2), ("", 0)]
    assert made.root == ops.get_roots(tmp_path / "a.car")[0]
    assert [(each.path, str(each.kind)) for each in ops.list_paths(tmp_path / "a.car")] == [
        *(("b", "file"), ("in", "directory"), ("in/a.txt", "file"))
    ]
    assert b"".join(ops.cat(tmp_path / "a.car", "b", start=1)) == b"b"
    done = ops.extract(tmp_path / "a.car", tmp_path / "out")
    assert done == ops.Extracted(2, 0, 0, 0)
    assert (tmp_path / "out" / "in" / "a.txt").read_text() == "a"
    with pytest.raises(FileExistsError, match="is there already"):
        ops.extract(tmp_path / "a.car", tmp_path / "out")
    dag = ops.get_dag(tmp_path / "a.car", io.BytesIO())
    assert (dag.root, dag.blocks, dag.missing) == (made.root, made.blocks, [])
    parts = ops.split(tmp_path / "a.car", tmp_path / "part-", 200)
    assert sum(part.blocks for part in parts) == made.blocks
    assert all(part.path.stat().st_size == part.size for part in parts)


def test_what_is_not_there_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    path.write_bytes(SMALL_V1)
    with pytest.raises(ops.OperationError, match="does not have it"):
        ops.get_block(path, cid(b"absent"))
    with pytest.raises(ops.RefusedError, match="nothing is written over it"):
        ops.concat([path], path)
    with pytest.raises(ops.RefusedError, match="has its roots already"):
        ops.put_block(path, cid(b"x"), b"x", set_root=True)
    with pytest.raises(ops.RefusedError, match="expected a raw block of the CID"):
        ops.put_block(path, cid(b"x"), b"y")
    assert path.read_bytes() == SMALL_V1
    assert ops.put_block(path, cid(b"x"), b"x")
    assert not ops.put_block(path, cid(b"x"), b"x")


def test_progress_is_reported(tmp_path: Path) -> None:
    """A word, the bytes that are done, never fewer than before, and of how many."""
    path = tmp_path / "a.car"
    path.write_bytes(car_v1(*(section(bytes([number]) * 100_000) for number in range(50))))
    calls: list[tuple[str, int, int | None]] = []
    ops.verify(path, progress=lambda *call: calls.append(call))
    assert {what for what, _, _ in calls} == {"verifying"}
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert {total for _, _, total in calls} == {path.stat().st_size - CarReader(path.read_bytes()).header_end}


# -- archives that are padded with zeros ---------------------------------------------------------------------


def consume(found: object) -> object:
    return list(found) if isinstance(found, Iterator) else found


VERBS: dict[str, Callable[..., object]] = {
    "list": lambda archive, **more: consume(ops.list_blocks(archive, **more)),
    "get_block": lambda archive, **more: ops.get_block(archive, cid(b"hello"), **more),
    "get_dag": lambda archive, **more: ops.get_dag(archive, io.BytesIO(), cid(b"hello"), **more),
    "convert": lambda archive, **more: ops.convert(archive, io.BytesIO(), **more),
    "create_index": lambda archive, **more: ops.create_index(archive, io.BytesIO(), **more),
    "filter": lambda archive, **more: ops.filter_blocks(archive, io.BytesIO(), [], inverse=True, **more),
    "merge": lambda archive, **more: ops.merge([archive], io.BytesIO(), **more),
    "concat": lambda archive, **more: ops.concat([archive], io.BytesIO(), **more),
    "diff": lambda archive, **more: consume(ops.diff(archive, archive, **more)),
    "implicit": ops.find_implicit_roots,
    "inspect": lambda archive, **more: ops.inspect(archive, **{"zero_length_section_as_eof": False, **more}),
    "inspect full": lambda archive, **more: ops.inspect(
        archive, full=True, **{"zero_length_section_as_eof": False, **more}
    ),
}


@pytest.mark.parametrize("archive", [PADDED, PADDED_V2], ids=["CARv1", "CARv2"])
@pytest.mark.parametrize("verb", list(VERBS))
def test_padded_archives_are_read_by_one_option(verb: str, archive: bytes) -> None:
    """The error names it, in every operation alike."""
    with pytest.raises(CarError, match="zero_length_section_as_eof"):
        VERBS[verb](archive)
    VERBS[verb](archive, zero_length_section_as_eof=True)


@pytest.mark.parametrize("archive", [PADDED, PADDED_V2], ids=["CARv1", "CARv2"])
def test_padded_archives_are_verified_and_lose_their_zeros(archive: bytes, tmp_path: Path) -> None:
    report = ops.verify(archive, zero_length_section_as_eof=True)
    assert (report.is_good(), report.blocks, report.error) == (True, 3, None)
    refused = ops.verify(archive)
    assert (refused.is_good(), refused.blocks) == (False, 3)
    assert "zero_length_section_as_eof" in str(refused.error)
    target = io.BytesIO()
    ops.convert(archive, target, version=1, zero_length_section_as_eof=True)
    assert target.getvalue() == PADDED[:-1000]
    ops.split(archive, tmp_path / "p", 1 << 20, zero_length_section_as_eof=True)
    assert (tmp_path / "p0000.car").read_bytes() == PADDED[:-1000]


def test_padded_archives_in_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the zeros is not read, though another process may have begun with it."""
    monkeypatch.setattr("ipld_car.ops.parallel_verify.STEP", 1000)
    path = tmp_path / "a.car"
    blocks = [section(number.to_bytes(4) * 30) for number in range(100)]
    path.write_bytes(car_v1(*blocks) + bytes(1) + b"".join(blocks) + bytes(5000))
    for jobs in (1, 2):
        report = ops.verify(path, jobs=jobs, zero_length_section_as_eof=True)
        assert (report.is_good(), report.blocks) == (True, 100)


# -- links that lead out ---------------------------------------------------------------------------------------


def test_unsafe_links_are_left_out_by_option(tmp_path: Path) -> None:
    tree = Tree()
    links = [tree.link("/etc/passwd", "absolute"), tree.link("../x", "up"), tree.link("good", "inside")]
    archive = tree.car(tree.folder(tree.file(b"good", "good"), *links))
    with pytest.raises(CarError, match="skip_unsafe_links=True leaves"):
        ops.extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    entries: list[ops.ExtractedEntry] = []
    done = ops.extract(archive, tmp_path / "out", skip_unsafe_links=True, on_entry=entries.append)
    assert done == ops.Extracted(files=2, missing=0, missing_shards=0, unsafe_links=2)
    left_out = {entry.path: entry.unsafe_target for entry in entries if entry.unsafe_target is not None}
    assert left_out == {"/absolute": "/etc/passwd", "/up": "../x"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good", "inside"]
    assert (tmp_path / "out" / "inside").read_bytes() == b"good"


# -- what an error leaves ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no list of open files there")
def test_errors_leave_nothing_open(tmp_path: Path) -> None:
    """Without the garbage collector, while the error is still there."""
    path = tmp_path / "bad.car"
    path.write_bytes(car_v1(*MIXED[:2], b"\x05\x01"))
    verbs: list[Callable[[], object]] = [
        lambda: consume(ops.list_blocks(path)),
        lambda: ops.get_block(path, cid(b"hello")),
        lambda: ops.merge([path, path], tmp_path / "out.car"),
        lambda: ops.convert(path, tmp_path / "out.car"),
        lambda: ops.extract(path, tmp_path / "out"),
        lambda: ops.inspect(path, full=True),
    ]
    gc.collect()
    gc.disable()
    errors = []
    try:
        for verb in verbs:
            with pytest.raises(CarError) as caught:
                verb()
            errors.append(caught.value)
            maps = Path("/proc/self/maps").read_text()
            assert "bad.car" not in maps
            names = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]  # noqa: PTH208  # names are all that is needed
            assert not [name for name in names if os.path.realpath(name).endswith(".car")]
    finally:
        gc.enable()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bad.car"]
