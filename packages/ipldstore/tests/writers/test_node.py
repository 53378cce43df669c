"""Writers in other processes over an IPFS node: its collection takes nothing noted, sessions end, processes are killed.

The rules that hold anywhere are checked with folders and buckets, in the other modules of this folder.
"""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import ipldstore
import pytest
from ipld_castore.testing import BlockServer
from ipldstore import IPFSStore, IPLDStore, IPLDStoreError

from ..support.store_samples import contents, written
from .test_kills import KILLS, kill_after
from .workers import killed
from .workers.copies import Process

BASE = {"zarr.json": b"{}", "a/c/0": b"zero"}
LARGE = random.Random(5).randbytes(3 << 20)
SESSION = "ipld-castore-session/"


@pytest.fixture
def served() -> Iterator[IPFSStore]:
    with BlockServer() as server, IPFSStore(server.url) as castore:
        yield castore


@pytest.fixture
def node(kubo: Any) -> Iterator[IPFSStore]:
    with IPFSStore(kubo.url) as castore:
        yield castore
    kubo.empty()


def session_pins(castore: IPFSStore) -> list[str]:
    return [name.removeprefix(SESSION) for _, name in castore.pins() if name.startswith(SESSION)]


@pytest.mark.kubo
def test_what_is_noted_outlives_a_collection_of_the_node(node: IPFSStore, kubo: Any) -> None:
    """Blocks that no frozen root reaches, of a small chunk and of a UnixFS file, before and after they are taken in."""
    store = written(BASE, node)
    store.freeze()
    copy = Process("worker").open(pickle.dumps(store))
    copy["a/c/1"] = b"one"
    copy["a/c/2"] = LARGE
    kubo.run("repo", "gc", "--quiet")
    assert store["a/c/2"] == LARGE
    pickle.dumps(store)  # the session moves on to a root that has the notes, and that nothing pins yet
    copy["a/c/3"] = b"three"
    root = store.freeze()
    kubo.run("repo", "gc", "--quiet")
    expected = BASE | {"a/c/1": b"one", "a/c/2": LARGE, "a/c/3": b"three"}
    assert contents(IPLDStore(node, root=root)) == expected
    assert root == written(expected).freeze()


def test_closing_leaves_the_state_alone(served: IPFSStore) -> None:
    """Notes go when the root is pinned; the state stays for copies that still read, until it is compacted."""
    store = written(BASE, served)
    copy = Process("worker").open(pickle.dumps(store))
    copy["a/c/1"] = b"one"
    assert len(session_pins(served)) == 2
    root = store.freeze()
    assert [name.rpartition("/")[2] for name in session_pins(served)] == ["state"]
    copy["a/c/2"] = b"two"
    store.close()
    (session,) = ipldstore.sessions(served)
    assert (session.ended, session.keys) == (True, ())
    assert session.root != root
    assert contents(copy) == BASE | {"a/c/1": b"one", "a/c/2": b"two"}
    with pytest.raises(IPLDStoreError, match="closed"):
        copy["a/c/3"] = b"three"
    assert ipldstore.compact(served, timedelta(hours=1)) == ipldstore.Compacted(0, 0, 0)
    assert len(ipldstore.sessions(served)) == 1
    ipldstore.compact(served, timedelta(hours=-1))
    assert session_pins(served) == []


def test_a_session_whose_coordinator_died(served: IPFSStore) -> None:
    """It is found, recovered and pinned."""
    store = written(BASE, served)
    copy = Process("worker").open(pickle.dumps(store))
    copy["a/c/1"] = b"one"
    (session,) = ipldstore.sessions(served)
    assert (session.ended, session.keys, len(session.writers)) == (False, ("a/c/1",), 1)
    root = ipldstore.recover(served)
    assert root == written(BASE | {"a/c/1": b"one"}).freeze()
    assert root in [cid for cid, _ in served.pins()]
    assert [name.rpartition("/")[2] for name in session_pins(served)] == ["state"]
    with pytest.raises(IPLDStoreError):
        copy["a/c/2"] = b"two"
    store["a/c/3"] = b"three"
    with pytest.raises(IPLDStoreError, match="taken it over"):
        store.freeze()


def test_a_node_by_its_address(served: IPFSStore) -> None:
    """Its sessions are found, recovered, which pins the root, and compacted."""
    store = written(BASE, served)
    copy = Process("worker").open(pickle.dumps(store))
    copy["a/c/1"] = b"one"
    root = written(BASE).freeze()
    content: dict[str, Any] = {"what": f"ipfs://{root}", "storage_options": {"node": served.host}}
    (session,) = ipldstore.sessions(served.host)
    assert (session.keys, ipldstore.sessions(**content)) == (("a/c/1",), [session._replace(age=ANY)])
    assert ipldstore.recover(served.host) == written(BASE | {"a/c/1": b"one"}).freeze()
    assert written(BASE | {"a/c/1": b"one"}).freeze() in [cid for cid, _ in served.pins()]
    with pytest.raises(ValueError, match="older_than"):
        ipldstore.compact(served.host)
    store.abandon()  # sessions of stores that are open here stay
    ipldstore.compact(**content, older_than=timedelta(hours=-1))
    assert session_pins(served) == []


@pytest.mark.slow
@pytest.mark.kubo
def test_workers_that_are_killed(node: IPFSStore, kubo: Any, tmp_path: Path) -> None:
    """The keys that a dead worker told of are in the next freeze, whole, whatever the node has collected."""
    store = written(BASE, node)
    store.freeze()
    pickled = tmp_path / "pickled"
    pickled.write_bytes(pickle.dumps(store))
    said: list[str] = []
    for number in range(KILLS):
        said += kill_after(number % 7 + 1, killed.write_as_worker, str(pickled))
        if number % 5 == 4:
            kubo.run("repo", "gc", "--quiet")
            assert set(store) >= {*said, *BASE}
            store.freeze()
    check(store, said)
    store.close()
    ipldstore.compact(node, timedelta(hours=-1))
    assert session_pins(node) == []


@pytest.mark.slow
@pytest.mark.kubo
def test_coordinators_that_are_killed(node: IPFSStore, kubo: Any) -> None:
    """Their sessions are found, and what was noted in them is recovered."""
    root = written(BASE, node).freeze()
    said: list[str] = []
    for number in range(KILLS):
        told = kill_after(number % 7 + 1, killed.write_as_coordinator_on_node, kubo.url, str(root))
        (session,) = [each for each in ipldstore.sessions(node) if not each.ended]
        frozen = IPLDStore(node, root=session.root, read_only=True)
        assert set(told) <= {*session.keys, *frozen}
        kubo.run("repo", "gc", "--quiet")
        root = ipldstore.recover(node, session.name)
        said += told
    check(IPLDStore(node, root=root), said)


def check(store: IPLDStore, said: list[str]) -> None:
    values = contents(store)
    assert len(said) >= KILLS
    assert values.keys() >= {*said, *BASE}
    for key in values.keys() - BASE.keys():
        assert values[key] == killed.content(key), "whole"
    assert store.freeze() == written(values).freeze()


@pytest.mark.kubo
def test_copies_after_a_fork_see_each_other(node: IPFSStore) -> None:
    """The child counts its changes anew, and so came to as many as a copy had seen of those of the parent."""
    store = written(BASE, node)
    process = Process("worker")
    copy = process.open(pickle.dumps(store))
    store["a/c/1"] = b"one"
    other = process.open(pickle.dumps(store))
    other["a/c/2"] = b"two"
    assert copy["a/c/2"] == b"two"

    child = os.fork()
    if child == 0:
        try:
            other["a/c/3"] = b"three"
            os._exit(copy.mapping.get("a/c/3") != b"three")
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
