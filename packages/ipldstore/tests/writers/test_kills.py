"""Processes that are killed in mid-write, or that freeze into one head at once: nothing noted is lost without a word.

``IPLD_TEST_KILLS`` is how many are killed of each kind, by default 10.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from ipldstore import IPLDStore

from ..support.processes import running
from ..support.store_samples import contents, written
from .workers import killed

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("IPLD_TEST_KILLS", "10"))
BASE = {"zarr.json": b"{}", "a/c/0": b"zero"}


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The arguments with which the dataset is opened."""
    if request.param == "folder":
        return {"what": str(tmp_path / "blocks"), "fsync": False}
    server, bucket = request.getfixturevalue("atomic_s3"), request.getfixturevalue("bucket")
    return {"what": f"s3://{bucket}/air", "storage_options": server.options()}


def where(place: dict[str, Any]) -> dict[str, Any]:
    """Return the place as ``sessions``, ``recover`` and ``compact`` take it."""
    options = {"storage_options": place["storage_options"]} if "storage_options" in place else {}
    return {"what": place["what"], **options}


def kill_after(lines: int, action: Callable[..., None], *task: Any) -> list[str]:
    """Kill a process some time after so many lines; return all that it has told."""
    with running(action, *task) as writer:
        assert writer.out.readline() == "ready\n"
        said = [writer.out.readline().strip() for _ in range(lines)]
        time.sleep(random.random() * 0.02)  # anywhere in a write; what is checked does not depend on it
        writer.process.kill()
        return said + [line.strip() for line in writer.out if line.endswith("\n")]


def test_workers(place: dict[str, Any], tmp_path: Path) -> None:
    """The keys that a dead worker told of are in the next freeze."""
    with ipldstore.open(**place, mode="a") as store:
        store.mapping.update(BASE)
        pickled = tmp_path / "pickled"
        pickled.write_bytes(pickle.dumps(store))
        said = []
        for number in range(KILLS):
            worker = killed.write_as_worker if number % 2 else killed.write_at_once
            said += kill_after(number % 7 + 1, worker, str(pickled))
            if number % 5 == 4:
                assert set(store) >= {*said, *BASE}
                store.freeze()
    check_what_is_left(place, said)


def test_coordinators(place: dict[str, Any]) -> None:
    """The session of a dead coordinator is found, and what was noted in it is recovered."""
    with ipldstore.open(**place, mode="a") as store:
        store.mapping.update(BASE)
    said = []
    for number in range(KILLS):
        own = kill_after(number % 7 + 1, killed.write_as_coordinator, place)
        (session,) = [each for each in ipldstore.sessions(**where(place)) if not each.ended]
        with ipldstore.open(**place) as found:
            frozen = IPLDStore(found.castore, root=session.root, read_only=True)
            assert set(own) <= {*session.keys, *frozen}
        root = ipldstore.recover(**where(place), name=session.name)
        said += own
        with ipldstore.open(**place) as found:
            assert found.root_cid == root
            assert set(found) >= {*said, *BASE}
    check_what_is_left(place, said)


def check_what_is_left(place: dict[str, Any], said: list[str]) -> None:
    """Find all that was told of, whole; and free all else, sessions too."""
    assert len(said) >= KILLS
    with ipldstore.open(**place) as found:
        values = contents(found)
        root = found.root_cid
    assert values.keys() >= {*said, *BASE}
    for key in values.keys() - BASE.keys():
        assert values[key] == killed.content(key), "whole"
    assert root == written(values).freeze()
    assert all(session.ended for session in ipldstore.sessions(**where(place)))
    ipldstore.compact(**where(place), older_than=timedelta(hours=-1))
    assert ipldstore.sessions(**where(place)) == []
    with ipldstore.open(**place) as found:
        assert contents(found) == values
        needed = {cid.raw_digest for cid, _ in found.castore.get_dag(found.freeze())}
        assert {cid.raw_digest for cid in found.castore} == needed  # type: ignore[attr-defined]  # both list
    if "storage_options" not in place:
        assert not list(Path(place["what"]).rglob("put-*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_many_freeze_into_one_head_at_once(place: dict[str, Any], tmp_path: Path) -> None:
    """Each success is in the chain of heads, and each loser was told."""
    with ipldstore.open(**place, mode="a") as store:
        store.mapping.update(BASE)
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    with running(killed.freeze_at_once, place, str(meeting), 20) as freezing:
        assert (freezing.err.read(), freezing.process.join(300), freezing.process.exitcode) == ("", None, 0)
    results = [json.loads((meeting / f"result-{number}").read_text()) for number in range(20)]
    done = [each for each in results if each is not None]
    assert done
    assert len(done) < 20, "they began at one head"
    steps = dict(done)
    assert len(steps) == len(done), "no two went on from one head"
    root = str(written(BASE).freeze())
    while root in steps:
        root = steps.pop(root)
    assert steps == {}, "none that succeeded is lost"
    with ipldstore.open(**place) as found:
        assert str(found.root_cid) == root
