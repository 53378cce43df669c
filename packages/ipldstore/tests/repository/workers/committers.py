"""Programs that tests start as processes: committers, and verbs that are killed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from ipldstore import Repository


def commit_many(where: str, number: int, count: int, options: dict[str, Any]) -> None:
    """Make commits in one branch beside others, each of a key of its own."""
    repo = Repository.open(where, **options)
    for at in range(count):
        session = repo.writable_session("main")
        session.store[f"w{number}/{at}"] = b"%d" % at
        session.commit(f"{number} {at}", f"writer {number}", rebase=True, tries=1000)


def work(where: str, verb: str) -> None:
    """Do one thing over and over, and say when it begins; the parent kills this process."""
    repo = Repository.open(where, fsync=False)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for number in range(10**9):
        if verb == "commit":
            session = repo.writable_session()
            session.store[f"k/{number % 7}"] = b"%d" % number * 100
            session.commit(f"{number}")
        elif verb == "expire":
            session = repo.writable_session()
            session.store["e"] = b"%d" % number
            session.commit(f"{number}")
            repo.expire(datetime.now(UTC) - timedelta(milliseconds=20))
        else:
            session = repo.writable_session()
            session.store["g"] = b"%d" % number
            session.commit(f"{number}")
            repo.garbage_collect(timedelta(0))


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2])
