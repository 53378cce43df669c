"""What the README says can be done is done here, where a doctest alone would not show it."""

from __future__ import annotations

import doctest
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def examples() -> list[str]:
    return [example.source for example in doctest.DocTestParser().get_examples(README.read_text(encoding="utf-8"))]


@pytest.mark.slow
def test_the_backend_of_ones_own_passes_its_suite(tmp_path: Path) -> None:
    wanted = ("import pytest", "from ipld_castore", "class ListCAStore", "class TestListCAStore")
    source = "".join(example for example in examples() if example.startswith(wanted))
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
