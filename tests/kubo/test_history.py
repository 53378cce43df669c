"""Repositories on a real IPFS node, Kubo: pinned whole, brought through archives, and headed by an IPNS name."""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from ipld_car import cids
from ipld_castore import GatewayCAStore, IPFSStore
from ipldstore import (
    ConflictError,
    IPLDStoreError,
    Repository,
    RepositoryExistsError,
    RepositoryNotFoundError,
    recover,
    sessions,
)
from multiformats import CID

FaultProxy = importlib.import_module("packages.ipld-castore.tests.support.fault_proxy").FaultProxy

pytestmark = pytest.mark.kubo


def commit(repo: Repository, key: str, value: bytes, branch: str | None = None) -> None:
    with repo.transaction(branch, message=f"set {key}") as store:
        store[key] = value


def history() -> Repository:
    """A repository with a merge, a tag, and a value of several blocks."""
    repo = Repository.create({})
    commit(repo, "a", bytes(3_000_000))
    repo.create_branch("exp")
    commit(repo, "b", b"1", "exp")
    commit(repo, "c", b"1")
    repo.merge("exp")
    repo.create_tag("v1")
    return repo


def text(cid: CID) -> str:
    return cids.to_text(cids.to_bytes(cid))


def test_through_the_tools_that_people_have_and_back(node: Any, tmp_path: Path) -> None:
    """``to_car``, ``ipld-car verify``, ``dag import``, a recursive pin, ``dag export``: the same state."""
    repo = history()
    archive = tmp_path / "whole.car"
    archive.write_bytes(repo.to_car())
    done = subprocess.run(
        [sys.executable, "-m", "ipld_car", "verify", str(archive)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    state = text(repo.cid)
    told = node.run("dag", "import", "--pin-roots=true", "--stats=false", str(archive)).decode()
    assert state in told
    assert state in node.run("pin", "ls", "--type=recursive", "--quiet").decode()
    found = json.loads(node.run("dag", "get", f"{state}/branches/main/parents/0/message"))
    assert found == "set c", "IPLD paths lead through the history"
    back = Repository.from_car(node.run("dag", "export", state), str(tmp_path / "back"), fsync=False)
    assert text(back.cid) == state
    assert back.verify() == repo.verify() == 5
    assert back.graph() == repo.graph()


def test_the_log_of_a_repository_on_a_gateway_takes_few_round_trips(node: Any) -> None:
    """Kubo's gateway sends a path of commits as one CAR; requests follow each other, so each is a latency."""
    repo = Repository.create({})
    for number in range(120):
        commit(repo, "a", b"%d" % number)
    state = text(repo.cid)
    node.run("dag", "import", "--pin-roots=false", data=repo.to_car())
    with FaultProxy((node.repo / "gateway").read_text().strip()) as proxy, GatewayCAStore(proxy.url) as gateway:
        far = Repository.open(state, castore=gateway)
        asked = len(proxy.requests)
        assert [each.height for each in islice(far.log(), 100)] == list(range(120, 20, -1))
        assert len(proxy.requests) - asked <= 12
        assert not any("dag-scope=all" in each.path for each in proxy.requests)
        proxy.clear()
        assert Repository.open(state, castore=gateway).lookup("main~100").height == 20
        assert len(proxy.requests) <= 6


def test_a_repository_whose_head_is_an_ipns_name(node: Any) -> None:
    with IPFSStore(node.url) as castore:
        with pytest.raises(IPLDStoreError, match=r'name="\.\.\.'):
            Repository.create(castore)
        repo = Repository.create(castore, name="air")
        commit(repo, "a", b"1")
        commit(repo, "b", b"2")
        state = text(repo.cid)
        node.run("repo", "gc")
        again = Repository.open(castore, name="air")
        assert text(again.cid) == state
        assert dict(again.readonly_session().store.mapping) == {"a": b"1", "b": b"2"}
        assert again.verify() == 3
        with pytest.raises(IPLDStoreError, match="node collects"):
            again.garbage_collect(timedelta(0))
        pinned = [text(cid) for cid, _ in castore.pins()]
        assert state in pinned
        with pytest.raises(RepositoryExistsError, match=state):
            Repository.create(castore, name="air")
        with pytest.raises(RepositoryNotFoundError, match="found none"):
            Repository.open(castore, name="another")


def test_sessions_names_and_copies_where_the_head_is_an_ipns_name(node: Any) -> None:
    """All that a folder can, but for collecting: a node does that itself."""
    with IPFSStore(node.url) as castore:
        repo = Repository.open_or_create(castore, name="sea")
        one, two = repo.writable_session(), repo.writable_session()
        one.store["a"], two.store["b"] = b"1", b"2"
        one.commit("one")
        with pytest.raises(ConflictError, match="'one'"):
            two.commit("two")
        two.commit("two", rebase=True)
        repo.create_branch("exp", "main~1")
        commit(repo, "c", b"3", "exp")
        repo.merge("exp")
        repo.delete_branch("exp")
        repo.undo()
        assert sorted(repo.branches) == ["exp", "main"]
        here = Repository.from_car(repo.to_car())
        assert text(here.cid) == text(repo.cid)
        commit(here, "d", b"4")
        repo.pull(here)
        commit(here, "e", b"5")
        here.push(repo)
        assert text(here.cid) == text(repo.cid)
        assert sorted(repo.readonly_session().store) == ["a", "b", "c", "d", "e"]
        worker = pickle.loads(pickle.dumps(repo))  # noqa: S301  # its own
        commit(worker, "f", b"6")
        assert repo.lookup().message == "set f"
        assert repo.expire(timedelta(0))
        assert [each.message for each in repo.log()] == ["set f", "set c", ""], "the branch exp was merged"
        assert repo.verify() == 3
        keys = dict(reversed(line.split()) for line in node.run("key", "list", "-l").decode().splitlines())
        with Repository.open(f"ipns://{keys['sea']}", storage_options={"node": node.url}) as found:
            assert (found.read_only, text(found.cid)) == (True, text(repo.cid))


def test_what_is_recovered_is_a_commit_on_a_branch(node: Any) -> None:
    """As in a folder: the root alone was given, and nothing named it."""
    castore = IPFSStore(node.url)
    repo = Repository.create(castore, name="recovered")
    commit(repo, "a", b"1")
    session = repo.writable_session()
    worker = subprocess.run(
        [sys.executable, "-c", "import pickle, sys; pickle.load(sys.stdin.buffer)['w'] = b'written'"],
        input=pickle.dumps(session.store),
        capture_output=True,
        check=False,
    )
    assert worker.returncode == 0, worker.stderr
    session.store._data.closed = True  # as a killed process leaves it
    commit(repo, "b", b"by others")
    (left,) = [each for each in sessions(castore) if each.keys == ("w",)]  # other tests share the node
    root = recover(castore, left.name)
    branch = f"recovered-{left.name[:8]}"
    assert repo.lookup(branch).data == root
    repo.merge(branch)
    assert repo.readonly_session().store.mapping == {"a": b"1", "b": b"by others", "w": b"written"}
