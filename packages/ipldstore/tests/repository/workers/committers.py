"""Programs that tests start as processes: committers, and verbs that are killed."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from ipldstore import IPLDStoreError, Repository


def commit_many(where: str, number: int, count: int, options: dict[str, Any]) -> None:
    """Make commits in one branch beside others, each of a key of its own."""
    repo = Repository.open(where, **options)
    for at in range(count):
        session = repo.writable_session("main")
        session.store[f"w{number}/{at}"] = b"%d" % at
        session.commit(f"{number} {at}", f"writer {number}", rebase=True, tries=1000)


def work(where: str, verb: str, options: dict[str, Any]) -> None:
    """Do one thing over and over, and tell of each commit; the parent kills this process."""
    repo = Repository.open(where, **options)
    tell(f"ready {os.getpid()}")
    for number in range(10**9):
        session = repo.writable_session()
        session.store[f"{verb}/{number % 7}"] = os.urandom(100)  # a change, whatever others before have left
        session.commit(f"{number}")
        if verb == "expire":
            repo.expire(datetime.now(UTC) - timedelta(milliseconds=20))
        elif verb == "gc":
            repo.garbage_collect(timedelta(0))
        elif verb == "undo":
            undo(repo)
        tell(str(repo.lookup().height))


def undo(repo: Repository) -> None:
    """Collect garbage and go back, as far as there is a way."""
    if "gone" in repo.branches:  # the one that was killed before has left it
        repo.delete_branch("gone")
    repo.create_branch("gone")
    with repo.transaction("gone", message="gone") as store:
        store["gone/0"] = os.urandom(100)
    repo.delete_branch("gone")
    repo.garbage_collect(timedelta(0))
    try:
        repo.undo()
    except IPLDStoreError as error:
        if "garbage collection" not in str(error) and "none that was not undone" not in str(error):
            raise
    if "gone" in repo.branches:
        repo.delete_branch("gone")


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Fork a process for each task, a line of JSON, and tell how that process has ended. Importing is done once."""
    while line := sys.stdin.readline():
        process = os.fork()
        if process == 0:
            work(**json.loads(line))
        _, status = os.waitpid(process, 0)
        tell(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
