"""Every verb takes all that ``open`` takes: what has a meaning for it is heeded, the rest is refused with a reason."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path

import click
import ipldstore
import pytest
from click.testing import CliRunner, Result
from ipldstore import IPLDStore, Repository
from ipldstore._cli.main import cli
from ipldstore._cli.options import storage_options_value

from ..support.command import write_air

NO_DATASET = {"completion"}
"""The verbs that open nothing."""
NAMES = {
    "path": "group",
    "fsync": "no_fsync",
    "castore": None,  # an object of Python
    "message": "message",  # of the verbs that commit
}
"""How options of the command are called that have another name than the argument of ``open``."""
COMMITTING = {"import", "merge"}


def verbs() -> list[str]:
    return sorted(set(cli.commands) - NO_DATASET)


@pytest.mark.parametrize("verb", verbs())
def test_each_verb_has_the_arguments_of_open(verb: str) -> None:
    arguments = list(inspect.signature(ipldstore.open).parameters)[2:]
    found = {parameter.name for parameter in cli.commands[verb].params if isinstance(parameter, click.Option)}
    wanted = {NAMES.get(name, name) for name in arguments if name != "message" or verb in COMMITTING}
    assert wanted - {None} - found == set()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset and a repository, each in an archive that is padded with zeros."""
    folder = tmp_path_factory.mktemp("places")
    store = IPLDStore()
    write_air(store)
    (folder / "air.car").write_bytes(store.to_car() + bytes(100))
    (folder / "good.car").write_bytes(store.to_car())
    repo = Repository.create({})
    with repo.transaction("main", message="first") as session:
        write_air(session)
    (folder / "repo.car").write_bytes(repo.to_car() + bytes(100))
    with Repository.create(folder / "live.car") as live, live.transaction("main", message="first") as session:
        session["a/0"] = b"chunk"
    return folder


READING = {
    "info": ["air.car"],
    "ls": ["air.car"],
    "tree": ["air.car"],
    "cat": ["air.car", "zarr.json"],
    "stat": ["air.car", "air"],
    "verify": ["air.car"],
    "diff": ["air.car", "air.car"],
    "resolve": ["air.car"],
    "export": ["air.car", "out.car"],
    "push": ["air.car", "pushed.car"],
    "pull": ["pulled.car", "air.car"],
    "log": ["repo.car"],
    "branch": ["repo.car"],
    "tag": ["repo.car"],
}
WRITING = {
    "repair": ["air.car", "--from", "good.car"],
    "gc": ["air.car"],
    "import": ["good.zarr", "air.car", "--overwrite"],
    "merge": ["repo.car", "main"],
    "undo": ["live.car"],
    "expire": ["repo.car", "--older-than", "1w"],
}
WITHOUT = {"serve", "pin", "publish", "sessions"}
"""They run until a signal, need a node, or are of folders alone; tested elsewhere."""


def run(places: Path, verb: str, words: list[str], *options: str) -> Result:
    given = [str(places / word) if "." in word and not word.endswith(".json") else word for word in words]
    return CliRunner().invoke(cli, [verb, *given, *options])


def test_the_table_has_every_verb() -> None:
    assert set(verbs()) == {*READING, *WRITING, *WITHOUT}


OPTIONS = (
    "--zero-length-section-as-eof",
    "--cache",
    "",
    "--no-fsync",
    "--allow",
    "/nowhere",
    "--moved",
    "/old=/nowhere",
)


def copied(places: Path, tmp_path: Path) -> Path:
    here = tmp_path / "places"
    shutil.copytree(places, here)
    return here


@pytest.mark.parametrize("verb", READING)
def test_options_reach_the_file(places: Path, tmp_path: Path, verb: str) -> None:
    """An archive that ends in zeros is damaged, unless the option says what they are."""
    here = copied(places, tmp_path)
    assert run(here, verb, READING[verb]).exception is not None
    for path in ("out.car", "pushed.car", "pulled.car"):
        (here / path).unlink(missing_ok=True)
    done = run(here, verb, READING[verb], *OPTIONS)
    assert done.exit_code == 0, (done.output, done.exception)


@pytest.mark.parametrize("verb", WRITING)
def test_verbs_that_write_take_the_options(places: Path, tmp_path: Path, verb: str) -> None:
    here = copied(places, tmp_path)
    if verb == "import":
        assert run(here, "export", ["good.car", "good.zarr"]).exit_code == 0
    done = run(here, verb, WRITING[verb], *OPTIONS)
    assert done.exit_code == 0, (done.output, done.exception)


@pytest.mark.parametrize("verb", ["branch", "tag", "undo", "gc", "repair", "sessions", "verify"])
def test_a_part_is_refused_where_the_whole_is_meant(places: Path, verb: str) -> None:
    more = {"repair": ["--from", "good.car"], "verify": ["--history"]}.get(verb, [])
    done = run(places, verb, ["repo.car", *more], "--branch", "main")
    assert isinstance(done.exception, SystemExit), verb
    assert done.exit_code == 2
    assert "found --branch" in done.output


def test_log_begins_at_a_version(places: Path) -> None:
    """However the version is named."""
    padded = "--zero-length-section-as-eof"
    whole = run(places, "log", ["repo.car"], padded).output
    assert whole.count("commit ") == 2
    assert run(places, "log", ["repo.car@main"], padded).output == whole
    assert run(places, "log", ["repo.car"], padded, "--branch", "main").output == whole
    assert run(places, "log", ["repo.car", "main"], padded, "--as-of", "2200-01-01T00:00Z").output == whole
    first = run(places, "log", ["repo.car@main~1"], padded).output
    assert first == whole[whole.rindex("commit ") :]
    refused = run(places, "log", ["repo.car@main"], padded, "--tag", "v1")
    assert "expected one version" in refused.output


def test_export_for_kerchunk_says_what_it_needs(places: Path, tmp_path: Path) -> None:
    """Blocks in a folder have no URL, unless a gateway is named that sends them."""
    with ipldstore.open(tmp_path / "blocks", "a") as store:
        store["a/0"] = b"chunk"
    words = ["export", str(tmp_path / "blocks"), str(tmp_path / "a.json")]
    assert "expected --url with a gateway" in CliRunner().invoke(cli, words).output
    done = CliRunner().invoke(cli, [*words, "--url", "http://127.0.0.1:8080"])
    assert done.exit_code == 0, done.exception
    assert "http://127.0.0.1:8080/ipfs/" in (tmp_path / "a.json").read_text()
    group = run(places, "export", ["good.car#air"], str(tmp_path / "b.json"))
    assert "expected a whole dataset" in str(group.exception)


def test_a_dataset_of_ours_is_imported_as_zarr_is(places: Path, tmp_path: Path) -> None:
    """Chunk by chunk, whatever xarray would make of it."""
    target = tmp_path / "new.car"
    done = CliRunner().invoke(cli, ["import", str(places / "good.car"), str(target)])
    assert done.exit_code == 0, done.exception
    with ipldstore.open(places / "good.car") as old, ipldstore.open(target) as new:
        assert old.root_cid == new.root_cid


def test_a_version_of_what_has_none_is_told_as_it_was_given(places: Path) -> None:
    assert "found @main" in str(run(places, "info", ["good.car@main"]).exception)
    assert "found branch='x'" in str(run(places, "info", ["good.car"], "--branch", "x").exception)


def test_resolve_tells_the_root_of_anything(places: Path) -> None:
    with ipldstore.open(places / "good.car") as store:
        assert run(places, "resolve", ["good.car"]).output == f"/ipfs/{store.root_cid}\n"
    assert "with a name" in run(places, "resolve", ["good.car"], "--node", "http://127.0.0.1:1").output


@pytest.mark.parametrize(("text", "value"), [("true", True), ("12", 12), ("1e5", "1e5"), ("012", "012"), ("x", "x")])
def test_the_text_of_a_key_is_kept(text: str, value: object) -> None:
    """Keys may look like numbers."""
    assert storage_options_value(click.Context(cli), click.Option(["--storage-option"]), (f"a={text}",)) == {"a": value}
