"""Repositories where they are: made, adopted, opened by the address, the CID, or as a store that commits."""

from __future__ import annotations

import copy
import gc
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from ipld_castore import BlockNotFoundError, ContentAddressableStore, FileSystemCAStore, MappingCAStore
from ipldstore import (
    ConflictError,
    IPLDStore,
    IPLDStoreError,
    RefNotFoundError,
    Repository,
    RepositoryExistsError,
    RepositoryNotFoundError,
)
from multiformats import CID

from ..support.repositories import START, commit, contents_of, make, text


@pytest.fixture(params=["air.car", "folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / request.param)


def test_opening_as_a_store_is_a_session_that_closing_commits(path: str) -> None:
    make(path).close()
    with ipldstore.open(path, "a", message="first", fsync=False) as store:
        store["a/0"] = b"one"
    with ipldstore.open(path, "a", fsync=False) as store:
        store["a/0"] = b"two"
    with ipldstore.open(path, "a", fsync=False):
        pass
    with ipldstore.open(path) as store:
        assert (store["a/0"], store.read_only) == (b"two", True)
    with Repository.open(path) as repo:
        assert [each.message for each in repo.log()] == ["close", "first", ""]


def test_opening_a_version(path: str) -> None:
    with make(path) as repo:
        commit(repo, {"a": b"1"}, time=START)
        commit(repo, {"a": b"2"}, time=START + timedelta(days=1))
        repo.create_tag("v1", "main~1")
        repo.create_branch("exp", "main~1")
        first = repo.lookup("v1").cid
    for options in ({"tag": "v1"}, {"commit": str(first)}, {"branch": "exp"}, {"as_of": START + timedelta(hours=1)}):
        with ipldstore.open(path, **options) as store:
            assert (store["a"], store.read_only) == (b"1", True)
    for ref in ("v1", "exp", "main~1", str(first)):
        with ipldstore.open(f"{path}@{ref}") as store:
            assert store["a"] == b"1"
    with ipldstore.open(path, "a", branch="exp", fsync=False) as store:
        store["b"] = b"3"
    with ipldstore.open(path, "a", tag="v1") as store:
        assert store.read_only
    with pytest.raises(RefNotFoundError, match="'nothing'"):
        ipldstore.open(path, tag="nothing")
    with Repository.open(path) as repo:
        assert contents_of(repo, "exp") == {"a": b"1", "b": b"3"}
        assert contents_of(repo, "main") == {"a": b"2"}


def test_a_message_is_of_a_commit_or_refused(tmp_path: Path) -> None:
    """It was dropped without a word where no commit is made."""
    repo, file = str(tmp_path / "repo.car"), tmp_path / "air.car"
    Repository.create(repo).close()
    ipldstore.open(file, "x").close()
    before = file.read_bytes()
    for what, mode in (
        (file, "a"),
        (tmp_path / "new.car", "a"),
        (tmp_path / "new", "a"),
        (tmp_path / "n", "x"),
        (repo, "r"),
    ):
        with pytest.raises(
            ValueError, match=r"expected (no message, as there is no repository|a message with the mode)"
        ):
            ipldstore.open(what, mode, message="lost")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected no version"):
        ipldstore.open(tmp_path / "new", "a", branch="main")
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["air.car", "repo.car"]


def test_after_a_conflict_at_closing_the_session_of_the_store_rebases(tmp_path: Path) -> None:
    Repository.create(tmp_path / "blocks").close()
    store = ipldstore.open(tmp_path / "blocks", "a")
    store["a/0"] = b"mine"
    with Repository.open(tmp_path / "blocks") as other, other.transaction(message="theirs") as theirs:
        theirs["b/0"] = b"theirs"
    with pytest.raises(ConflictError):
        store.close()
    store.session.rebase()
    store.close()
    with ipldstore.open(tmp_path / "blocks") as both:
        assert sorted(both) == ["a/0", "b/0"]
    assert ipldstore.IPLDStore().session is None


def test_a_store_keeps_its_changes_where_closing_conflicts(tmp_path: Path) -> None:
    path = str(tmp_path / "folder")
    repo = make(path)
    store = ipldstore.open(path, "a", fsync=False)
    store["a"] = b"mine"
    commit(repo, {"b": b"theirs"})
    with pytest.raises(ConflictError, match="expected the branch 'main'"):
        store.close()
    assert store["a"] == b"mine"
    repo.reset_branch("main", "main~1")
    store.close()
    assert contents_of(repo) == {"a": b"mine"}


def test_a_store_that_is_dropped_with_changes_that_no_commit_has_warns(tmp_path: Path) -> None:
    """A commit that has failed has written the tree, and the changes would be lost without a word."""
    path = str(tmp_path / "folder")
    repo = make(path)

    def drop() -> None:
        with pytest.raises(ConflictError), ipldstore.open(path, "a", fsync=False) as store:  # noqa: PT012  # closing is the last
            store["a"] = b"mine"
            commit(repo, {"b": b"theirs"})
        del store
        gc.collect()

    with pytest.warns(RuntimeWarning, match="not committed"):
        drop()


def test_closing_after_an_error_commits_what_was_written_as_every_store_keeps_it(path: str) -> None:
    """All or nothing is what a transaction does."""
    make(path).close()
    with pytest.raises(KeyError), ipldstore.open(path, "a", fsync=False) as store:  # noqa: PT012  # the error ends the block
        store["a"] = b"written"
        raise KeyError("in the middle")
    with ipldstore.open(path) as store:
        assert store["a"] == b"written"


def test_a_repository_in_another_process(path: str) -> None:
    """A folder is the same for both; a file has one writer, and a mapping is copied, so there it is only read."""
    with make(path) as repo:
        commit(repo, {"a": b"1"})
        found = pickle.loads(pickle.dumps(repo))  # noqa: S301  # its own
        assert contents_of(found) == {"a": b"1"}
        if path.endswith(".car"):
            assert found.read_only
        else:
            commit(found, {"b": b"2"})
            assert contents_of(repo) == {"a": b"1", "b": b"2"}
        with pytest.raises(TypeError, match=r"session\.fork"):
            pickle.dumps(repo.writable_session())
        again = copy.copy(repo)
        again.close()
        commit(repo, {"c": b"3"})
        assert contents_of(again) == contents_of(repo)
    memory = Repository.create({})
    assert pickle.loads(pickle.dumps(memory)).read_only  # noqa: S301  # its own
    with pytest.raises(TypeError, match="'nmae'"):
        Repository.open(path, nmae="air")


def test_commits_and_states_stand_for_roots() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    root = repo.lookup().data
    for cid in (root, repo.lookup().cid, repo.cid):
        store = IPLDStore(repo.castore, root=cid)
        assert text(store.root_cid) == text(root)
        assert store["a"] == b"1"
        assert ipldstore.open(cid, castore=repo.castore)["a"] == b"1"
        other = IPLDStore(repo.castore)
        other.set_root(cid)
        assert other["a"] == b"1"
    assert IPLDStore.from_car(repo.to_car())["a"] == b"1"
    assert ipldstore.open(repo.cid, castore=repo.castore, commit="main~1").mapping == {}
    with pytest.raises(ValueError, match="no version"):
        ipldstore.open(root, castore=repo.castore, branch="main")


def test_what_is_there_is_not_made_again(path: str) -> None:
    with make(path) as repo:
        commit(repo, {"a": b"1"})
        state = repo.cid
    with pytest.raises(RepositoryExistsError, match=r"Repository\.open"):
        make(path)
    with Repository.open_or_create(path) as repo:
        assert text(repo.cid) == text(state)


def test_a_root_without_history_is_adopted_on_demand(path: str) -> None:
    with ipldstore.open(path, "a", fsync=False) as store:
        store["a"] = b"1"
        root = store.freeze()
    with pytest.raises(RepositoryNotFoundError, match="adopt=True"):
        Repository.open(path)
    with pytest.raises(RepositoryExistsError, match="adopt=True"):
        make(path)
    with ipldstore.open(path) as store:
        assert store["a"] == b"1"
    with make(path, adopt=True) as repo:
        found = repo.lookup()
        assert (text(found.data), found.height) == (text(root), 1)
        assert contents_of(repo) == {"a": b"1"}
        assert repo.verify() == 2


def test_adopting_waits_for_the_writer_of_a_folder(tmp_path: Path) -> None:
    """Else what it freezes later would have nowhere to go."""
    path = str(tmp_path / "folder")
    with ipldstore.open(path, "a", fsync=False) as store:
        store["a"] = b"1"
        store.freeze()
        with pytest.raises(IPLDStoreError, match="writer"):
            make(path, adopt=True)
    make(path, adopt=True).close()


def test_nothing_is_there(tmp_path: Path) -> None:
    for name in ("air.car", "folder"):
        with pytest.raises(RepositoryNotFoundError, match="nothing"):
            Repository.open(str(tmp_path / name))
        assert not (tmp_path / name).exists()
    (tmp_path / "folder").mkdir()
    with pytest.raises(RepositoryNotFoundError, match="SHARDING"):
        Repository.open(tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []
    with pytest.raises(RepositoryNotFoundError):
        Repository.open({})
    with pytest.raises(IPLDStoreError, match="head"):
        Repository.create(NoHead())


def test_an_address_of_a_version_or_group_is_none_of_a_repository(path: str) -> None:
    make(path).close()
    for address in (f"{path}@main", f"{path}#group"):
        with pytest.raises(ValueError, match="without a version or a group"):
            Repository.open(address)
    with pytest.raises(ValueError, match="the CID of a state"):
        Repository.open("a.car", castore=MappingCAStore())


class NoHead(ContentAddressableStore):
    """A backend with the two verbs that it must have."""

    def get_block(self, cid: CID) -> bytes:
        raise BlockNotFoundError(str(cid))

    def put_block(self, cid: CID, data: bytes) -> None:
        raise AssertionError("nothing was to be put")


def test_by_the_cid_of_its_state_a_repository_only_reads() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    reader = Repository.open(repo.cid, castore=repo.castore)
    assert contents_of(reader) == {"a": b"1"}
    state = repo.cid
    commit(repo, {"a": b"2"})
    assert text(reader.cid) == text(state)
    for action in (lambda: reader.create_tag("v1"), reader.writable_session, reader.undo):
        with pytest.raises(IPLDStoreError, match="only be read"):
            action()


def test_a_dict_has_a_head_only_as_a_repository() -> None:
    mapping: dict[str, bytes] = {}
    store = IPLDStore(MappingCAStore(mapping))
    store["a"] = b"1"
    store.freeze()
    assert "HEAD" not in mapping
    Repository.create(mapping)
    assert mapping["HEAD"].decode().strip() == text(Repository.open(mapping).cid)


def test_the_store_of_another_process_reads_a_repository(tmp_path: Path) -> None:
    repo = make(str(tmp_path / "folder"))
    commit(repo, {"a": b"1"})
    head: Any = FileSystemCAStore(tmp_path / "folder").head
    assert text(head) == text(repo.cid)
