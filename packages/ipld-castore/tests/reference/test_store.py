"""Changed files are errors that say where; an index from others opens nothing that was not allowed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    FileRefusedError,
    ReadOnlyStoreError,
    ReferenceCAStore,
    ReferenceIndexWriter,
)

from ..support.range_server import File, RangeServer
from .samples import SIZE, block, cid_of, index_of, write_file

FIVE = cid_of(block(5))


@pytest.fixture
def store(tmp_path: Path) -> ReferenceCAStore:
    write_file(tmp_path / "a.nc", range(4))
    write_file(tmp_path / "b.nc", range(4, 8))
    names = {str(tmp_path / "a.nc"): range(4), str(tmp_path / "b.nc"): range(4, 8)}
    return ReferenceCAStore(index_of(tmp_path / "x.index", names))


def change(path: Path, position: int) -> None:
    """Change one byte, and leave size and time as they are."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_blocks_are_ranges(store: ReferenceCAStore, tmp_path: Path) -> None:
    assert store.get(FIVE) == block(5)
    assert store.file_of(FIVE) == (str(tmp_path / "b.nc"), 4 + SIZE, SIZE)
    assert {str(cid) for cid in store} == {str(cid_of(block(number))) for number in range(8)}
    with pytest.raises(ReadOnlyStoreError):
        store.put(b"new")


def replace(path: Path) -> None:
    change(path, 4 + SIZE)


def truncate(path: Path) -> None:
    os.truncate(path, 4 + SIZE + 1)


@pytest.mark.parametrize("damage", [replace, truncate])
def test_a_changed_file_is_an_error_that_says_where(store: ReferenceCAStore, tmp_path: Path, damage: object) -> None:
    damage(tmp_path / "b.nc")  # type: ignore[operator]  # a function of the parameters
    with pytest.raises(BlockCorruptError, match=f"{FIVE}, 100 bytes at 104 of .*b.nc"):
        store.get(FIVE)
    with pytest.raises(BlockCorruptError, match=f"{FIVE}, 100 bytes at 104 of .*b.nc"):
        dict(store.get_many_raw([FIVE]))
    assert store.get(cid_of(block(0))) == block(0)
    (changed,) = store.verify()
    assert (changed.name, changed.offset, changed.cid) == (str(tmp_path / "b.nc"), 4 + SIZE, FIVE)
    assert (changed.changed, changed.blocks) == (1 if damage is replace else 3, 4)


def test_a_file_that_is_gone(store: ReferenceCAStore, tmp_path: Path) -> None:
    (tmp_path / "b.nc").unlink()
    with pytest.raises(BackendUnavailableError, match=f"{FIVE}, 100 bytes at 104 of .*b.nc"):
        store.get(FIVE)
    assert [changed.changed for changed in store.verify()] == [4]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nc")
    store = ReferenceCAStore(index_of(tmp_path / "x.index", {"a.nc": range(1)}))
    with pytest.raises(BackendUnavailableError, match="expected a file"):
        store.get(cid_of(block(0)))


def test_another_place_stands_in(tmp_path: Path) -> None:
    for name in "ab":
        write_file(tmp_path / name, range(2))
    store = ReferenceCAStore(index_of(tmp_path / "x.index", {"a": range(2), "b": range(2)}))
    change(tmp_path / "a", 4)
    assert store.get(cid_of(block(0))) == block(0)
    (tmp_path / "a").unlink()
    assert store.get(cid_of(block(1))) == block(1)


def test_a_pickle_reads_in_another_process(store: ReferenceCAStore) -> None:
    code = "import pickle, sys; store, cid = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(store.get(cid))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps((store, str(FIVE))), capture_output=True, check=True
    )
    assert done.stdout == block(5)
    assert pickle.loads(pickle.dumps(store)) == store  # noqa: S301  # its own


def test_several_indexes(tmp_path: Path) -> None:
    for number in range(3):
        write_file(tmp_path / f"{number}.nc", range(number, number + 1))
        index_of(tmp_path / f"{number}.index", {f"{number}.nc": range(number, number + 1)})
    store = ReferenceCAStore(tmp_path)
    assert [store.get(cid_of(block(number))) for number in range(3)] == [block(number) for number in range(3)]
    assert len(list(store)) == 3


# -- what an index from others may open --


def test_an_index_from_others_opens_nothing(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        write_file(folder / "x.nc", range(1))
    (inside / "link.nc").symlink_to(outside / "x.nc")
    cid = cid_of(block(0))
    for name in (str(outside / "x.nc"), "../outside/x.nc", "link.nc", "../inside/../outside/x.nc"):
        index_of(inside / "x.index", {name: range(1)}, made_here=False)
        for allow in ([], [inside], [f"{outside}/x"]):
            store = ReferenceCAStore(inside / "x.index", allow=allow)
            with pytest.raises(FileRefusedError, match="allow="):
                store.get(cid)
            with pytest.raises(FileRefusedError):
                list(store.verify())
        assert ReferenceCAStore(inside / "x.index", allow=[outside]).get(cid) == block(0)
        assert ReferenceCAStore(inside / "x.index", allow=[outside / "x.nc"]).get(cid) == block(0)


def test_a_link_that_moves_later(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    write_file(inside / "x.nc", range(1))
    write_file(tmp_path / "secret", range(1))
    (inside / "link").symlink_to(inside / "x.nc")
    index_of(inside / "x.index", {"link": range(1)}, made_here=False)
    store = ReferenceCAStore(inside / "x.index", allow=[inside])
    assert store.get(cid_of(block(0))) == block(0)
    (inside / "link").unlink()
    (inside / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(FileRefusedError):
        store.get(cid_of(block(0)))


def test_only_this_process_is_exempt(tmp_path: Path) -> None:
    """The same file, written by another process, opens nothing here."""
    write_file(tmp_path / "a.nc", range(1))
    index_of(tmp_path / "x.index", {"a.nc": range(1)})
    assert ReferenceCAStore(tmp_path / "x.index").get(cid_of(block(0))) == block(0)
    data = (tmp_path / "x.index").read_bytes()
    (tmp_path / "x.index").unlink()
    (tmp_path / "x.index").write_bytes(data)
    with pytest.raises(FileRefusedError):
        ReferenceCAStore(tmp_path / "x.index").get(cid_of(block(0)))


@pytest.mark.parametrize("prefix", ["", "https://me:pass@host/", "https://host/?x"])
def test_prefixes_that_say_nothing(tmp_path: Path, prefix: str) -> None:
    index_of(tmp_path / "x.index", {})
    with pytest.raises(ValueError, match="expected"):
        ReferenceCAStore(tmp_path / "x.index", allow=[prefix])


def test_a_prefix_is_in_a_list(tmp_path: Path) -> None:
    index_of(tmp_path / "x.index", {})
    with pytest.raises(TypeError, match="list"):
        ReferenceCAStore(tmp_path / "x.index", allow="/data")


# -- over HTTP --


def test_urls_and_redirects_are_held_to_the_prefixes(tmp_path: Path) -> None:
    with RangeServer() as server, RangeServer() as other:
        for each in (server, other):
            each.files["/data/x.nc"] = each.files["/x.nc"] = File(write_file(tmp_path / "x", range(2)))
        cid = cid_of(block(1))
        for path, prefix in (
            ("/x.nc", "/data"),
            ("/data/%2e%2e/x.nc", "/data"),
            ("/data/..;a/x.nc", "/data"),
            ("/data/x.nc", "/dat"),
        ):
            index_of(tmp_path / "x.index", {server.url + path: range(2)}, made_here=False)
            for allow in ([], [server.url + prefix], [other.url]):
                with pytest.raises(FileRefusedError):
                    ReferenceCAStore(tmp_path / "x.index", allow=allow).get(cid)
        assert server.asked == other.asked == []
        index_of(tmp_path / "x.index", {f"{server.url}/data/x.nc": range(2)}, made_here=False)
        assert ReferenceCAStore(tmp_path / "x.index", allow=[f"{server.url}/data"]).get(cid) == block(1)

        def redirect(handler: object) -> bool:
            handler.answer(302, b"", {"Location": f"{other.url}/x.nc"})  # type: ignore[attr-defined]  # a handler of the test server
            return True

        server.misbehaviour = redirect
        store = ReferenceCAStore(tmp_path / "x.index", allow=[server.url])
        with pytest.raises(FileRefusedError):
            store.get(cid)
        assert other.asked == []
        assert ReferenceCAStore(tmp_path / "x.index", allow=[server.url, other.url]).get(cid) == block(1)


def test_a_changed_file_on_a_server(tmp_path: Path) -> None:
    with RangeServer() as server:
        data = write_file(tmp_path / "x", range(4))
        server.files["/x.nc"] = File(data, etag=None, modified=None)
        index_of(tmp_path / "x.index", {f"{server.url}/x.nc": range(4)})
        store = ReferenceCAStore(tmp_path / "x.index", local=False)
        found = dict(store.get_many_raw([cid_of(block(number)) for number in range(4)]))
        assert sorted(found.values()) == [block(number) for number in range(4)]
        server.files["/x.nc"] = File(data[:110] + b"\1" + data[111:], etag=None, modified=None)
        with pytest.raises(BlockCorruptError, match=r"at 104 of http://.*x\.nc"):
            store.get(cid_of(block(1)))
        server.files["/x.nc"] = File(data[:-1])
        with pytest.raises(BackendUnavailableError, match=r"at 304 of http://.*x\.nc"):
            store.get(cid_of(block(3)))
        assert [changed.changed for changed in store.verify()] == [1]


def test_an_unknown_scheme(tmp_path: Path) -> None:
    index_of(tmp_path / "x.index", {"ftp://host/x.nc": range(1)})
    with pytest.raises(FileRefusedError, match="scheme 'ftp'"):
        ReferenceCAStore(tmp_path / "x.index").get(cid_of(block(0)))


def test_a_writer_that_fails_leaves_the_old_index(tmp_path: Path) -> None:
    index_of(tmp_path / "x.index", {"a": range(1)})
    before = (tmp_path / "x.index").read_bytes()
    with pytest.raises(ValueError, match="number of a file"), ReferenceIndexWriter(tmp_path / "x.index") as writer:
        writer.add(FIVE, 0, 0, 1)
    assert (tmp_path / "x.index").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.index"]
