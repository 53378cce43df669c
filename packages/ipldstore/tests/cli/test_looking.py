"""The commands that look at a dataset and check it, as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import ipldstore
import pytest
from click.testing import CliRunner
from ipld_car import CarFile, read_car
from ipld_car.terminal.testing import Run
from ipldstore._cli.main import cli

from ..support.command import air_car, damage


@pytest.fixture
def car(tmp_path: Path) -> Path:
    return air_car(tmp_path / "air.car")


def test_every_verb_tells_how_it_is_used() -> None:
    """Each verb has a help of its own, and a short one that is not cut off."""
    top = CliRunner().invoke(cli, ["--help"])
    for verb in cli.commands:
        assert f"\n  {verb} " in top.output
        told = CliRunner().invoke(cli, [verb, "--help"])
        assert told.exit_code == 0
        assert len(told.output) > 200, verb
    assert [line for line in top.output.splitlines() if line.startswith("  ") and line.endswith("...")] == []


def test_it_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="ipldstore")
    assert script.value == "ipldstore._cli.main:main"


def test_info(command: Run, car: Path) -> None:
    """Text and JSON have root, sizes, chunks and attributes; attributes cannot command a terminal."""
    text = command("info", car).text
    with ipldstore.open(car) as store:
        root = str(store.root_cid)
    assert root in text
    assert "Dimensions: (time: 48, lat: 10)" in text
    assert "\x1b" not in text
    (found,) = command("info", "--json", car).json
    assert found["root"] == root
    by_path = {node["path"]: node for node in found["nodes"]}
    assert by_path["air"]["shape"] == [48, 10]
    assert by_path["air"]["chunk_count"] == 8
    assert by_path[""]["attributes"] == {"title": "air\x1b[2J<b>"}
    assert "Shape: (time: 48, lat: 10)" in command("info", car, "air").text
    assert "Shape" in command("info", "--path", "air", car).text


def test_ls_and_tree(command: Run, car: Path) -> None:
    assert command("ls", car).lines == ["air/", "time/", "zarr.json"]
    assert command("ls", "--json", car).json[0] == {"name": "air", "kind": "array"}
    assert len(command("ls", "-r", car, "air").lines) == 9
    assert command("ls", car, "zarr.json").lines == ["zarr.json"]
    assert command("tree", car).lines == [
        "/",
        "├── air (time: 48, lat: 10) float32",
        "└── time (time: 48) int64",
    ]
    assert [line["kind"] for line in command("tree", "--json", car).json] == ["group", "array", "array"]


def test_cat_and_stat(command: Run, car: Path) -> None:
    with ipldstore.open(car) as store:
        chunk, cid = store["air/c/0/0"], str(ipldstore.MappingCAStore().put(store["air/c/0/0"]))
    assert command("cat", car, "air/c/0/0").out == chunk
    assert command("cat", car, "air/c/0/0", "--offset", 3, "--length", 4).out == chunk[3:7]
    (found,) = command("stat", "--json", car, "air/c/0/0").json
    assert found == {"path": "air/c/0/0", "kind": "key", "bytes": len(chunk), "cid": cid, "codec": "raw"}
    (found,) = command("stat", "--json", car, "air").json
    assert (found["kind"], found["keys"], found["chunks in the grid"]) == ("array", 9, 8)
    assert json.loads(command("cat", car, "zarr.json").out)["node_type"] == "group"


def test_exit_codes(command: Run, car: Path, tmp_path: Path) -> None:
    """1 for what a dataset lacks, 2 for what cannot be opened and for wrong usage."""
    for verb in ("cat", "stat", "ls", "tree", "info"):
        assert "found nothing" in command(verb, car, "nope", code=1).err
        assert "none.car" in command(verb, tmp_path / "none.car", *["x"] * (verb == "cat"), code=2).err
    for verb in ("log", "branch", "undo"):
        assert "none.car" in command(verb, tmp_path / "none.car", code=2).err
        assert "expected a repository" in command(verb, car, code=1).err
    with ipldstore.open(tmp_path / "locked.car", "x"):
        for arguments in (["gc"], ["undo"], ["repair", "--from", car]):
            assert "locked" in command(arguments[0], tmp_path / "locked.car", *arguments[1:], code=2).err
    assert "No such option" in command("info", "--frobnicate", code=2).err
    assert "expected NAME=VALUE" in command("info", car, "--storage-option", "x", code=2).err
    assert "no repository" in command("info", car, "--branch", "main", code=2).err


def test_what_is_no_key(command: Run, car: Path) -> None:
    """The message says what is there, and which keys there are."""
    for path in ("air", "air/"):
        told = command("cat", car, path, code=1).err
        assert "expected a key, found an array at 'air'; its keys are air/zarr.json, air/c/" in told
        assert "ls --recursive" in told
    assert "found nothing; at 'air' there is c, zarr.json" in command("cat", car, "air/nope", code=1).err
    for verb in ("cat", "stat", "info", "tree", "ls"):
        assert "found nothing; at the top there is air, " in command(verb, car, "nope/x", code=1).err
    size = len(command("cat", car, "zarr.json").out)
    assert command("cat", car, "zarr.json", "--offset", str(size)).out == b""
    told = command("cat", car, "zarr.json", "--offset", str(size + 1), code=2).err
    assert f"expected an --offset in the {size} bytes of zarr.json, found {size + 1}" in told


def test_verify_and_repair(command: Run, car: Path, tmp_path: Path) -> None:
    """A damaged chunk is named with its region, and mended from a good copy; nothing else is fetched."""
    assert "good" in command("verify", car).text
    copy = tmp_path / "copy.car"
    copy.write_bytes(car.read_bytes())
    with ipldstore.open(car) as store:
        chunk = store["air/c/3/1"]
    damage(copy, chunk)
    assert "air: 1 chunk damaged: time 36..47 [36:48], lat 5:10" in command("verify", copy, code=1).lines
    (found,) = command("verify", "--json", copy, code=1).json
    assert found["arrays"][0]["lost"] == {"damaged": 1}
    assert found["failures"][0]["path"] == "air/c/3/1"
    (done,) = command("repair", "--json", copy, "--from", car).json
    assert (done["blocks"], done["bytes"], done["lost"]) == (1, len(chunk), [])
    assert "good" in command("verify", copy).text


def test_a_car_that_was_cut_off_is_verified_and_repaired(command: Run, car: Path, tmp_path: Path) -> None:
    """Its end is lost, with the index and the root: a good copy tells what is lost by array, and gives it back."""
    whole = car.read_bytes()
    copy = tmp_path / "copy.car"
    copy.write_bytes(whole[: len(whole) // 2])
    with ipldstore.open(car) as store:
        root = str(store.root_cid)
    told = command("verify", copy, code=1)
    assert "1 block lost" in told.lines[0]
    assert f"no block {root} in {copy}" in told.lines[1]
    assert f"{copy} was scanned: it was cut off" in told.err
    (told_with,) = command("verify", "--json", copy, "--from", car, code=1).json
    assert {array["path"] for array in told_with["arrays"]} <= {"air", "time", "lat"}
    assert all(array["regions"][0]["labels"] for array in told_with["arrays"] if array["path"] == "air")
    assert "repair" in command("branch", copy, "new", code=1).err
    for size in (10, 50, 60):  # without its header nothing is told of what it had
        (tmp_path / "head.car").write_bytes(whole[:size])
        told = command("repair", tmp_path / "head.car", "--from", car, code=1)
        assert "head.car: expected a" in told.err
        assert "can be read" not in told.err
    (done,) = command("repair", "--json", copy, "--from", car).json
    assert done["blocks"] == told_with["failed"] > 1
    assert command("verify", copy).text == command("verify", car).text
    assert not command("info", copy).err  # it has an index again


def test_a_car_without_index_that_is_damaged_is_repaired(command: Run, car: Path, tmp_path: Path) -> None:
    """One length is damaged, so that nothing leads to what stands behind it: one block is lost, and comes back."""
    with ipldstore.open(car) as store:
        whole = store.to_car()
    copy = tmp_path / "copy.car"
    places = [at for _, _, at in read_car(whole)[1]]
    offset = places[len(places) // 2].offset
    copy.write_bytes(whole[:offset] + bytes(1) + whole[offset + 1 :])
    told = command("verify", copy, code=1)
    assert f"the bytes {offset} to {places[len(places) // 2 + 1].offset}" in told.err
    assert "missing" in told.text
    (done,) = command("repair", "--json", copy, "--from", car).json
    assert (done["blocks"], done["lost"]) == (1, [])
    assert copy.read_bytes() == whole
    start, stop = places[3].offset, places[6].offset
    copy.write_bytes(whole[:start] + bytes(stop - start) + whole[stop:])
    (done,) = command("repair", "--json", copy, "--from", car).json
    assert (done["blocks"], done["lost"]) == (3, [])
    assert not command("verify", copy).err, "it is whole for every tool"
    with CarFile.open(copy) as found, CarFile.open(car) as expected:
        assert len(found) == len(places)
        assert found.roots == expected.roots


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], {"zarr", "numpy", "requests", "ipldstore._public", "tqdm"}),
        (["verify", "--help"], {"zarr", "numpy", "requests", "ipldstore._public", "tqdm"}),
        (
            ["info"],
            {"requests", "urllib3", "obstore", "xarray", "dask", "ipldstore._public", "ipldstore._verify", "tqdm"},
        ),
    ],
)
def test_what_is_not_needed_is_not_loaded(arguments: list[str], unwanted: set[str], car: Path) -> None:
    """Each import costs every run: help needs no zarr, and a file no HTTP."""
    code = (
        "import sys; from ipldstore._cli.main import main; code = main(); "
        "print(*sorted(sys.modules), file=sys.stderr); raise SystemExit(code)"
    )
    # Measuring coverage loads much too.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", code, *arguments, *([str(car)] if arguments == ["info"] else [])]
    done = subprocess.run(command, capture_output=True, check=True, env=environ)
    loaded = done.stderr.decode().split()
    assert "click" in loaded
    assert not unwanted.intersection(loaded)
