"""Nothing is published into a place that is not the one that was opened; a failed close leaves nothing open."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from ipld_car import CarFile
from ipld_car.terminal.testing import Run
from ipld_castore import CarCAStore
from ipldstore import ConflictError, IPLDStoreError

from ..support.archive_samples import as_carv2
from ..support.open_samples import SOME, contents_of
from ..support.store_samples import contents, written


@pytest.fixture(params=["data.car", "folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.mark.skipif(os.name == "nt", reason="what is open cannot be removed there")
def test_a_store_whose_place_was_taken(path: Path) -> None:
    """Its root, whose chunks went with the old folder, was put into the HEAD of the new one."""
    old = ipldstore.open(path, "a", fsync=False)
    old["a/0"] = b"old"
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with ipldstore.open(path, "x", fsync=False) as new:
        new.mapping.update(SOME)
    with pytest.raises(ConflictError, match="removed or replaced"):
        old.close()
    assert contents_of(path) == SOME
    rescued = {"b/0": b"kept in memory"}
    assert "a/0" in old
    if isinstance(old.castore, CarCAStore):
        assert old.root_cid is not None  # what it would have published: its blocks went into the removed file
        old.castore.abandon()
    else:
        assert old.has_changes  # the new folder gets no block of the old store, so there is no root
    with pytest.warns(RuntimeWarning, match="not frozen"):
        del old
    with ipldstore.open(path, "a", fsync=False) as again:
        again.mapping.update(rescued)
    assert contents_of(path) == SOME | rescued


@pytest.mark.skipif(os.name == "nt", reason="what is open cannot be replaced there")
def test_a_file_that_is_replaced_while_it_is_compacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that is there in the end is left as it is, and nothing else."""
    path, other = tmp_path / "data.car", tmp_path / "other.car"
    for place, some in ((path, {"a/0": b"zero"}), (other, SOME)):
        with ipldstore.open(place, "a", fsync=False) as store:
            store.mapping.update(some)
    wanted = other.read_bytes()
    put = CarFile.put

    def put_and_replace(file: CarFile, *args: Any, **options: Any) -> Any:
        if other.exists():
            other.replace(path)
        return put(file, *args, **options)

    monkeypatch.setattr(CarFile, "put", put_and_replace)
    with pytest.raises(ConflictError, match="removed or replaced"):
        ipldstore.compact(path)
    assert path.read_bytes() == wanted
    assert list(tmp_path.iterdir()) == [path]


def test_pushing_under_changes(path: Path) -> None:
    """The head would move away from under the changes, which could not be frozen any more."""
    source = written(SOME)
    root = source.freeze()
    with ipldstore.open(path, "a", fsync=False) as store:
        store["a/0"] = b"a change"
        with pytest.raises(IPLDStoreError, match="freeze\\(\\) first"):
            ipldstore.push(root, source, store)
    assert contents_of(path) == {"a/0": b"a change"}


FULL = """
    import gc, resource, signal, sys, warnings, ipldstore
    gc.disable()
    warnings.simplefilter("ignore")  # that changes were dropped is said
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = sys.argv[1]
    with ipldstore.open(path, "a", fsync=False) as store:
        store["a/0"] = b"zero"

    def fill():
        with ipldstore.open(path, "a", fsync=False) as store:
            store["a/1"] = bytes(range(256)) * 16
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    try:
        fill()
        sys.exit("expected an error")
    except ipldstore.IPLDStoreError as error:
        print(type(error).__name__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    with ipldstore.open(path, "a", fsync=False) as store:
        print(sorted(store))
        store["a/2"] = b"two"
    with ipldstore.open(path) as store:
        print(sorted(store))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_after_a_full_disk_the_store_can_be_opened_again(path: Path, python: Run) -> None:
    """In the same process, without the garbage collector, and no finalizer prints a traceback."""
    done = python(textwrap.dedent(FULL), path)
    assert done.err == ""
    assert done.lines == ["StoreUnavailableError", "['a/0']", "['a/0', 'a/2']"]


@pytest.mark.parametrize("v2", [False, True], ids=["CARv1", "CARv2"])
def test_archives_that_are_padded_with_zeros(tmp_path: Path, *, v2: bool) -> None:
    """One option of one name reads archives padded as Filecoin pieces are, in every verb."""
    archive = written(SOME).to_car()
    if v2:  # the padding is within what the header says is the archive
        archive = as_carv2(archive + bytes(64))
    else:
        archive += bytes(64)
    file = tmp_path / "piece.car"
    file.write_bytes(archive)
    with ipldstore.open(file, zero_length_section_as_eof=True) as store:
        assert contents(store) == SOME
    assert contents(ipldstore.IPLDStore.from_car(archive, zero_length_section_as_eof=True)) == SOME
    assert sorted(ipldstore.car_references(file, zero_length_section_as_eof=True)) == sorted(SOME)
    with pytest.raises(ValueError, match="zero_length_section_as_eof"):
        ipldstore.car_references(file)
    with pytest.raises(ValueError, match="zero_length_section_as_eof"):
        ipldstore.IPLDStore().import_car(archive)


def test_documents_in_references_are_text(tmp_path: Path) -> None:
    """However their blocks are kept: kerchunk's parquet writer takes only chunks for ranges."""
    documents = {
        "zarr.json": b'{"zarr_format":3,"node_type":"group","attributes":{"x":NaN}}',
        "a/.zattrs": b'{"y":Infinity}',
        "b/.zattrs": b'{"text":"base64:AAAA"}',
        "c/.zattrs": b"base64:no JSON",
        "d/.zattrs": b"\xff\xfe",
    }
    file = tmp_path / "a.car"
    file.write_bytes(written({**documents, "a/0": b"chunk"}).to_car())
    references = ipldstore.car_references(file, url="u")
    for key in ("zarr.json", "a/.zattrs", "b/.zattrs"):
        assert references[key] == documents[key].decode()
    assert references["c/.zattrs"] == "base64:YmFzZTY0Om5vIEpTT04="
    assert references["d/.zattrs"] == "base64://4="
    assert isinstance(references["a/0"], list)
