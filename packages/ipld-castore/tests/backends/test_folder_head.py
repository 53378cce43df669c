"""The head and the lock of a folder: one chain of moves, one writer, and a folder that was replaced."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from ipld_castore import (
    BackendUnavailableError,
    FileSystemCAStore,
    HeadMovedError,
)


def test_a_head_stays_beside_the_blocks(tmp_path: Path) -> None:
    """The head is in a file that is not listed as a block."""
    store = FileSystemCAStore(tmp_path, fsync=False)
    assert store.head is None
    assert not (tmp_path / "HEAD").exists()
    cid = store.put({"root": 1})
    store.swap_head(None, cid)
    assert (tmp_path / "HEAD").read_text() == f"{cid}\n"
    assert FileSystemCAStore(tmp_path).head == cid
    assert pickle.loads(pickle.dumps(store)).head == cid  # noqa: S301  # made here
    assert len(list(store)) == 1
    assert [path.name for path in tmp_path.rglob("put-*")] == []


def test_persisting_in_a_folder_that_many_share(tmp_path: Path) -> None:
    """Persisting moves the head only for a dataset that was opened at it."""
    store = FileSystemCAStore(tmp_path, fsync=False)
    first, second = store.put(1), store.put(2)
    store.persist(first)
    assert store.head is None
    store.persist_moves_head = True
    store.persist(first)
    store.persist(second, first)
    with pytest.raises(HeadMovedError):
        store.persist(first)
    assert pickle.loads(pickle.dumps(store)).persist_moves_head  # noqa: S301  # made here
    assert store.head == second


SWAP = """
import sys
from ipld_castore import FileSystemCAStore, HeadMovedError
store, name = FileSystemCAStore(sys.argv[1], fsync=False), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
head, won = None, 0
for turn in range(int(sys.argv[3])):
    try:
        new = store.put(f"{name} {turn}")
        store.swap_head(head, new)
        print(head, new)
        head = new
    except HeadMovedError as error:
        head = error.found
"""


def test_processes_that_move_one_head(tmp_path: Path) -> None:
    """The moves of many processes form one chain: no move is lost, and none happens twice."""
    command = [sys.executable, "-c", SWAP, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*command, str(number), "100"], **pipes) for number in range(6)]  # type: ignore[call-overload]  # options by their names in a dict
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    moves = [tuple(line.split()) for process in running for line in process.communicate()[0].splitlines()]
    assert all(process.returncode == 0 for process in running)
    following = dict(moves)
    assert len(following) == len(moves) == len(set(following.values()))
    head, count = "None", 0
    while head in following:
        head, count = following[head], count + 1
    assert count == len(moves)
    assert str(FileSystemCAStore(tmp_path).head) == head


@pytest.mark.parametrize("text", [b"", b"nonsense\n", b"\xff" * 10_000])
def test_a_head_that_is_no_cid(tmp_path: Path, text: bytes) -> None:
    """A HEAD that is no CID is an error. Taken for no head, it would begin an empty dataset in place of the old one."""
    store = FileSystemCAStore(tmp_path, fsync=False)
    (tmp_path / "HEAD").write_bytes(text)
    with pytest.raises(BackendUnavailableError, match="head"):
        store.head  # noqa: B018  # a property that looks


def test_one_writer_has_the_lock(tmp_path: Path) -> None:
    """One writer has the lock. Others still put blocks and move the head. A pickle does not hold the lock."""
    store, other = FileSystemCAStore(tmp_path, fsync=False), FileSystemCAStore(tmp_path, fsync=False)
    with store.lock() as lock:
        assert lock.held
        with pytest.raises(BackendUnavailableError, match="no other writer"):
            other.lock()
        other.swap_head(None, other.put(1))
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # made here
        copy.swap_head(copy.head, copy.put(2))
        with pytest.raises(BackendUnavailableError):
            copy.lock()
    with other.lock():
        pass


FORKED_LOCK = """
import os, sys
from ipld_castore import BackendUnavailableError, FileSystemCAStore
store = FileSystemCAStore(sys.argv[1], fsync=False)
lock = store.lock()
if not (child := os.fork()):
    assert not lock.held
    lock.release()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert lock.held
try:
    FileSystemCAStore(sys.argv[1]).lock()
except BackendUnavailableError:
    lock.release()
    FileSystemCAStore(sys.argv[1]).lock().release()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks there")
def test_a_fork_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED_LOCK, str(tmp_path)], check=False, timeout=120)
    assert done.returncode == 0
    FileSystemCAStore(tmp_path).lock().release()
