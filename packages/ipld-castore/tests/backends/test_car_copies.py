"""Copies of a CarCAStore: pickles in this process and in others, and forks."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from ipld_castore import (
    BackendUnavailableError,
    BlockNotFoundError,
    CarCAStore,
)

COPY = """
import pickle, sys
from ipld_castore import BlockNotFoundError, ReadOnlyStoreError
for line in sys.stdin:
    verb, *arguments = line.split()
    if verb == "load":
        store = pickle.loads(bytes.fromhex(arguments[0]))
        print(store.address)
    elif verb == "get":
        try:
            print(store.get(arguments[0]).decode())
        except BlockNotFoundError:
            print("absent")
    elif verb == "head":
        print(store.head)
    else:
        try:
            store.put(b"by the copy")
        except ReadOnlyStoreError as error:
            print(error)
    sys.stdout.flush()
"""


class Copy:
    """A process with a store out of a pickle."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __call__(self, *words: object) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")


def test_a_pickle_in_another_process_reads(tmp_path: Path) -> None:
    """A pickle in another process reads blocks of before and of later flushes, and never writes."""
    command = [sys.executable, "-c", COPY]
    with (
        CarCAStore(tmp_path / "a.car") as store,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        copy = Copy(process)
        first = store.put(b"first")
        store.swap_head(None, first)
        assert copy("load", pickle.dumps(store).hex()) == store.address
        assert copy("get", first) == "first"
        assert copy("head") == str(first)
        assert "only reads, as it is a copy in another process" in copy("put")
        later = store.put(b"later")
        assert copy("get", later) == "absent"
        store.flush()
        assert copy("get", later) == "later"
        for _ in range(20):
            assert copy("load", pickle.dumps(store).hex()) == store.address
        handles = Path(f"/proc/{process.pid}/fd")
        if handles.is_dir():  # many pickles are one open file: to read, and mapped
            assert sum(handle.readlink() == store.path for handle in handles.iterdir()) == 2
        assert process.stdin is not None
        process.stdin.close()
    with CarCAStore(tmp_path / "a.car") as store:
        assert list(store) == [first, later]


def test_a_pickle_in_this_process_is_the_file(tmp_path: Path) -> None:
    """A pickle in the same process writes too. Closing it does not close the store that was pickled."""
    with CarCAStore(tmp_path / "a.car") as store:
        with pickle.loads(pickle.dumps(store)) as copy:  # noqa: S301  # our own
            assert copy == store
            assert hash(copy) == hash(store)
            cid = copy.put(b"by the copy")
        assert store.get(cid) == b"by the copy"
        store.put(b"still open")
        again = pickle.loads(pickle.dumps(copy))  # noqa: S301  # our own
        assert again.put(b"again") in store
    assert len(list(CarCAStore(tmp_path / "a.car", "r"))) == 3
    gone = pickle.dumps(store)
    del store, copy, again
    gc.collect()
    (tmp_path / "a.car").unlink()
    with pytest.raises(BackendUnavailableError):
        pickle.loads(gone)  # noqa: S301  # our own


def test_a_pickle_after_the_file_was_replaced(tmp_path: Path) -> None:
    """After the file was replaced, as compacting does, a pickle reads the new file."""
    path = tmp_path / "a.car"
    with CarCAStore(path) as store:
        cid = store.put(b"old")
    made = pickle.dumps(store)
    assert pickle.loads(made).get(cid) == b"old"  # noqa: S301  # our own
    with CarCAStore(tmp_path / "b.car") as store:
        new = store.put(b"new")
    (tmp_path / "b.car").replace(path)
    copy = pickle.loads(made)  # noqa: S301  # our own
    assert copy.get(new) == b"new"
    with pytest.raises(BlockNotFoundError):
        copy.get(cid)


FORK = """
import os, sys
from ipld_castore import CarCAStore, ReadOnlyStoreError
with CarCAStore(sys.argv[1]) as store:
    cid = store.put(b"held")
    if not (child := os.fork()):
        assert store.get(cid) == b"held"
        try:
            store.put(b"by the child")
        except ReadOnlyStoreError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks there")
def test_a_fork_reads(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORK, str(tmp_path / "a.car")], check=True)
    with CarCAStore(tmp_path / "a.car", "r") as store:
        assert len(list(store)) == 1
