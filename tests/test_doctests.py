"""Every example in a docstring is a doctest that runs, once."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("no_collection")

ROOT = Path(__file__).parents[1]
LAYERS = ["ipld_car", "ipld_castore", "ipldstore"]


def examples(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    """Yield the qualified name of each class and function whose docstring has an example; "" is the module."""
    if isinstance(tree, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if ">>> " in (ast.get_docstring(tree) or ""):
            yield prefix.removesuffix(".")
        for child in tree.body:
            name = getattr(child, "name", "")
            yield from examples(child, f"{prefix}{name}.")


def collected(layer: str) -> Iterator[str]:
    """Yield the same of the doctests that pytest collects."""
    source = Path("packages", layer.replace("_", "-"), "src")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=", "--import-mode=importlib"]
    command += ["--doctest-modules", "-p", "no:cacheprovider", str(source)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in done.stdout.splitlines():
        if "::" in line:
            path, _, name = line.partition("::")
            module = ".".join(Path(path).relative_to(source).with_suffix("").parts).removesuffix(".__init__")
            assert name == module or name.startswith(f"{module}."), line
            yield name.removeprefix(module).removeprefix(".")


@pytest.mark.parametrize("layer", LAYERS)
def test_each_example_is_collected_once(layer: str) -> None:
    """Also those of classes whose ``__module__`` is the package that exports them."""
    sources = (ROOT / "packages" / layer.replace("_", "-") / "src").rglob("*.py")
    written = Counter(name for path in sources for name in examples(ast.parse(path.read_text("utf-8"))))
    assert written.total() > 5
    assert Counter(collected(layer)) == written
