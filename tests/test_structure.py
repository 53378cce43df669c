"""The tree stays one that a stranger finds the way in: small folders, small modules, tests without tricks."""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("no_collection")

ROOT = Path(__file__).parents[1]
MOST_MODULES = 14
MOST_LINES = 400
PARTS = ["packages", "tests", "scripts", "benchmarks"]


def sources(*parts: str) -> list[Path]:
    found = [path for part in parts for path in sorted((ROOT / part).rglob("*.py")) if "build" not in path.parts]
    assert found, f"no modules in {parts}"
    return found


def test_no_folder_has_more_modules_than_one_remembers() -> None:
    count = Counter(str(path.parent.relative_to(ROOT)) for path in sources(*PARTS))
    assert {name: found for name, found in count.items() if found > MOST_MODULES} == {}


def test_no_module_is_too_long() -> None:
    lines = {str(path.relative_to(ROOT)): path.read_text("utf-8").count("\n") for path in sources(*PARTS)}
    assert {name: found for name, found in lines.items() if found > MOST_LINES} == {}


def test_each_package_says_what_is_in_it() -> None:
    """Each folder of modules begins with a docstring, for people who look for the right one."""
    packages = [path for path in sources(*PARTS) if path.name == "__init__.py" and "src" in path.parts]
    silent = [str(path.relative_to(ROOT)) for path in packages if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_the_architecture_lists_the_rooms() -> None:
    """The page has the rooms that there are and no others, from the top down, as the contracts of import-linter do."""
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8").partition("## Rooms")[2].partition("## Where a change goes")[0]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    for package in ("ipld_car", "ipld_castore", "ipldstore"):
        table = page.partition(f"**`{package}`**")[2].partition("**`")[0].splitlines()
        named = [name for line in table for name in re.findall(r"`(\w+)`", line.partition("| ")[2].partition(" |")[0])]
        layers = next(each["layers"] for each in contracts if each.get("containers") == [package])
        level = {room: number for number, layer in enumerate(layers) for room in layer.split(" | ")}
        assert sorted(named) == sorted(level), package
        assert named == sorted(named, key=level.__getitem__), package
        source = ROOT / "packages" / package.replace("_", "-") / "src" / package
        rooms = {path.stem for path in source.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
        assert set(named) == {room for room in rooms if not room.startswith("__")}, package


def test_docstrings_say_what_is_done() -> None:
    """``delete`` deletes a key, and does not "Have no such key": imperatives of the field, not states to be reached."""
    found = []
    for path in sources(*PARTS):
        source = path.read_text("utf-8")
        if not re.search(r'"""\s*(Have|Be)\b', source):  # to parse all takes seconds
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if text.split(maxsplit=1)[:1] in (["Have"], ["Be"]):
                    found.append(f"{path.relative_to(ROOT)}: {text.splitlines()[0]}")
    assert found == []


def test_no_test_changes_where_python_looks() -> None:
    """Helpers are packages and are imported as such, wherever tests are started."""
    forbidden = ("sys" + ".path", "add" + "sitedir", "PYTHON" + "PATH")
    tests = [path for path in sources("packages", "tests") if "tests" in path.parts]
    found = [str(path.relative_to(ROOT)) for path in tests for word in forbidden if word in path.read_text("utf-8")]
    assert found == []
