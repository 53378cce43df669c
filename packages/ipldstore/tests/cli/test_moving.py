"""The commands that bring datasets to other forms and places, as processes."""

from __future__ import annotations

import importlib
import json
import pickle
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipld_car.terminal.testing import Run
from ipld_castore.testing import BlockServer, PinningServer

from ..support.command import air_car, write_air
from ..support.repositories import commit, make


@pytest.fixture
def car(tmp_path: Path) -> Path:
    return air_car(tmp_path / "air.car")


def root_of(path: Path) -> str:
    with ipldstore.open(path) as store:
        return str(store.root_cid)


def test_export_and_import_zarr(command: Run, car: Path, tmp_path: Path) -> None:
    """A zarr folder that was exported is the same dataset when it is imported."""
    folder, again = tmp_path / "air.zarr", tmp_path / "again.car"
    command("export", car, folder)
    assert zarr.open_array(folder, path="air", mode="r").shape == (48, 10)
    assert command("import", folder, again).lines == [root_of(car)]
    command("import", folder, f"{again}#below")
    assert zarr.open_array(ipldstore.open(again), path="below/air", mode="r").shape == (48, 10)
    assert "No such file" in command("import", tmp_path / "none.zarr", again, code=2).err


def test_export_car(command: Run, car: Path, tmp_path: Path) -> None:
    """A CAR has the dataset; a target of another suffix needs --as; an error leaves no file."""
    command("export", car, tmp_path / "copy.car")
    assert root_of(tmp_path / "copy.car") == root_of(car)
    assert ipldstore.IPLDStore.from_car(command("export", car, "-", "--as", "car").out).root_cid is not None
    assert "--as" in command("export", car, tmp_path / "x", code=2).err
    command("export", tmp_path / "none.car", tmp_path / "x.car", code=2)
    assert not (tmp_path / "x.car").exists()


@pytest.mark.parametrize("name", ["other.car", "other.json"])
def test_an_export_overwrites_no_file(command: Run, car: Path, tmp_path: Path, name: str) -> None:
    """What is there may be all the versions of a repository."""
    (tmp_path / name).write_bytes(b"other")
    assert "--overwrite" in command("export", car, tmp_path / name, code=2).err
    assert (tmp_path / name).read_bytes() == b"other"
    command("export", car, tmp_path / name, "--overwrite")
    assert (tmp_path / name).read_bytes() != b"other"


def test_export_kerchunk(command: Run, car: Path, tmp_path: Path) -> None:
    """The references are those of the archive, in the form that fsspec reads."""
    command("export", car, tmp_path / "air.json", "--url", "https://example.org/air.car")
    found = json.loads((tmp_path / "air.json").read_bytes())
    assert found["version"] == 1
    assert found["refs"]["air/c/0/0"][0] == "https://example.org/air.car"


def test_a_group_becomes_an_archive_by_import(command: Run, tmp_path: Path) -> None:
    """Export, push and pin would take what is beside the group too."""
    whole, below = tmp_path / "whole.car", tmp_path / "below.car"
    with ipldstore.open(whole, "a") as store:
        for name in ("secret", "a/b"):
            zarr.create_array(store, name=name, data=np.arange(4), chunks=(2,))
    node = ("--node", "http://127.0.0.1:9")
    for words in (("export", f"{whole}#a", below), ("push", f"{whole}#a", below), ("pull", below, f"{whole}#a")):
        assert "import" in command(*words, code=2).err
        assert not below.exists()
    assert "import" in command("pin", f"{whole}#a", *node, code=2).err
    assert "import" in command("publish", whole, "name", "--path", "a", *node, code=2).err
    (line,) = command("import", "--json", f"{whole}#a", below).json
    assert line["root"] == root_of(below)
    with ipldstore.open(below) as store:
        assert [key for key in sorted(store) if key.endswith("zarr.json")] == ["b/zarr.json", "zarr.json"]
        assert np.asarray(zarr.open_array(store, path="b", mode="r")[...]).tolist() == [0, 1, 2, 3]


def test_import_netcdf(command: Run, tmp_path: Path) -> None:
    """A netCDF file with a group is a dataset with that group; the values are the same."""
    xr = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    source, target = tmp_path / "air.nc", tmp_path / "air.car"
    data = xr.DataTree.from_dict(
        {
            "/": xr.Dataset({"air": (("t", "x"), np.arange(12.0).reshape(4, 3))}),
            "/sub": xr.Dataset({"b": ("y", np.arange(5))}),
        }
    )
    data.to_netcdf(source, engine="h5netcdf")
    (line,) = command("import", "--json", source, target).json
    assert line["root"] == root_of(target)
    air, below = (np.asarray(zarr.open_array(ipldstore.open(target), path=path)) for path in ("air", "sub/b"))
    assert air.tolist() == data["air"].values.tolist()
    assert below.tolist() == [0, 1, 2, 3, 4]
    assert command("import", source, target).lines == [line["root"]]  # it was made from this file
    command("import", tmp_path / "none.nc", target, code=2)


@pytest.mark.parametrize("kind", ["nc", "zarr", "car"])
def test_an_import_overwrites_no_other_data(command: Run, car: Path, tmp_path: Path, kind: str) -> None:
    """Unless it is told to: into a file, into a group of it, with options; what is beside is no matter."""
    xr = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    source, before = tmp_path / f"new.{kind}", root_of(car)
    data = xr.Dataset({"air": ("t", np.arange(4.0))})
    if kind == "nc":
        data.to_netcdf(source, engine="h5netcdf")
    elif kind == "zarr":
        data.to_zarr(source)
    else:
        data.ipld.to_ipld(source)
    for options in ([], ["--no-fsync"]):
        told = command("import", source, car, *options, code=2)
        assert f"{car}: expected no other data" in told.err
        assert "--overwrite" in told.err
        assert root_of(car) == before
    (beside,) = command("import", source, f"{car}#beside").lines
    assert beside != before
    (line,) = command("import", source, f"{car}#beside", "--overwrite").lines
    assert line == beside
    told = command("import", source, car, "--overwrite")
    assert "warning" not in told.err.lower()
    with ipldstore.open(car) as store:
        assert np.asarray(zarr.open_array(store, path="air", mode="r")[...]).tolist() == [0, 1, 2, 3]


def test_an_export_into_other_zarr(command: Run, car: Path, tmp_path: Path) -> None:
    """Chunks of one array among those of another would be wrong data."""
    folder = tmp_path / "air.zarr"
    command("export", car, folder)
    command("export", car, folder)
    zarr.open_group(folder).attrs["title"] = "other"
    assert "--overwrite" in command("export", car, folder, code=2).err
    command("export", car, folder, "--overwrite")
    assert zarr.open_group(folder).attrs["title"] != "other"


@pytest.mark.parametrize("other", ["{0}", "./{1}", "link.car", "file://{0}", "{0}@v1", "{0}#air"])
def test_a_place_is_not_written_over_itself(command: Run, car: Path, tmp_path: Path, other: str) -> None:
    """The export of a version over its repository would lose the history."""
    (tmp_path / "link.car").symlink_to(car)
    there, before = other.format(car, car.name), car.read_bytes()
    for words in (
        ["export", there, car, "--as", "car"],
        ["export", there, car, "--as", "zarr"],
        ["export", there, car, "--as", "kerchunk"],
        ["import", there, car],
        ["push", there, car],
        ["pull", car, there],
        ["repair", car, "--from", there],
    ):
        assert "two places" in command(*words, cwd=tmp_path, code=2).err
    assert car.read_bytes() == before


def test_an_import_of_netcdf_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was frozen is not read again, unless the file has changed; the root is that of to_zarr in one go."""
    for module in ("dask", "h5netcdf"):
        pytest.importorskip(module)
    xr = pytest.importorskip("xarray")
    importing = importlib.import_module("ipldstore._xarray.importing")
    monkeypatch.setattr(importing, "_COMMIT_SECONDS", 0)
    monkeypatch.setattr(importing, "_REGION_BYTES", 1)
    source, target = tmp_path / "air.nc", tmp_path / "air.car"

    def make_file(values: Any) -> None:
        air = (("t", "x"), values, {"units": "K"}, {"chunksizes": (10, 4), "_FillValue": -1.0})
        data = xr.Dataset({"air": air, "s": ((), 3.5)}, {"t": np.arange(40), "late": ("t", np.arange(40) * 2.0)})
        data.to_netcdf(source, engine="h5netcdf")

    make_file(np.arange(160.0).reshape(40, 4))
    told: list[int] = []
    importing.import_files(str(source), str(tmp_path / "other.car"), {}, lambda _, done, __: told.append(done))
    whole_count = len(told)
    told.clear()

    def stop(_: str, done: int, __: int | None) -> None:
        told.append(done)
        if len(told) == whole_count - 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        importing.import_files(str(source), str(target), {}, stop)
    told.clear()
    root = importing.import_files(str(source), str(target), {}, lambda _, done, __: told.append(done))
    assert len(told) == 2, "the one that was interrupted, and the last"
    whole = ipldstore.IPLDStore()
    with xr.open_dataset(source, engine="h5netcdf", chunks={}) as data:
        data.to_zarr(whole)
    assert root == whole.freeze()
    told.clear()
    assert importing.import_files(str(source), str(target), {}, lambda _, done, __: told.append(done)) == root
    assert told == [], "nothing is read twice"
    target.unlink()  # its notes are of no other file
    with pytest.raises(InterruptedError):
        importing.import_files(str(source), str(target), {}, stop)
    assert importing.import_files(str(source), str(target), {}, lambda *_: None) == root
    told.clear()
    make_file(np.arange(160.0).reshape(40, 4) + 1)
    assert importing.import_files(str(source), str(target), {}, lambda _, done, __: told.append(done)) != root
    assert told


def test_push_and_pull_datasets(command: Run, car: Path, tmp_path: Path) -> None:
    """Only blocks that are missing are sent; the target has the root."""
    folder = tmp_path / "blocks"
    (first,) = command("push", "--json", car, folder).json
    assert first["blocks"] > 1
    (second,) = command("push", "--json", car, folder).json
    assert second["blocks"] == 0
    command("pull", tmp_path / "pulled.car", folder)
    assert root_of(tmp_path / "pulled.car") == root_of(folder) == root_of(car)


def test_push_and_pull_repositories(command: Run, tmp_path: Path) -> None:
    """Names move forward; what is not in the past is refused, until it is forced."""
    one, two = tmp_path / "one.car", tmp_path / "two"
    repo = make(str(one))
    commit(repo, {"a": b"1"})
    repo.close()
    command("push", one, two)
    assert command("log", "--json", two).json == command("log", "--json", one).json
    command("pull", tmp_path / "three.car", one)
    assert command("cat", tmp_path / "three.car", "a").out == b"1"
    for path, value in ((str(one), b"2"), (str(two), b"3")):
        with ipldstore.Repository.open(path, fsync=False) as repo:
            commit(repo, {"a": value})
    assert "are in our past" in command("push", one, two, code=1).err
    (done,) = command("push", "--json", "--force", one, two).json
    assert list(done["overwritten"]) == ["main"]


def test_gc_and_sessions(command: Run, tmp_path: Path) -> None:
    """A file loses what its root does not reach; a session that was left is listed and taken in."""
    car, folder = air_car(tmp_path / "air.car"), tmp_path / "blocks"
    with ipldstore.open(car, "a") as store:
        store["air/c/0/0"] = b"other"
    (done,) = command("gc", "--json", car).json
    assert done["freed_blocks"] > 0
    command("gc", car, "--dry-run", code=2)
    store = ipldstore.open(folder, "a")
    write_air(store)
    pickle.loads(pickle.dumps(store))["x"] = b"new"  # noqa: S301  # our own pickle
    (found,) = command("sessions", "--json", folder).json
    assert not found["ended"]
    store.close()
    assert command("sessions", "--json", folder).json[0]["ended"]


def test_sessions_of_a_node(command: Run) -> None:
    """By the address of the node, and by that of content on it."""
    with BlockServer() as server:
        store = ipldstore.IPLDStore(ipldstore.IPFSStore(server.url))
        write_air(store)
        root = store.freeze()
        pickle.loads(pickle.dumps(store))["x"] = b"new"  # noqa: S301  # our own pickle
        (found,) = command("sessions", "--json", server.url).json
        (same,) = command("sessions", "--json", f"ipfs://{root}", "--storage-option", f"node={server.url}").json
        assert found["session"] == same["session"]
        assert command("sessions", server.url, "--recover", found["session"]).text
        assert "--older-than" in command("gc", server.url, code=2).err
        command("gc", server.url, "--older-than", "1h")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(command: Run, shell: str) -> None:
    assert "_IPLDSTORE_COMPLETE" in command("completion", shell).text


def test_what_needs_a_node_says_so(command: Run, car: Path) -> None:
    """Without a node the commands about IPFS end with an error, not with success."""
    for verb in (("pin", car), ("publish", car, "name")):
        assert command(*verb, "--node", "http://127.0.0.1:9", code=1).err.startswith("ipldstore: ")


def test_pin_at_a_service(command: Run, car: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin is made, with its name; the status decides about the exit code; no output has the token."""
    root = root_of(car)
    monkeypatch.delenv("IPLDSTORE_PINNING_TOKEN", raising=False)
    with PinningServer() as server:
        asked = ("pin", car, "--service", server.url)
        assert "IPLDSTORE_PINNING_TOKEN" in command(*asked, code=2).err
        monkeypatch.setenv("IPLDSTORE_PINNING_TOKEN", server.token)
        (printed,) = command(*asked, "--json", "--name", "air", "--origin", "/ip4/192.0.2.1/tcp/4001").json
        assert (printed["root"], printed["status"], printed["delegates"]) == (root, "pinned", server.delegates)
        with ipldstore.PinningService(server.url, server.token) as service:
            kept = service.status(printed["request_id"])
        assert (kept.name, kept.origins) == ("air", ("/ip4/192.0.2.1/tcp/4001",))
        assert command(*asked, "--no-wait").text.split()[:2] == [root, "queued"]
        server.steps = ("failed",)
        failed = command(*asked, code=1)
        assert "no peer has the blocks" in failed.err
        assert failed.out == b""
        monkeypatch.setenv("IPLDSTORE_PINNING_TOKEN", "t0k3n-of-nobody")
        refused = command(*asked, code=1)
        assert "401" in refused.err
        assert "t0k3n" not in refused.err
    assert "both" in command("pin", car, "--service", "http://x", "--node", "http://y", code=2).err
    assert "--service" in command("pin", car, "--name", "air", code=2).err
