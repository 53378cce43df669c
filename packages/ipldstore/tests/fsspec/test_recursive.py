"""Trees of files below a CID: fetched, listed and matched as fsspec's own file systems do."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ipld_car import cids, unixfs
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore

fsspec = pytest.importorskip("fsspec", reason="the extra fsspec is not installed")

FILES = {"a": b"a", "d/b": b"bb", "d/e/c": b"ccc" * 1000, "d/e/empty": b"", "f/c/0": b"0", "f/c/1": b"1"}


class Twins(NamedTuple):
    """The same files in ``ipld://`` and in fsspec's memory."""

    ours: Any
    top: str
    memory: Any
    base: str

    def both(self, verb: str, path: str, **options: Any) -> tuple[Any, Any]:
        """Call a verb of both; return the answers with paths relative to the top."""
        ours = getattr(self.ours, verb)(f"ipld://{self.top}{path}", **options)
        theirs = getattr(self.memory, verb)(f"memory:/{self.base}{path}", **options)
        return self._relative(ours, self.top), self._relative(theirs, self.base)

    def _relative(self, found: Any, top: str) -> Any:
        if isinstance(found, str):
            return found.removeprefix(top)
        if isinstance(found, dict):
            return {self._relative(name, top): value for name, value in found.items()}
        return [self._relative(each, top) for each in found] if isinstance(found, (list, tuple)) else found


@pytest.fixture(params=["dataset", "unixfs"])
def twins(request: pytest.FixtureRequest) -> Twins:
    castore = MappingCAStore()
    if request.param == "dataset":
        store = IPLDStore(castore)
        for key, data in FILES.items():
            store[key] = data
        top = str(store.freeze())
    else:
        top = cids.to_text(_directory(FILES, castore))
    memory, base = fsspec.filesystem("memory"), f"/{uuid.uuid4()}"
    for key, data in FILES.items():
        memory.pipe_file(f"{base}/{key}", data)
    return Twins(fsspec.filesystem("ipld", castore=castore), top, memory, base)


def _directory(files: dict[str, bytes], castore: MappingCAStore) -> bytes:
    def put(cid: bytes, data: bytes) -> None:
        castore.put_block(cids.from_bytes(cid), data)

    below: dict[str, dict[str, bytes]] = {}
    entries = {name: unixfs.build(data, put) for name, data in files.items() if "/" not in name}
    for path, data in files.items():
        if "/" in path:
            below.setdefault(path.partition("/")[0], {})[path.partition("/")[2]] = data
    entries |= {name: _directory(inside, castore) for name, inside in below.items()}
    return unixfs.build_directory([unixfs.PBLink(cid, name, 0) for name, cid in entries.items()], put).cid


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_get_recursive(twins: Twins, tmp_path: Path) -> None:
    """It was an IsADirectoryError."""
    told = fsspec.callbacks.Callback()
    twins.ours.get(f"ipld://{twins.top}", str(tmp_path / "all"), recursive=True, callback=told)
    assert files_in(tmp_path / "all") == FILES
    assert told.value >= len(FILES)
    for verb, name in (("ours", f"ipld://{twins.top}/d"), ("memory", f"{twins.base}/d")):
        for end in ("", "/"):
            getattr(twins, verb).get(name, f"{tmp_path}/{verb}{len(end)}/", recursive=True)
            getattr(twins, verb).get(name + end, f"{tmp_path}/{verb}{len(end)}-flat", recursive=True, maxdepth=1)
    for number in (0, 1):
        assert files_in(tmp_path / f"ours{number}") == files_in(tmp_path / f"memory{number}") != {}
        assert files_in(tmp_path / f"ours{number}-flat") == files_in(tmp_path / f"memory{number}-flat")
    twins.ours.get([f"ipld://{twins.top}/a", f"ipld://{twins.top}/d/b"], [str(tmp_path / "x"), str(tmp_path / "y/z")])
    assert ((tmp_path / "x").read_bytes(), (tmp_path / "y/z").read_bytes()) == (b"a", b"bb")


def test_cat(twins: Twins) -> None:
    top = f"ipld://{twins.top}"
    found = twins.ours.cat(top, recursive=True)
    assert {name.removeprefix(f"{twins.top}/"): data for name, data in found.items()} == FILES
    assert list(twins.ours.cat(f"{top}/d", recursive=True).values()) == [b"bb", b"ccc" * 1000, b""]
    assert twins.ours.cat(f"{top}/a", recursive=True) == {f"{twins.top}/a": b"a"}
    assert twins.ours.cat([f"{top}/a", f"{top}/d/b"]) == {f"{twins.top}/a": b"a", f"{twins.top}/d/b": b"bb"}
    assert list(twins.ours.cat([f"{top}/a", f"{top}/none"], on_error="omit")) == [f"{twins.top}/a"]
    assert twins.ours.cat_ranges([f"{top}/a", f"{top}/d/e/c"], [0, 1], [1, 4]) == [b"a", b"ccc"]
    assert isinstance(twins.ours.cat_ranges([f"{top}/none"], [0], [1])[0], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        twins.ours.cat(f"{top}/none", recursive=True)
    for read in (twins.ours.cat, twins.ours.open):
        with pytest.raises(IsADirectoryError):
            read(f"{top}/d")


@pytest.mark.parametrize("path", ["", "/d", "/f/c"])
def test_finding(twins: Twins, path: str) -> None:
    for verb, options in (
        ("find", {}),
        ("find", {"withdirs": True}),
        ("find", {"maxdepth": 1, "withdirs": True}),
        ("expand_path", {"recursive": True}),
        ("expand_path", {"recursive": True, "maxdepth": 1}),
        ("du", {}),
        ("du", {"total": False}),
    ):
        ours, theirs = twins.both(verb, path, **options)
        assert ours == theirs, (verb, options)
    ours, theirs = (
        sorted((place, sorted(folders), sorted(files)) for place, folders, files in found)
        for found in map(list, twins.both("walk", path))
    )
    assert [each[1:] for each in ours] == [each[1:] for each in theirs]


@pytest.mark.parametrize("pattern", ["/*", "/**", "/d/**", "/*/c", "/**/c", "/f/c/[0-9]", "/{a,d}", "/none*", "/d/?"])
def test_glob(twins: Twins, pattern: str) -> None:
    ours, theirs = twins.both("glob", pattern)
    assert ours == theirs
