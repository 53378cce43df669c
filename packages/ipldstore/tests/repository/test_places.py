"""Where a repository is not, or cannot be: each says what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest
from ipld_castore import MappingCAStore
from ipldstore import Repository, RepositoryNotFoundError


def test_places_without_a_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotFoundError, match="nothing at"):
        Repository.open(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RepositoryNotFoundError, match="SHARDING"):
        Repository.open(tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []


def test_an_address_of_a_version_or_group_is_none_of_a_repository(tmp_path: Path) -> None:
    path = str(tmp_path / "a.car")
    Repository.create(path).close()
    for address in (f"{path}@main", f"{path}#group"):
        with pytest.raises(ValueError, match="without a version or a group"):
            Repository.open(address)


def test_a_state_by_its_cid_is_read_only() -> None:
    repo = Repository.create({})
    again = Repository.open(repo.cid, castore=repo.castore)
    assert again.cid == repo.cid
    assert again.read_only
    with pytest.raises(ValueError, match="the CID of a state"):
        Repository.open("a.car", castore=MappingCAStore())
