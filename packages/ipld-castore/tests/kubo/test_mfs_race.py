"""Whether the MFS of a node exchanges atomically, as a journal in it would need: numbered names that one writer gets.

``IPFSStore`` has no journal: writers in other processes are refused, and told of forks. What is shown here is why one
could be built, or not: 32 callers at once make the folder of one number by ``files/mkdir`` without ``parents``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import requests
from ipld_castore import IPFSStore, SupportsJournal

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
    assert call("rm", "/race", recursive="true").ok


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


def test_one_of_many_gives_a_name_its_contents(files: Any, kubo: Any) -> None:
    """``files/cp`` puts a file at a name that is free, whole: what a state under a number would be exchanged by."""
    start = Barrier(CALLERS)
    with IPFSStore(kubo.url) as store:
        contents = [store.put_raw(b"%d" % caller) for caller in range(CALLERS)]
        store.flush()

    def give(name: str, caller: int) -> bool:
        start.wait()
        answer: requests.Response = files("cp", f"/ipfs/{contents[caller]}", name)
        return answer.ok

    with ThreadPoolExecutor(CALLERS) as pool:
        for number in range(ROUNDS):
            name = f"/race/{number:016d}"
            won = list(pool.map(give, [name] * CALLERS, range(CALLERS)))
            assert won.count(True) == 1
            assert files("read", name).content == b"%d" % won.index(True)


def test_a_node_has_no_journal(kubo: Any) -> None:
    with IPFSStore(kubo.url) as store:
        assert not isinstance(store, SupportsJournal)
