"""xarray over repositories: versions by name, and writing as commits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ipldstore import Repository

from ..support.xarray_samples import example, xr


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A repository with three commits, a tag and a second branch."""
    path = tmp_path / "air"
    repository = Repository.create(path)
    for number in range(3):
        session = repository.writable_session()
        example(number).to_zarr(session.store, mode="w")
        commit = session.commit(f"number {number}")
        if number == 1:
            repository.create_tag("v1", commit)
            repository.create_branch("other", commit)
    return path


WAYS: list[tuple[str, dict[str, Any], int]] = [
    ("", {}, 2),
    ("", {"branch": "main"}, 2),
    ("@main", {}, 2),
    ("@main~1", {}, 1),
    ("@v1", {}, 1),
    ("", {"tag": "v1"}, 1),
    ("", {"branch": "other"}, 1),
]


@pytest.mark.parametrize(("tail", "options", "number"), WAYS)
def test_versions_by_name(tail: str, options: dict[str, Any], number: int, path: Path) -> None:
    """``ds.ipld.cid`` is the root of the version, and ``source`` what was opened."""
    with xr.open_dataset(f"{path}{tail}", **options) as found:
        xr.testing.assert_identical(found, example(number))
        assert found.encoding["source"] == f"{path}{tail}"
        with xr.open_dataset(f"{path}@v1") as tagged:
            assert (found.ipld.cid == tagged.ipld.cid) == (number == 1)


def test_a_commit_and_a_time(path: Path) -> None:
    repository = Repository.open(path)
    (newest, *_) = repository.log()
    with xr.open_dataset(path, engine="ipldstore", commit=newest.cid) as found:
        xr.testing.assert_identical(found, example(2))
    with xr.open_dataset(path, engine="ipldstore", as_of=datetime.now(UTC)) as found:
        xr.testing.assert_identical(found, example(2))


@pytest.mark.parametrize("kind", ["repository", "session"])
def test_objects(kind: str, path: Path) -> None:
    repository = Repository.open(path)
    what: Any = repository if kind == "repository" else repository.readonly_session(tag="v1")
    with xr.open_dataset(what) as found:
        xr.testing.assert_identical(found, example(2 if kind == "repository" else 1))
    if kind == "repository":
        with xr.open_dataset(what, engine="ipldstore", tag="v1") as found:
            xr.testing.assert_identical(found, example(1))


def test_writing_commits(path: Path) -> None:
    cid = example(5).ipld.to_ipld(f"{path}@other", mode="w", message="five")
    (newest, *_) = Repository.open(path).log("other")
    assert (newest.message, newest.data) == ("five", cid)
    with xr.open_dataset(path) as found:
        xr.testing.assert_identical(found, example(2))
    with pytest.raises(Exception, match="already contains data"):
        example(6).ipld.to_ipld(f"{path}@other")
    assert next(Repository.open(path).log("other")).cid == newest.cid
