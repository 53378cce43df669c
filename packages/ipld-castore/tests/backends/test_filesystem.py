"""FileSystemCAStore: its folder, and who else may be at work in it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from ipld_car import cids
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockNotFoundError,
    FileSystemCAStore,
)

DATA = b"some block" * 100


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "SHARDING"]


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    store = FileSystemCAStore(tmp_path / "a" / "b" / "c")
    assert store.path == tmp_path / "a" / "b" / "c"
    assert FileSystemCAStore(str(store.path)).get(store.put(DATA)) == DATA


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """A folder of something else is an error, and nothing is written to it."""
    (tmp_path / "thesis.tex").write_bytes(b"")
    with pytest.raises(BackendUnavailableError, match=r"SHARDING file, found 'thesis.tex'") as caught:
        FileSystemCAStore(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for path in (file, file / "below"):
        with pytest.raises(BackendUnavailableError, match="cannot keep blocks in"):
            FileSystemCAStore(path)


def test_a_new_folder_with_what_a_crash_left(tmp_path: Path) -> None:
    """A store continues a new folder whose maker was killed before it wrote the rule of shards."""
    (tmp_path / "put-0123").write_bytes(b"/repo/fla")
    store = FileSystemCAStore(tmp_path)
    assert store.get(store.put(DATA)) == DATA


def test_stores_of_one_folder_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores over one folder are equal however the path is written, also after a change of the working directory."""
    monkeypatch.chdir(tmp_path)
    store = FileSystemCAStore("blocks")
    (tmp_path / "link").symlink_to("blocks")
    for path in (tmp_path / "blocks", "./x/../blocks", "link"):
        other = FileSystemCAStore(path, fsync=False)
        assert other == store
        assert hash(other) == hash(store)
    assert FileSystemCAStore("others") != store
    assert repr(store) == f"<FileSystemCAStore: {tmp_path / 'blocks'}>"
    assert store.address == str(tmp_path / "blocks")
    monkeypatch.chdir("/")
    assert FileSystemCAStore(tmp_path / "blocks").get(store.put(DATA)) == DATA


@pytest.mark.skipif(os.name == "nt", reason="files have no such mode")
def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    """Files have the mode that the umask allows, as groups share folders of data."""
    before = os.umask(0o027)
    try:
        FileSystemCAStore(tmp_path / "blocks").put(DATA)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files(tmp_path)} == {0o640}


@pytest.mark.parametrize("bad", [b"", DATA[:-1], bytes(len(DATA))], ids=["emptied", "cut", "changed"])
@pytest.mark.parametrize("fsync", [True, False])
def test_what_a_crash_left_is_repaired(tmp_path: Path, bad: bytes, *, fsync: bool) -> None:
    """A block that a crash damaged is an error to read, and is replaced by a put."""
    store = FileSystemCAStore(tmp_path, fsync=fsync)
    cid = store.put(DATA)
    (file,) = files(tmp_path)
    file.write_bytes(bad)
    with pytest.raises(BlockCorruptError, match=f"{cid}.*{tmp_path}"):
        store.get(cid)
    assert store.put(DATA) == cid
    assert store.get(cid) == DATA
    assert files(tmp_path) == [file]


def test_a_block_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    """A block that is there is not written again, by another store either, so readers are not disturbed."""
    FileSystemCAStore(tmp_path).put(DATA)
    (file,) = files(tmp_path)
    before = file.stat()
    FileSystemCAStore(tmp_path).put(DATA)
    after = file.stat()
    assert after.st_ino == before.st_ino
    assert after.st_mtime_ns >= before.st_mtime_ns, "its age is renewed"


def test_a_shard_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """A shard that was removed while the store is open is made again."""
    store = FileSystemCAStore(tmp_path)
    cid = store.put(DATA)
    (file,) = files(tmp_path)
    file.unlink()
    file.parent.rmdir()
    assert list(store) == []
    with pytest.raises(BlockNotFoundError):
        store.get(cid)
    assert store.put(DATA) == cid
    assert store.get(cid) == DATA


@pytest.mark.skipif(os.name == "nt", reason="making links needs a privilege there")
def test_trouble_with_the_disk_is_no_absence(tmp_path: Path) -> None:
    """A file that cannot be read is an error with the CID and the message of the system, not an absent block."""
    store = FileSystemCAStore(tmp_path)
    cid = store.put(DATA)
    (file,) = files(tmp_path)
    file.unlink()
    file.symlink_to(file)  # a loop: as root no permission would stop the test
    for verb in (store.get, store.get_block, store.has_block, store.block_size, store.size):
        with pytest.raises(BackendUnavailableError, match=str(cid)) as caught:
            verb(cid)
        assert isinstance(caught.value, OSError)
        assert isinstance(caught.value.__cause__, OSError)


def test_a_folder_in_the_place_of_a_block(tmp_path: Path) -> None:
    store = FileSystemCAStore(tmp_path)
    cid = store.put(DATA)
    (file,) = files(tmp_path)
    file.unlink()
    file.mkdir()
    for verb in (lambda: store.get(cid), lambda: store.put(DATA), lambda: store.delete_block(cid)):
        with pytest.raises(BackendUnavailableError, match=str(cid)):
            verb()
    assert not list(tmp_path.rglob("put-*"))


# -- several at once --


def test_threads_may_make_one_store_at_once(tmp_path: Path) -> None:
    """Threads that make one store at the same time all get one, though the rule and shards appear meanwhile."""
    for attempt in range(60):
        folder, start = tmp_path / str(attempt), Barrier(8)

        def work(number: int, folder: Path = folder, start: Barrier = start) -> bytes:
            start.wait()
            store = FileSystemCAStore(folder, fsync=False)
            return bytes(store.put(b"%d" % number))

        with ThreadPoolExecutor(8) as pool:
            put = set(pool.map(work, range(8)))
        assert {bytes(cid) for cid in FileSystemCAStore(folder)} == put


WRITER = """
    import pathlib, sys, time
    from ipld_castore import FileSystemCAStore
    folder, go, number = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    print("ready", flush=True)
    while not go.exists():
        time.sleep(0.001)
    store = FileSystemCAStore(folder)
    for block in range(200):
        data = b"%d" % (block * 7 // (number + 1)) * 2000
        assert store.get(store.put(data)) == data
"""


def test_processes_write_one_folder(tmp_path: Path) -> None:
    """Processes put the same and other blocks into a folder that does not exist yet; all blocks are whole."""
    go = tmp_path / "go"
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path / "blocks"), str(go)]
    writers = [subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE) for number in range(4)]
    try:
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        go.touch()
        assert [writer.wait(60) for writer in writers] == [0] * 4
    finally:
        for writer in writers:
            writer.kill()
            assert writer.stdout is not None
            writer.stdout.close()
            writer.wait()
    expected = {b"%d" % (block * 7 // (number + 1)) * 2000 for block in range(200) for number in range(4)}
    store = FileSystemCAStore(tmp_path / "blocks")
    assert {store.get(cid) for cid in store} == expected
    assert not list((tmp_path / "blocks").rglob("put-*"))


def test_blocks_may_come_and_go_during_a_listing(tmp_path: Path) -> None:
    """A listing has each block that is there from its start to its end, whatever is put or deleted meanwhile."""
    store = FileSystemCAStore(tmp_path, fsync=False)
    stay = {store.put(b"stay %d" % number) for number in range(50)}
    go = {store.put(b"go %d" % number) for number in range(50)}
    listed = set()
    for cid in store:
        listed.add(cid)
        for gone in go:
            store.delete_block(gone)
        store.put(b"new %d" % len(listed))
        for shard in [path for path in tmp_path.iterdir() if path.is_dir() and not list(path.iterdir())]:
            shard.rmdir()
    assert stay <= listed
    assert {cids.multihash_of(bytes(cid)) for cid in store} >= {cids.multihash_of(bytes(cid)) for cid in stay}


def test_trouble_with_the_disk_in_every_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system is told by each verb that lists, deletes, or looks at a clock."""
    store = FileSystemCAStore(tmp_path, fsync=False)
    cid = store.put(DATA)
    (file,) = files(tmp_path)
    (file.parent / "put-0123456789abcdef").write_bytes(b"left by a writer that was killed")

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", fail)
    with pytest.raises(BackendUnavailableError, match=r"cannot list blocks.*denied"):
        list(store)
    monkeypatch.undo()
    for name in ("unlink", "rename"):
        monkeypatch.setattr(Path, name, fail)
    verbs: list[Callable[[], object]] = [
        lambda: store.delete_block(cid),
        lambda: list(store.delete_old([cid], before=1e12)),
        lambda: store.delete_leftovers(before=1e12),
    ]
    for verb in verbs:
        with pytest.raises(BackendUnavailableError, match=r"cannot delete.*denied"):
            verb()
    monkeypatch.undo()
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(BackendUnavailableError, match=r"cannot write to.*denied"):
        store.now()


def test_a_block_whose_time_cannot_be_renewed_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it is another user's: a collection would take the old file for garbage."""
    store = FileSystemCAStore(tmp_path, fsync=False)
    cid = store.put(DATA)
    (file,) = files(tmp_path)
    before = file.stat().st_ino

    def fail(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", fail)
    assert store.put(DATA) == cid
    assert file.stat().st_ino != before
