"""Messages of the command are in its own words: verbs and options, no functions and arguments of Python."""

from __future__ import annotations

import re
from pathlib import Path

import ipld_car
import ipld_castore
import ipldstore
import pytest
from ipld_car import CarWriter
from ipld_car.terminal.testing import Run, terms_of
from ipldstore import Repository
from ipldstore._cli.wording import WORDS

from ..support.command import air_car, write_air

PYTHON = re.compile(r"\w\((?!s\))|\w=(True|False|None|\.\.\.)|castore|storage_options|older_than")


def repository(path: Path, name: str) -> Path:
    with Repository.create(path) as repo, repo.transaction("main", message=name) as session:
        session[f"{name}/0"] = name.encode()
    return path


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places")
    air_car(folder / "air.car")
    for name in ("one", "two"):
        repository(folder / f"{name}.car", name)
    (folder / "folder").mkdir()
    (folder / "air.nc").write_bytes(b"CDF\1" + bytes(100))
    (folder / "some.zarr").mkdir()
    (folder / "some.zarr" / "zarr.json").write_text("{}")
    with ipldstore.open(folder / "blocks", "x") as store:
        write_air(store)
    (folder / "blocks" / "HEAD").rename(folder / "HEAD")
    with ipldstore.open(folder / "air.car") as store, (folder / "roots.car").open("wb") as stream:
        assert store.root_cid is not None
        CarWriter(stream, [store.root_cid] * 2).close()
    return folder


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (1, "log air.car", "expected a repository"),
        (2, "log none.car", "found nothing at none.car"),
        (2, "branch one.car@main x", "this verb is for all of it"),
        (1, "branch one.car main --delete", "`ipldstore branch WHAT OTHER --default`"),
        (1, "push one.car two.car", "--force overwrites"),
        (1, "pull one.car two.car", "--force overwrites"),
        (1, "push air.car one.car", "--force"),
        (1, "merge one.car nope", "nope"),
        (2, "info bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua", "ipfs://bafyreigb"),
        (2, "info https://host/readme", "whose path ends in .car"),
        (2, "info air.car --storage-option a=1", "expected --storage-option with a URL"),
        (2, "gc air.car --older-than 1d", "expected --older-than with a folder"),
        (2, "info roots.car", "found 2 in"),
        (2, "info folder", "SHARDING"),
        (2, "info blocks", "HEAD"),
        (1, "import air.car one.car#a --tag nope", "nope"),
        (1, "pin air.car --node http://127.0.0.1:9", "--node"),
        (2, "export blocks x.json", ""),
        (2, "import none.zarr air.car", "none.zarr"),
        (2, "sessions air.car", ""),
        (2, "sessions folder", "SHARDING"),
        (1, "undo air.car", "expected a repository"),
        (2, "diff one.car#a air.car", "expected a group"),
        (2, "repair none.car --from air.car", "none.car: expected a CAR file or a folder of blocks to repair"),
        (2, "repair none --from air.car", "found nothing"),
        (2, "export air.car - --as zarr", "one stream"),
        (2, "import air.car none/x.car", "No such file"),
        (2, "import air.car none.zarr", "export writes zarr"),
        (2, "import air.nc none.zarr", "export writes zarr"),
        (1, "info air.nc", "it is netCDF: `ipldstore import`"),
        (2, "info some.zarr", "found zarr, which `ipldstore import`"),
        (1, "tag one.car main", "`ipldstore branch WHAT NAME AT --reset`"),
        (2, "repair air.car --from ipfs://zzz", "the text of a CID"),
    ],
)
def test_the_words_of_the_command(code: int, words: str, expected: str, places: Path, command: Run) -> None:
    done = command(*words.split(), cwd=places, code=code)
    assert done.err
    assert expected in done.err
    assert "Traceback" not in done.err
    told = re.sub(r"ipldstore\.Repository\.create\(.*?\) of Python|<.*?>", "", done.err)
    assert not PYTHON.search(told), done.err
    assert not [each for each in places.iterdir() if each.name.startswith(("none", "-"))]


def test_the_command_has_words_for_each_term() -> None:
    """A term without words would be told as Python has it; words without a term are left from an older message."""
    of_ipld_car = {"max_entries", "set_root=True", "skip_unsafe_links=True"}
    assert set(terms_of(ipld_car, ipld_castore, ipldstore)) == WORDS.keys() | of_ipld_car
