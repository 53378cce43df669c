"""Many committers at once lose nothing; a process that is killed leaves the old state or the new one."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ipldstore import Repository

from ..support.repositories import commit, contents_of, make
from .workers import committers

KILLS = int(os.environ.get("IPLD_TEST_KILLS", "10"))
"""How many processes are killed; 100 before a release."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are forked, and killed by signals")


def check_line(repo: Repository, writers: int, each: int) -> None:
    """Each commit of each writer is there, in one line, and the contents are those of all."""
    messages = [found.message for found in repo.log()]
    assert sorted(messages[:-1]) == sorted(f"{number} {at}" for number in range(writers) for at in range(each))
    assert all(len(found.parents) == 1 for found in list(repo.log())[:-1])
    assert repo.lookup().height == writers * each
    assert contents_of(repo) == {f"w{n}/{at}": b"%d" % at for n in range(writers) for at in range(each)}
    assert repo.verify() == writers * each + 1
    for number in range(writers):
        own = [message for message in reversed(messages) if message.startswith(f"{number} ")]
        assert own == [f"{number} {at}" for at in range(each)], "each writer's commits are in its order"


def commit_beside_each_other(where: str, writers: int, each: int, options: dict[str, Any]) -> None:
    context = multiprocessing.get_context("spawn")
    running = [
        context.Process(target=committers.commit_many, args=(where, number, each, options)) for number in range(writers)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * writers


def test_threads_that_commit_at_once() -> None:
    mapping: dict[str, bytes] = {}
    repo = Repository.create(mapping)
    start = threading.Barrier(4)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait()
            committers.commit_many(mapping, number, 5, {})  # type: ignore[arg-type]  # a mapping stands for an address
        except BaseException as error:  # noqa: BLE001  # told below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    check_line(repo, 4, 5)


def test_processes_that_commit_at_once(tmp_path: Path) -> None:
    where = str(tmp_path / "blocks")
    repo = make(where)
    commit_beside_each_other(where, 3, 3, {"fsync": False})
    check_line(repo, 3, 3)


@pytest.mark.slow
def test_sixteen_processes_of_twenty_commits(tmp_path: Path) -> None:
    where = str(tmp_path / "blocks")
    repo = make(where)
    commit_beside_each_other(where, 16, 20, {"fsync": False})
    check_line(repo, 16, 20)


@pytest.mark.slow
def test_sixteen_processes_of_twenty_commits_in_a_bucket(atomic_s3: Any, bucket: str) -> None:
    url, options = f"s3://{bucket}/air", atomic_s3.options()
    repo = Repository.create(url, storage_options=options)
    commit_beside_each_other(url, 16, 20, {"storage_options": options})
    check_line(repo, 16, 20)


def killed(where: str, verb: str, seconds: float) -> None:
    """Run a verb over and over in another process, and kill that process."""
    process = subprocess.Popen([sys.executable, "-m", committers.__name__, where, verb], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as told:
        assert told.readline() == b"ready\n"
        time.sleep(seconds)  # nothing depends on how long: each instant is one to be killed at
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("place", ["blocks", "air.car"])
def test_kills_leave_a_whole_repository(place: str, tmp_path: Path) -> None:
    where = str(tmp_path / place)
    with make(where) as repo:
        commit(repo, {"kept": b"always"})
    randomness = random.Random(1)
    height = 1
    for number in range(KILLS):
        verb = ("commit", "expire", "gc")[number % 3]
        killed(where, verb, randomness.random() / 5)
        with Repository.open(where, fsync=False) as repo:
            assert contents_of(repo)["kept"] == b"always"
            found = repo.lookup().height
            assert repo.verify() >= 2
            assert verb == "expire" or found >= height, "what was committed before is there"
            height = found
            commit(repo, {"after": b"%d" % number})
            height += 1
