"""The repository writes what history.md says, byte for byte: its commits are those of the vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ipldstore import Commit, Repository
from ipldstore._revisions.times import to_datetime

from ..support.repositories import text


@pytest.fixture(scope="session")
def history(fixtures: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((fixtures / "history-vectors.json").read_text("utf-8"))
    return loaded


def commit(repo: Repository, branch: str, node: dict[str, Any], value: int) -> str:
    session = repo.writable_session(branch)
    session.store["x/0"] = str(value).encode()
    return text(session.commit(node["message"], node["author"], node.get("meta"), to_datetime(node["time"])))


def test_a_new_repository_is_the_same_everywhere(history: dict[str, Any]) -> None:
    repo = Repository.create({})
    assert (text(repo.cid), text(repo.branches["main"])) == (history["first_state"], history["first_commit"])
    assert text(repo.lookup().data) == history["empty_root"]
    with_blocks = {text(cid) for cid, _ in repo.castore.get_dag(repo.cid)}
    assert with_blocks == {history["first_state"], history["first_commit"], history["empty_root"]}


def test_the_commits_of_the_vectors(history: dict[str, Any]) -> None:
    """A line of 32 commits, one beside it, and a merge of both."""
    repo = Repository.create({})
    *line, side, merge = history["commits"]
    for value, vector in enumerate(line, 1):
        assert commit(repo, "main", vector["node"], value) == vector["cid"]
    repo.create_branch("side", "main~12")
    assert commit(repo, "side", side["node"], 100) == side["cid"]
    node = merge["node"]
    assert text(merged(repo, node)) == merge["cid"]
    for vector in history["ancestors"]:
        height = next(v["node"]["height"] for v in history["commits"] if v["cid"] == vector["from"])
        assert text(repo.lookup(f"{vector['from']}~{height - vector['height']}").cid) == vector["cid"]
    for vector in history["as_of"]:
        found: Commit = repo.readonly_session(commit=vector["from"], as_of=to_datetime(vector["time"])).base
        assert text(found.cid) == vector["cid"]
        assert text(repo.lookup(f"{vector['from']}@{to_datetime(vector['time']).isoformat()}").cid) == vector["cid"]
    assert repo.verify() == 35


def merged(repo: Repository, node: dict[str, Any]) -> Any:
    """Merge, and then write what the merge of the vectors has as contents in its place."""
    repo.merge("side", resolve="ours", message=node["message"], time=to_datetime(node["time"]))
    session = repo.writable_session()
    session.store["x/0"] = b"101"
    return session.amend(author=node["author"], time=to_datetime(node["time"]))
