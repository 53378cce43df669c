"""A dataset in a file or a folder: opened, frozen when it is closed, and never lost without a word."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import textwrap
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
from ipld_car import CarError, CarReader
from ipld_car.terminal.testing import Run
from ipld_castore import CarCAStore, FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError

from ..support.archive_samples import as_carv2
from ..support.open_samples import SOME, contents_of
from ..support.processes import FRESH, running
from ..support.processes.open_elsewhere import close_and_drop, freeze_for_ever
from ..support.store_samples import contents, written, zarr


@pytest.fixture(params=["data.car", "folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a store is to be: a file, or a folder."""
    return tmp_path / str(request.param)


def fill(path: Path, data: dict[str, bytes] = SOME) -> Any:
    with ipldstore.open(path, "a", fsync=False) as store:
        store.mapping.update(data)
    return store.root_cid


def test_written_and_read(path: Path) -> None:
    """By zarr; the root is what any store gives the contents, and is found again by the path alone."""
    with ipldstore.open(path, "x") as store:
        zarr.create_array(store, name="a", shape=(30,), chunks=(1,), dtype="i4")[:] = np.arange(30)
        assert store.root_cid is None
    root = store.root_cid
    assert root == written(contents_of(path)).freeze()
    assert store.freeze() == root  # asking a closed store for its root is no writing
    with ipldstore.open(str(path)) as found:
        assert found.root_cid == root
        assert found.read_only
        np.testing.assert_array_equal(zarr.open_group(found, mode="r")["a"][:], np.arange(30))
        with pytest.raises(ValueError, match="read-only"):
            found["b"] = b""
    with ipldstore.open(path, "a") as again:
        again["b"] = b"more"
    assert contents_of(path)["b"] == b"more"


def test_freezing_puts_the_root_there_at_once(path: Path) -> None:
    """For readers beside the writer; what they have opened stays as it was."""
    with ipldstore.open(path, "a") as store:
        store["a"] = b"1"
        first = store.freeze()
        with ipldstore.open(path) as reader:
            assert reader.root_cid == first
            store["a"] = b"2"
            second = store.freeze()
            assert reader["a"] == b"1"
            with ipldstore.open(path) as other:
                assert (other.root_cid, other["a"]) == (second, b"2")
        store.set_root(first)
    with ipldstore.open(path) as reader:
        assert reader.root_cid == first  # what the store had when it was closed


def test_a_store_over_a_file_needs_no_open(tmp_path: Path) -> None:
    """The store begins with the root of the file, and freezing writes the new root there."""
    castore = CarCAStore(tmp_path / "a.car")
    store = IPLDStore(castore)
    assert contents(store) == {}
    store.mapping.update(SOME)
    root = store.freeze()
    castore.close()
    assert [str(cid) for cid in CarReader((tmp_path / "a.car").read_bytes()).roots] == [str(root)]
    with CarCAStore(tmp_path / "a.car", "r") as castore:
        assert contents(IPLDStore(castore)) == SOME
        assert IPLDStore(castore).freeze() == root


def test_a_folder_without_open_has_no_root_of_its_own(tmp_path: Path) -> None:
    """Any number of datasets share one; so a Kubo folder stays as it is."""
    castore = FileSystemCAStore(tmp_path, fsync=False)
    root = written(SOME, castore).freeze()
    assert contents(IPLDStore(castore)) == {}
    assert not (tmp_path / "HEAD").exists()
    with pytest.raises(ValueError, match=r"HEAD.*root=cid.*swap_head\(None, cid\)"):
        ipldstore.open(tmp_path)
    assert not (tmp_path / "HEAD").exists()
    with ipldstore.open(tmp_path, "a", fsync=False) as store:
        assert contents(store) == {}
        store.set_root(root)
    assert contents_of(tmp_path) == SOME


def test_a_head_that_is_set_by_hand_is_opened(tmp_path: Path) -> None:
    """As the error advises."""
    castore = FileSystemCAStore(tmp_path, fsync=False)
    castore.swap_head(None, written(SOME, castore).freeze())
    assert contents_of(tmp_path) == SOME


def test_nothing_written_is_an_empty_dataset(path: Path) -> None:
    with ipldstore.open(path, "a"):
        pass
    assert contents_of(path) == {}
    with ipldstore.open(path, "a") as store:
        assert contents(store) == {}


@pytest.mark.parametrize("v2", [False, True], ids=["CARv1", "CARv2"])
def test_archives_of_others(tmp_path: Path, *, v2: bool) -> None:
    """Under any name, and continued."""
    store = written(SOME)
    archive = store.to_car()
    file = tmp_path / "archive"
    file.write_bytes(as_carv2(archive) if v2 else archive)
    assert contents_of(file) == SOME
    with ipldstore.open(file, "a") as opened:
        opened["more"] = b"more"
    assert contents_of(file) == SOME | {"more": b"more"}
    assert list(CarReader(file.read_bytes()))[: len(SOME)] == list(CarReader(as_carv2(archive) if v2 else archive))[:3]


def test_a_cid_with_a_store() -> None:
    castore = MappingCAStore()
    root = written(SOME, castore).freeze()
    for cid in (root, str(root)):
        with ipldstore.open(cid, castore=castore) as store:
            assert store.read_only
            assert contents(store) == SOME
        assert castore.get_raw(root)  # it was not opened here, so it is not closed here
        with pytest.raises(ValueError, match="castore"):
            ipldstore.open(cid)
        with pytest.raises(ValueError, match="mode"):
            ipldstore.open(cid, "a", castore=castore)
    with pytest.raises(CarError):
        ipldstore.open("no/cid", castore=castore)


# -- what cannot be opened --


def test_what_is_not_there_or_is_there_already(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=path.name):
        ipldstore.open(path)
    assert not path.exists()
    fill(path)
    with pytest.raises(FileExistsError):
        ipldstore.open(path, "x")
    with pytest.raises(ValueError, match="mode"):
        ipldstore.open(path, "w")  # type: ignore[arg-type]  # what people will try
    assert contents_of(path) == SOME


def test_one_writer_at_a_time(path: Path, python: Run) -> None:
    root = fill(path)
    with ipldstore.open(path, "a") as store:
        store["b"] = b"b"
        with pytest.raises(OSError, match="writer"):
            ipldstore.open(path, "a")
        with ipldstore.open(path) as reader:
            assert reader.root_cid == root
        # Nor from another process.
        refused = (
            "import sys, ipldstore\n"
            "try: ipldstore.open(sys.argv[1], 'a')\n"
            "except OSError as error: sys.exit(str(error))"
        )
        assert "writer" in python(refused, path, code=1).err
    with ipldstore.open(path, "a") as store:
        assert store["b"] == b"b"


# -- closing --


def test_closing(path: Path) -> None:
    """Twice, and by a view; nothing is written to what is closed."""
    store = ipldstore.open(path, "a")
    view = store.with_read_only(read_only=True)
    other = store.with_read_only()
    store["a"] = b"1"
    view.close()
    store["b"] = b"2"
    assert other["b"] == b"2"
    store.close()
    store.close()
    for each in (store, other):
        with pytest.raises(IPLDStoreError, match="closed"):
            each["c"] = b"3"
        with pytest.raises(IPLDStoreError, match="closed"):
            del each["a"]
    assert contents_of(path) == {"a": b"1", "b": b"2"}


def test_closing_after_an_error(path: Path) -> None:
    """Everything written before the error is there."""

    def write() -> None:
        with ipldstore.open(path, "a") as store:
            store["a"] = b"1"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert contents_of(path) == {"a": b"1"}


def test_closing_that_fails_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is still open, and closing it again goes on."""
    root = fill(path)
    store = ipldstore.open(path, "a")
    store["new"] = b"new"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(store.castore), "swap_head", full)
    with pytest.raises(IPLDStoreError, match="No space"):
        store.close()
    with ipldstore.open(path) as reader:
        assert reader.root_cid == root
    monkeypatch.undo()
    assert store["new"] == b"new"
    store["newer"] = b"newer"
    store.close()
    assert contents_of(path) == SOME | {"new": b"new", "newer": b"newer"}


def test_imports_and_roots_are_kept_too(path: Path) -> None:
    """Contents that came otherwise than by writing are contents."""
    archive = written({"from": b"afar"}).to_car()
    with ipldstore.open(path, "a") as store:
        store.import_car(archive)
        assert store.root_cid is not None
    assert contents_of(path) == {"from": b"afar"}


# -- dropped --


def test_dropping_changes_warns(path: Path) -> None:
    root = fill(path)
    store = ipldstore.open(path, "a")
    store["lost"] = b"lost"
    view = store.with_read_only()
    del store
    gc.collect()
    views = [view]
    del view
    assert views[0]["lost"] == b"lost"
    with pytest.warns(RuntimeWarning, match=f"{path.name}.*not frozen"):
        views.clear()
    with ipldstore.open(path) as reader:
        assert reader.root_cid == root
    with ipldstore.open(path, "a") as store:  # and the file or folder was let go
        assert store.root_cid == root


@pytest.mark.parametrize("end", ["del store", "pass"])
def test_who_runs_a_script_sees_the_warning(end: str, path: Path, python: Run) -> None:
    """Without any option; Python shows no ResourceWarning unless asked. The script may just end, too."""
    script = f"import ipldstore\nstore = ipldstore.open({str(path)!r}, 'a')\nstore['lost'] = b'lost'\n{end}"
    assert "was dropped with changes that are not frozen: close it" in python(script).err


def test_dropping_without_changes_is_silent(path: Path) -> None:
    """Dropping readers, and stores that ``open`` did not open, does not warn. (Warnings are errors here.)"""
    fill(path)
    for mode in ("r", "a"):
        store = ipldstore.open(path, mode)
        store["a/c/0"]
        if mode == "a":
            store["more"] = b"more"
            store.freeze()
        del store
        gc.collect()
    store = IPLDStore()
    store["a"] = b"a"
    del store
    gc.collect()
    with ipldstore.open(path, "a"):
        pass


@pytest.mark.parametrize("method", ["fork", "fresh"])
def test_copies_in_other_processes(path: Path, method: str) -> None:
    """Copies neither warn nor freeze, and leave open what the store has open."""
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("no forks there")
    with ipldstore.open(path, "a") as store:
        store["new"] = b"new"
        pickled = pickle.dumps(store)
        context: Any = multiprocessing.get_context("fork") if method == "fork" else FRESH
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            assert pool.submit(close_and_drop, pickled).result() == b"new"
        with pytest.raises(OSError, match="writer"):
            ipldstore.open(path, "a")
        store["newer"] = b"newer"
        copy = pickle.loads(pickled)  # noqa: S301  # made here
        copy.close()
        assert copy == store
    assert contents_of(path) == {"new": b"new", "newer": b"newer"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks there")
def test_a_fork_that_ends_leaves_the_store_alone(path: Path, python: Run) -> None:
    program = """
        import os, sys, warnings, ipldstore
        warnings.simplefilter("error")
        store = ipldstore.open(sys.argv[1], "a")
        store["a"] = b"1"
        child = os.fork()
        if not child:
            store.close()
            del store
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0
        store["b"] = b"2"
        store.close()
    """
    assert python(textwrap.dedent(program), path).err == ""
    assert contents_of(path) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("lines", [1, 7, 20])
def test_a_writer_that_is_killed(path: Path, lines: int) -> None:
    """What was frozen is there, or what was frozen after it; the next writer goes on."""
    with running(freeze_for_ever, str(path)) as writer:
        frozen = [writer.out.readline().strip() for _ in range(lines)]
        writer.process.kill()
        frozen += [line.strip() for line in writer.out if line.endswith("\n")]
    with ipldstore.open(path, "a") as store:
        assert int(store["number"]) >= len(frozen) - 1
        assert len(store["noise"]) == 3000
        if int(store["number"]) == len(frozen) - 1:
            assert str(store.root_cid) == frozen[-1]
        store["noise"] = b""
    assert contents_of(path)["noise"] == b""
