"""The commands about versions and names of a repository, as processes."""

from __future__ import annotations

from pathlib import Path

import ipldstore
import pytest
from ipld_car.terminal.testing import Run

from ..support.command import air_car
from ..support.repositories import commit, make


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two branches that differ, and a tag."""
    path = tmp_path / "air.car"
    repo = make(str(path))
    commit(repo, {"a": b"1", "b": b"1"}, message="first\x1b[2J")
    repo.create_tag("v1")
    repo.create_branch("side")
    commit(repo, {"a": b"2"}, message="second")
    commit(repo, {"b": b"2"}, "side", message="aside")
    repo.close()
    return path


def test_log(command: Run, repository: Path) -> None:
    """Commits come newest first, with all that they have; messages cannot command a terminal."""
    found = command("log", "--json", repository).json
    assert [each["message"] for each in found] == ["second", "first\x1b[2J", ""]
    assert [each["message"] for each in command("log", "--json", repository, "side", "-n", 1).json] == ["aside"]
    text = command("log", repository).text
    assert "    second" in text
    assert "\x1b" not in text
    assert "second" in command("log", "--graph", repository).text
    assert command("log", "--operations", "--json", repository).json[0]["operation"] == "commit side"
    assert "nowhere" in command("log", repository, "nowhere", code=1).err


def test_diff(command: Run, repository: Path, tmp_path: Path) -> None:
    """Two versions of one repository, and two files, differ in what was written; the exit code can say so."""
    assert command("diff", f"{repository}@v1", f"{repository}@main").lines == ["~ key a"]
    assert command("diff", "--json", f"{repository}@v1", repository).json == [{"key": "a", "change": "changed"}]
    command("diff", "--exit-code", f"{repository}@v1", repository, code=1)
    command("diff", "--exit-code", repository, repository)
    one, two = air_car(tmp_path / "one.car"), tmp_path / "two.car"
    two.write_bytes(one.read_bytes())
    with ipldstore.open(two, "a") as store:
        store["air/c/0/0"] = b"other"
    assert command("diff", one, two).lines == ["~ array air: chunks changed [0, 0]"]
    (line,) = command("diff", "--json", one, two).json
    assert line["chunks"]["changed"] == [{"start": [0, 0], "stop": [1, 1]}]


def test_names(command: Run, repository: Path) -> None:
    """Branches and tags are listed, made, moved, renamed and deleted; undo takes it back."""
    assert [line.split()[:2] for line in command("branch", repository).lines] == [
        ["*", "main"],
        ["side", command("branch", "--json", repository).json[1]["commit"]],
    ]
    command("branch", repository, "more", "v1")
    command("branch", repository, "more", "main", "--reset")
    command("branch", repository, "more", "--rename", "other")
    command("branch", repository, "other", "--default")
    found = {each["branch"]: each for each in command("branch", "--json", repository).json}
    assert sorted(found) == ["main", "other", "side"]
    assert found["other"]["default"]
    assert found["other"]["commit"] == found["main"]["commit"]
    command("branch", repository, "main", "--delete")
    command("undo", repository)
    assert "main" in command("branch", repository).text
    command("tag", repository, "v2", "side")
    assert [each["tag"] for each in command("tag", "--json", repository).json] == ["v1", "v2"]
    command("tag", repository, "v2", "--delete")
    assert len(command("tag", repository).lines) == 1
    command("tag", repository, "nope", "--delete", code=1)
    command("branch", repository, "--delete", code=2)
    command("branch", repository, "x", "--reset", code=2)


def test_merge(command: Run, repository: Path) -> None:
    """What only one side changed comes together; what both changed is listed and changes nothing."""
    command("merge", repository, "side")
    with ipldstore.open(repository) as store:
        assert (store["a"], store["b"]) == (b"2", b"2")
    with ipldstore.Repository.open(str(repository), fsync=False) as repo:
        commit(repo, {"b": b"3"})
        commit(repo, {"b": b"4"}, "side")
    before = command("branch", repository).text
    conflict = command("merge", repository, "side", code=1)
    assert "conflict: " in conflict.text
    assert "b" in conflict.text
    assert command("branch", repository).text == before
    command("merge", repository, "side", "--resolve", "theirs")
    with ipldstore.open(repository) as store:
        assert store["b"] == b"4"


def test_versions_open_everywhere(command: Run, repository: Path) -> None:
    """What looks at a dataset takes the version by address and by option."""
    assert command("cat", f"{repository}@v1", "a").out == b"1"
    assert command("cat", repository, "a", "--branch", "main").out == b"2"
    assert command("cat", repository, "b", "--branch", "side").out == b"2"
    assert command("cat", repository, "a", "--tag", "v1").out == b"1"
    assert "nope" in command("cat", repository, "a", "--tag", "nope", code=1).err
    assert "good: 4 commits" in command("verify", "--history", repository).text


def test_expire_and_gc(command: Run, repository: Path) -> None:
    """Expiring writes the kept commits anew; collecting says what it would free, and frees it."""
    command("expire", repository, "--older-than", "2026-01-01", code=2)
    assert len(command("expire", repository, "--older-than", "0s").lines) >= 2
    (planned,) = command("gc", repository, "--older-than", "0s", "--dry-run", "--json").json
    (done,) = command("gc", repository, "--older-than", "0s", "--json").json
    assert planned["freed_blocks"] == done["freed_blocks"] > 0
    command("verify", "--history", repository)
