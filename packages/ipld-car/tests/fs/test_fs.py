"""What writers need of a file system: locks of the file that is in its place, files that appear whole."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest
from ipld_car import fs

TAKE = """
import sys
from pathlib import Path
from ipld_car import fs
try:
    fs.open_locked(Path(sys.argv[1]), exclusive=False)
except BlockingIOError:
    print("locked")
else:
    print("free")
"""


def taken_by_another(path: Path) -> bool:
    done = subprocess.run([sys.executable, "-c", TAKE, path], check=True, capture_output=True, text=True)
    return done.stdout == "locked\n"


def test_a_lock_holds_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file, made = fs.open_locked(path, exclusive=True)
    assert made
    assert taken_by_another(path)
    with pytest.raises(BlockingIOError, match="no other writer of"):
        fs.open_locked(path, exclusive=False)
    with pytest.raises(FileExistsError):
        fs.open_locked(path, exclusive=True)
    fs.unlock(file)
    assert not taken_by_another(path)
    file.close()


def test_a_lock_that_others_hold_for_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = fs.wait_locked(path)
    with pytest.raises(BlockingIOError):
        fs.wait_locked(path, seconds=0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(fs.wait_locked, path)
        fs.unlock(held)
        held.close()
        waiting.result().close()
    with pytest.raises(FileNotFoundError):
        fs.wait_locked(tmp_path / "none" / "lock")


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_is_there_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool) -> None:
    """Of writers that make one file at once, one succeeds, also where the file system has no hard links."""
    if not has_links:

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, "no hard links")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "name"
    with fs.atomic_write(path, exclusive=True) as stream:
        stream.write(b"first")
    with pytest.raises(FileExistsError), fs.atomic_write(path, exclusive=True) as stream:
        stream.write(b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_nothing(tmp_path: Path) -> None:
    """It can be neither opened nor made anew under its own name: this was tried for ever."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there")
    file, is_new = fs.open_locked(link, exclusive=False)
    file.close()
    assert is_new
    assert (tmp_path / "there").is_file()
    with pytest.raises(FileExistsError):
        fs.open_locked(link, exclusive=True)


@pytest.mark.skipif(os.name == "nt", reason="an open file is not removed there")
@pytest.mark.parametrize("what", ["removed", "replaced", "its folder is removed", "its folder is replaced"])
def test_a_locked_file_that_is_no_longer_in_its_place(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "file"
    file, _ = fs.open_locked(path, exclusive=True)
    fs.require_current(path, file)
    path.unlink()
    if what.startswith("its folder"):
        folder.rmdir()
        if what.endswith("replaced"):
            folder.write_bytes(b"a file")
    elif what == "replaced":
        path.touch()
        other, made = fs.open_locked(path, exclusive=False)
        assert not made
        other.close()
    assert not fs.is_current(path, file)
    with pytest.raises(fs.FileReplacedError, match="removed or replaced") as caught:
        fs.require_current(path, file)
    assert caught.value.filename == str(path)
    file.close()


@pytest.mark.parametrize("fsync", [True, False])
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, fsync: bool) -> None:
    path = tmp_path / "file"

    def interrupted() -> None:
        with fs.atomic_write(path, fsync=fsync) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"before")
    path.chmod(0o600)
    with fs.atomic_write(path, fsync=fsync, keep_mode=True) as stream:
        stream.write(b"after")
        stream.flush()
        assert path.read_bytes() == b"before"
        assert len(list(tmp_path.iterdir())) == 2
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"after", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_are_synced_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a machine that stops could leave a name with nothing behind it."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        steps.append("fsync")
        fsync(handle)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    with fs.atomic_write(tmp_path / "file", temporary=tmp_path / "mine") as stream:
        assert (tmp_path / "mine").exists()
        stream.write(b"all of it")
    assert steps == (["fsync", "replace"] if os.name == "nt" else ["fsync", "replace", "fsync"])


@pytest.mark.parametrize("fsync", [True, False])
def test_bytes_that_are_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: bool) -> None:
    """The system may take a part of the bytes at a time; the name comes behind all of them, or not at all."""
    path, temporary = str(tmp_path / "file"), str(tmp_path / "mine")
    steps: list[str] = []
    write, sync, replace = os.write, os.fsync, os.replace

    def write_a_part(handle: int, data: bytes) -> int:
        steps.append("write")
        return write(handle, data[:4])

    def noted_sync(handle: int) -> None:
        steps.append("fsync")
        sync(handle)

    def noted_replace(source: str, target: str) -> None:
        steps.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "write", write_a_part)
    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    fs.write_whole(path, b"all of it", temporary=temporary, fsync=fsync)
    folder = [] if os.name == "nt" else ["fsync"]
    assert steps == ["write"] * 3 + (["fsync", "replace", *folder] if fsync else ["replace"])
    assert Path(path).read_bytes() == b"all of it"

    monkeypatch.setattr(os, "replace", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fs.write_whole(path, b"another", temporary=temporary, fsync=fsync)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"all of it"]


UNFINISHED = """
import os, sys
from pathlib import Path
from ipld_car import fs
with fs.unfinished_beside(Path(sys.argv[1])) as folder:
    (folder / "part").write_bytes(bytes(9))
    print(folder.name, flush=True)
    sys.stdin.read()
"""


def test_what_killed_processes_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """It stayed for ever. Folders of running processes, and those for other names, stay."""
    path = tmp_path / "[x].zip"
    command = [sys.executable, "-c", UNFINISHED, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    killed, running = (subprocess.Popen(command, **pipes) for _ in range(2))  # type: ignore[call-overload]  # pipes
    names = [each.stdout.readline().strip() for each in (killed, running)]
    killed.kill()
    killed.wait()
    with fs.unfinished_beside(tmp_path / "y.zip"):
        assert len(list(tmp_path.iterdir())) == 3
    with fs.unfinished_beside(path) as folder:
        assert {each.name for each in tmp_path.iterdir()} == {names[1], folder.name}
    running.communicate()
    assert running.returncode == 0
    assert not list(tmp_path.iterdir())
    killed.communicate()
