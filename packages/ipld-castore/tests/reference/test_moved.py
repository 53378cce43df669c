"""Files that were moved are read where they are now, if that is allowed; hashes tell whether they are the same."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from ipld_castore import BlockCorruptError, FileRefusedError, ReferenceCAStore
from ipld_castore._reference.moved import MovedFiles

from ..support.range_server import File, RangeServer
from .samples import block, cid_of, index_of, write_file

ZERO = cid_of(block(0))


def moved_store(tmp_path: Path, name: str = "old/a.nc") -> Path:
    """Write an index of a file in a folder that is gone; return the index."""
    write_file(tmp_path / "new" / "a.nc", range(4))
    return index_of(tmp_path / "x.index", {str(tmp_path / name): range(4)}, made_here=False).path


@pytest.fixture(autouse=True)
def new(tmp_path: Path) -> Path:
    (tmp_path / "new").mkdir()
    return tmp_path / "new"


@pytest.mark.parametrize("whole", [False, True])
def test_a_folder_and_a_file(tmp_path: Path, new: Path, whole: bool) -> None:
    old, now = (tmp_path / "old" / "a.nc", new / "a.nc") if whole else (tmp_path / "old", new)
    store = ReferenceCAStore(moved_store(tmp_path), allow=[new], moved={old: now})
    assert store.get(ZERO) == block(0)
    assert next(store.places_of(ZERO))[0] == str(new / "a.nc")
    assert list(store.verify()) == []
    assert pickle.loads(pickle.dumps(store)).get(ZERO) == block(0)  # noqa: S301  # its own pickle


def test_a_name_relative_to_the_index(tmp_path: Path, new: Path) -> None:
    write_file(new / "a.nc", range(4))
    path = index_of(tmp_path / "x.index", {"old/a.nc": range(4)}, made_here=False).path
    assert ReferenceCAStore(path, allow=[new], moved={tmp_path / "old": new}).get(ZERO) == block(0)


def test_the_new_place_has_to_be_allowed(tmp_path: Path, new: Path) -> None:
    path = moved_store(tmp_path)
    for allow in ([], [tmp_path / "old"]):
        with pytest.raises(FileRefusedError, match="allow="):
            ReferenceCAStore(path, allow=allow, moved={tmp_path / "old": new}).get(ZERO)
    (tmp_path / "link").symlink_to(new)
    with pytest.raises(FileRefusedError, match="allow="):
        ReferenceCAStore(path, allow=[tmp_path / "old"], moved={tmp_path / "old": tmp_path / "link"}).get(ZERO)


def test_names_with_dots_do_not_leave_the_new_place(tmp_path: Path, new: Path) -> None:
    write_file(tmp_path / "secret.nc", range(4))
    path = moved_store(tmp_path, "old/../secret.nc")
    with pytest.raises(FileRefusedError, match="allow="):
        ReferenceCAStore(path, allow=[new], moved={tmp_path / "old": new}).get(ZERO)


def test_another_file_there_is_an_error(tmp_path: Path, new: Path) -> None:
    path = moved_store(tmp_path)
    write_file(new / "a.nc", range(10, 14))
    with pytest.raises(BlockCorruptError, match=r"new.*a\.nc"):
        ReferenceCAStore(path, allow=[new], moved={tmp_path / "old": new}).get(ZERO)


def test_files_that_are_on_a_server_now(tmp_path: Path, new: Path) -> None:
    path = moved_store(tmp_path)
    with RangeServer() as server:
        server.files["/data/a.nc"] = File((new / "a.nc").read_bytes())
        url = server.url.rstrip("/")
        moved = {tmp_path / "old": f"{url}/data"}
        assert ReferenceCAStore(path, allow=[f"{url}/data"], moved=moved).get(ZERO) == block(0)
        with pytest.raises(FileRefusedError):
            ReferenceCAStore(path, allow=[f"{url}/other"], moved=moved).get(ZERO)


def test_prefixes() -> None:
    moved = MovedFiles({"/": "/mnt", "/a/": "/b", "https://h/x": "/x"})
    assert moved.place_of("/a/c.nc") == "/b/c.nc"
    assert moved.place_of("/ab/c.nc") == "/mnt/ab/c.nc"
    assert moved.place_of("/b/c.nc") == "/mnt/b/c.nc"  # each name is changed once
    assert moved.place_of("https://h/x/c.nc") == "/x/c.nc"
    assert moved.place_of("https://h/xy/c.nc") == "https://h/xy/c.nc"
    with pytest.raises(ValueError, match="empty"):
        MovedFiles({"": "/x"})


def test_places_are_given_by_the_old_ones() -> None:
    with pytest.raises(TypeError, match=r"moved=\{old: new\}, found list"):
        MovedFiles(["/a"])  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["", "localhost"])
def test_urls_of_files_are_paths(tmp_path: Path, host: str) -> None:
    """In an index, in ``allow`` and in ``moved``; they are held to ``allow`` as paths are."""
    folder, link = tmp_path / "a b", tmp_path / "link"
    folder.mkdir()
    write_file(folder / "a.nc", range(4))
    link.symlink_to(folder)
    url = f"file://{host}{tmp_path}/a%20b"
    path = index_of(tmp_path / "x.index", {f"{url}/a.nc": range(4)}, made_here=False).path
    for allow in ([url], [folder], [f"FILE://{host}{link}"]):
        assert ReferenceCAStore(path, allow=allow).get(ZERO) == block(0)
    for refused in ([f"{url}/b"], [f"file://{host}{tmp_path}/a"], [f"file://{host}{tmp_path}/new"]):
        with pytest.raises(FileRefusedError, match="allow="):
            ReferenceCAStore(path, allow=refused).get(ZERO)
    moved = {url: f"file://{host}{tmp_path}/new"}
    (folder / "a.nc").rename(tmp_path / "new" / "a.nc")
    assert ReferenceCAStore(path, allow=[f"file://{host}{tmp_path}/new"], moved=moved).get(ZERO) == block(0)
    with pytest.raises(FileRefusedError, match="allow="):
        ReferenceCAStore(path, allow=[url], moved=moved).get(ZERO)


def test_urls_of_files_of_other_machines(tmp_path: Path) -> None:
    path = index_of(tmp_path / "x.index", {"/data/a.nc": range(4)}, made_here=False).path
    with pytest.raises(ValueError, match="this machine"):
        ReferenceCAStore(path, allow=["file://host/data"])
    with pytest.raises(FileRefusedError, match="this machine"):
        ReferenceCAStore(index_of(tmp_path / "y.index", {"file://host/a.nc": range(4)}, made_here=False).path).get(ZERO)
