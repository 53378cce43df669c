"""Every example in a docstring is a doctest that runs, once."""

import ast
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("no_collection")

ROOT = Path(__file__).parents[1]
LAYERS = ["ipld_car", "ipld_castore", "ipldstore"]


def source_of(layer: str) -> Path:
    return ROOT / "packages" / layer.replace("_", "-") / "src"


def examples(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    """Yield the qualified name of each class and function whose docstring has an example; "" is the module."""
    if isinstance(tree, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if ">>> " in (ast.get_docstring(tree) or ""):
            yield prefix.removesuffix(".")
        for child in tree.body:
            name = getattr(child, "name", "")
            yield from examples(child, f"{prefix}{name}.")


def collected(session: pytest.Session, layer: str) -> Iterator[str]:
    """Yield the same of the doctests that pytest collects, by the hooks that it collects them with."""
    source = source_of(layer)
    conftest: Any = session.config.pluginmanager.get_plugin(str(ROOT / "conftest.py"))
    for path in sorted(source.rglob("*.py")):
        if any(fnmatch(str(path.relative_to(ROOT)), pattern) for pattern in conftest.collect_ignore_glob):
            continue
        hooks = session.gethookproxy(path)
        module = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for collector in hooks.pytest_collect_file(file_path=path, parent=session):
            for name in [item.name for item in collector.collect()]:
                assert name == module or name.startswith(f"{module}."), (path, name)
                yield name.removeprefix(module).removeprefix(".")


@pytest.mark.parametrize("layer", LAYERS)
def test_each_example_is_collected_once(request: pytest.FixtureRequest, layer: str) -> None:
    """Also those of classes whose ``__module__`` is the package that exports them."""
    sources = source_of(layer).rglob("*.py")
    written = Counter(name for path in sources for name in examples(ast.parse(path.read_text("utf-8"))))
    assert written.total() > 5
    assert Counter(collected(request.session, layer)) == written
