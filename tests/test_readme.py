"""What the README and the pages that were part of it say is done here, where a doctest alone would not show it."""

from __future__ import annotations

import doctest
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
ORIGINAL = [
    "import ipldstore",
    "import xarray as xr",
    'ds = xr.Dataset({"a": ("a", [1, 2, 3])})',
    "m = ipldstore.get_ipfs_mapper()",
    "ds.to_zarr(m, ",
    "print(m.freeze())",
    "backend = {}",
    "m = ipldstore.IPLDStore(ipldstore.MappingCAStore(backend))",
    "ds.to_zarr(m, ",
    "print(m.freeze())",
    "print(backend)",
    "from multiformats import CID",
    "import dag_cbor",
    "from pprint import pprint",
    "def decode_block(k, v):",
    "for k, v in backend.items():",
    "archive = m.to_car()",
    "type(archive), len(archive)",
    "new_backend = {}",
    "new_m = ipldstore.IPLDStore(ipldstore.MappingCAStore(new_backend))",
    "new_backend",
    "new_m.import_car(archive)",
    "print(new_m.freeze())",
    "new_ds = xr.open_zarr(m)",
    "new_ds.a.values",
]
"""How each example of the original project's README begins, in order."""
ANCHOR = "bafyreibf3yn5ovxhrcwwdg4sm5sinnkwoyfx3wswghbjchz4zvwt55bhte\n"


def examples(page: Path) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(page.read_text(encoding="utf-8"))


def test_the_examples_of_the_original_are_there_and_pass() -> None:
    """With the CIDs that the original gave, in its order; those over a node are not run without one."""
    page = ROOT / "docs" / "inside.md"
    first = examples(page)[: len(ORIGINAL)]
    found = [(example.source[: len(source)], source) for example, source in zip(first, ORIGINAL, strict=True)]
    assert [each for each in found if each[0] != each[1]] == []
    printed = [example.want for example in first if example.source.startswith("print(m.freeze())")]
    assert printed == [ANCHOR] * 2
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert (failed, tried > len(ORIGINAL) - 3) == (0, True)


@pytest.mark.slow
def test_the_backend_of_ones_own_passes_its_suite(tmp_path: Path) -> None:
    wanted = ("import pytest", "from ipld_castore", "class ListCAStore", "class TestListCAStore")
    sources = [example.source for example in examples(ROOT / "docs" / "backend.md")]
    source = "".join(each for each in sources if each.startswith(wanted))
    assert source.count("class ") == 2
    (tmp_path / "test_backend.py").write_text(source, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


def test_it_opens_with_two_commands() -> None:
    """.ci/run runs the second; both are one line that sets up all it needs."""
    fences = README.read_text(encoding="utf-8").split("```sh\n")[1:]
    commands = [fence.split("```")[0].strip().splitlines() for fence in fences]
    assert commands[:2] == [["python3 dev.py run demo"], ["python3 dev.py run test"]]


@pytest.mark.parametrize("page", ["history.md"])
def test_the_examples_of_a_guide(page: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what zarr says of its own formats
        done = doctest.testfile(str(README.parent / "docs" / page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert done.attempted > 0
    assert done.failed == 0
