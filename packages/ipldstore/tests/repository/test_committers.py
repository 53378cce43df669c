"""Many committers at once lose nothing; a process that is killed leaves the old state or the new one."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipldstore import IPLDStoreError, Repository

from ..support.processes import FRESH
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
    running = [
        FRESH.Process(target=committers.commit_many, args=(where, number, each, options)) for number in range(writers)
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


class Workers:
    """Starts processes that do one thing over and over, and kills them.

    :param where: the address of the repository
    """

    def __init__(self, process: subprocess.Popen[str], where: str, options: dict[str, Any]) -> None:
        self._process = process
        self._task = {"where": where, "options": options}

    def kill(self, verb: str, seconds: float) -> list[int]:
        """Kill a process that does a verb; return the heights of the commits that it has told of."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._task | {"verb": verb}) + "\n")
        self._process.stdin.flush()
        ready, number = self._process.stdout.readline().split()
        assert ready == "ready"
        time.sleep(seconds)  # nothing depends on how long: each instant is one to be killed at
        os.kill(int(number), signal.SIGKILL)
        told = []
        while (line := self._process.stdout.readline().strip()).isdecimal():
            told.append(int(line))
        assert line == f"ended {-signal.SIGKILL}"
        return told


@pytest.fixture(params=["folder", "file", "bucket"])
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Workers, str, dict[str, Any]]]:
    """Workers over a new repository, its address, and the options it is opened with."""
    if request.param == "bucket":
        where = f"s3://{request.getfixturevalue('bucket')}/air"
        options: dict[str, Any] = {"storage_options": request.getfixturevalue("atomic_s3").options()}
    else:
        where, options = str(tmp_path / {"folder": "blocks", "file": "air.car"}[request.param]), {"fsync": False}
    with Repository.create(where, **options) as repo:
        commit(repo, {"kept": b"always"})
    command = [sys.executable, "-m", committers.__name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Workers(process, where, options), where, options
        process.kill()


@pytest.mark.slow
def test_kills_leave_a_whole_repository(workers: tuple[Workers, str, dict[str, Any]]) -> None:
    """It opens at the old state or the new one, has each commit that was told of, and no undo leads to lost blocks."""
    processes, where, options = workers
    randomness = random.Random(1)
    for number in range(KILLS):
        verb = ("commit", "expire", "gc", "undo")[number % 4]
        told = processes.kill(verb, randomness.random() / 5)
        with Repository.open(where, **options) as repo:
            assert contents_of(repo)["kept"] == b"always"
            if verb != "expire":
                assert repo.lookup().height >= max(told, default=0)
            assert repo.verify() >= 2
            try:
                repo.undo()
            except IPLDStoreError as error:
                assert re.search("garbage collection has taken|none that was not undone", str(error))  # noqa: PT017  # either is right
            assert repo.verify() >= 1
            if "kept" not in contents_of(repo):  # that commit was undone
                commit(repo, {"kept": b"always"})
            commit(repo, {"after": b"%d" % number})
