"""Repositories on a real IPFS node, Kubo: pinned whole, brought through archives, and headed by an IPNS name."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ipld_car import cids
from ipld_castore import IPFSStore
from ipldstore import IPLDStoreError, Repository
from multiformats import CID

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
