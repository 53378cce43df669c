"""Why the journal of a node is not in its MFS: the node loses folders there that it has acknowledged.

Of 32 callers at once one makes a folder by ``files/mkdir``, as an exchange would need. But ``files/flush`` of a folder
above drops what the node has open below it. A call that is under way goes on with what was dropped, and puts it
in the place of what others have made since: an acknowledged folder is gone, and another caller can make it. The
journal is of pins, which :mod:`test_node_journal` shows to be safe.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier, Event
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.kubo

CALLERS, ROUNDS = 32, 3


@pytest.fixture
def files(kubo: Any) -> Any:
    """Calls of the node's ``files/...``; the folder ``/race`` is there meanwhile."""

    def call(verb: str, *arguments: str, **options: str) -> requests.Response:
        return requests.post(
            f"{kubo.url}/api/v0/files/{verb}",
            params=[*(("arg", each) for each in arguments), *options.items()],
            timeout=30,
        )

    assert call("mkdir", "/race").ok
    yield call
    assert call("rm", "/race", recursive="true", force="true").ok


def test_one_of_many_makes_a_folder(files: Any) -> None:
    """And the others are told that it is there."""
    start = Barrier(CALLERS)

    def make(name: str) -> requests.Response:
        start.wait()
        answer: requests.Response = files("mkdir", name)
        return answer

    with ThreadPoolExecutor(CALLERS) as pool:
        for number in range(ROUNDS):
            answers = list(pool.map(make, [f"/race/{number:016d}"] * CALLERS))
            lost = [answer.json()["Message"] for answer in answers if not answer.ok]
            assert len(lost) == CALLERS - 1
            assert set(lost) == {"file already exists"}


@pytest.mark.slow
def test_what_was_acknowledged_is_lost(files: Any) -> None:
    """Beside ``files/flush``, which anybody may call. Should this fail, Kubo was mended."""
    stop = Event()
    acknowledged: dict[str, set[str]] = {f"/race/{writer}": set() for writer in range(8)}

    def make(folder: str) -> None:
        assert files("mkdir", folder).ok
        for number in count():
            if stop.is_set():
                return
            if files("mkdir", f"{folder}/{number}").ok:
                acknowledged[folder].add(str(number))

    def flush() -> None:
        while not stop.is_set():
            files("flush", "/")

    def is_lost(folder: str) -> bool:
        made = set(acknowledged[folder])
        answer = files("ls", folder)
        there = {each["Name"] for each in answer.json()["Entries"] or ()} if answer.ok else set()
        return bool(made - there)

    with ThreadPoolExecutor(12) as pool:
        running = [pool.submit(make, folder) for folder in acknowledged] + [pool.submit(flush) for _ in range(4)]
        try:
            assert any(is_lost(folder) for _ in range(200) for folder in acknowledged)
        finally:
            stop.set()
    for each in running:
        each.exception()  # a folder of a writer may be lost too, with all below it
