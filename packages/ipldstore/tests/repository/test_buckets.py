"""A repository in a bucket of a real S3 server, verb by verb: one object moves, and nothing is kept by its name."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import ipldstore
import pytest
from ipldstore import ConflictError, IPLDStoreError, Repository, RepositoryExistsError, RepositoryNotFoundError

from ..support.repositories import commit, contents_of, text


@pytest.fixture
def where(atomic_s3: Any, bucket: str) -> tuple[str, dict[str, Any]]:
    """The address of a place in a bucket, and the options it is opened with."""
    return f"s3://{bucket}/air", {"storage_options": atomic_s3.options()}


def test_what_a_folder_can_a_bucket_can(where: tuple[str, dict[str, Any]]) -> None:
    url, options = where
    with pytest.raises(RepositoryNotFoundError, match="found none"):
        Repository.open(url, **options)
    repo = Repository.create(url, **options)
    with pytest.raises(RepositoryExistsError, match=text(repo.cid)):
        Repository.create(url, **options)
    one, two = repo.writable_session(), Repository.open(url, **options).writable_session()
    one.store["a"], two.store["b"] = b"1", b"2"
    one.commit("one", "Ada")
    with pytest.raises(ConflictError, match="'one' by 'Ada'"):
        two.commit("two")
    two.commit("two", rebase=True)
    repo.create_branch("exp", "main~1")
    commit(repo, {"c": b"3"}, "exp")
    repo.merge("exp")
    repo.create_tag("v1")
    fork = pickle.loads(pickle.dumps(one.fork()))  # noqa: S301  # its own
    one.rebase()
    with pickle.loads(pickle.dumps(repo)) as worker:  # noqa: S301  # its own
        commit(worker, {"d": b"4"})
    assert fork.read_only is False
    with ipldstore.open(url, "a", message="closed", **options) as store:
        store["e"] = b"5"
    with ipldstore.open(f"{url}@v1", **options) as store:
        assert sorted(store) == ["a", "b", "c"]
    assert [each.message for each in repo.log()][:2] == ["closed", "set d"]
    copy = Repository.from_car(repo.to_car())
    assert text(copy.cid) == text(repo.cid)
    commit(copy, {"f": b"6"})
    copy.push(url, **options)
    assert text(repo.cid) == text(copy.cid)
    commit(repo, {"g": b"7"})
    copy.pull(url, **options)
    assert contents_of(copy)["g"] == b"7"
    assert repo.verify() == copy.verify() == 9


def test_a_bucket_is_freed_of_what_no_name_reaches(where: tuple[str, dict[str, Any]]) -> None:
    url, options = where
    repo = Repository.create(url, **options)
    commit(repo, {"a": b"1"})
    repo.create_branch("exp")
    commit(repo, {"b/0": b"gone", "b/1": b"gone too"}, "exp")
    lost = repo.branches["exp"]
    repo.delete_branch("exp")
    assert repo.garbage_collect(timedelta(days=1)).freed_blocks == 0
    repo.undo()
    assert repo.branches["exp"] == lost
    repo.delete_branch("exp")
    repo.expire(timedelta(0))
    told = repo.garbage_collect(timedelta(seconds=-2), dry_run=True)  # a second is what S3 tells times by
    done = repo.garbage_collect(timedelta(seconds=-2))
    assert told[:2] == done[:2]
    assert done.freed_blocks > 4
    for ref in (lost, str(lost)):
        with pytest.raises(IPLDStoreError, match="no block"):
            repo.create_branch("back", ref)
    with pytest.raises(IPLDStoreError, match="garbage collection"):
        repo.undo()
    assert contents_of(Repository.open(url, **options)) == {"a": b"1"}
    assert repo.verify() == 2
