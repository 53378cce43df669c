"""The layers hold: what import-linter cannot see of them.

import-linter (in pyproject.toml) checks which package imports which. Here: no package reaches into the
private parts of another one, and importing a layer loads nothing heavy.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ipld_castore
import ipldstore
import pytest

pytestmark = pytest.mark.usefixtures("no_collection")

PACKAGES = Path(__file__).parents[1] / "packages"
LAYERS = ["ipld_car", "ipld_castore", "ipldstore"]
# What `import <layer>` must not load: a script that reads one CAR does not wait for it.
HEAVY = {
    "ipld_car": ["click", "dask", "numpy", "requests", "rich", "tqdm", "xarray", "zarr"],
    "ipld_castore": ["click", "dask", "numpy", "rich", "tqdm", "xarray", "zarr"],
    "ipldstore": ["click", "dask", "rich", "tqdm", "xarray"],
}


def modules(layer: str) -> list[Path]:
    found = sorted((PACKAGES / layer.replace("_", "-") / "src" / layer).rglob("*.py"))
    assert found, f"no modules of {layer} under {PACKAGES}"
    return found


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The dotted names that a module imports, absolute ones, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def private_reaches(layer: str, tree: ast.AST) -> Iterator[str]:
    """The private parts of other layers that a module imports (ruff's SLF001 sees `layer._part`)."""
    for line, name in imported(tree):
        root, *parts = name.split(".")
        if root in LAYERS and root != layer and any(p.startswith("_") and not p.startswith("__") for p in parts):
            yield f"line {line}: {name}"


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_reaches_into_the_private_parts_of_another(layer: str) -> None:
    found = [
        f"{path.relative_to(PACKAGES)} {reach}"
        for path in modules(layer)
        for reach in private_reaches(layer, ast.parse(path.read_text("utf-8"), path))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "from ipld_car._reader import CarReader",
        "from ipld_car import CarReader, _reader",
        "import ipld_car._reader as reader",
        "def f():\n    import ipld_car._reader",
    ],
)
def test_a_reach_into_private_parts_is_seen(source: str) -> None:
    assert list(private_reaches("ipldstore", ast.parse(source)))
    assert not list(private_reaches("ipld_car", ast.parse(source)))
    assert not list(private_reaches("ipldstore", ast.parse("from ipld_car import CarReader, __version__")))


@pytest.mark.parametrize("layer", LAYERS)
def test_importing_a_layer_loads_nothing_heavy(layer: str) -> None:
    show = f"import {layer}, sys; {layer}.__all__; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    above = LAYERS[LAYERS.index(layer) + 1 :]
    assert layer in loaded.stdout.split()
    assert [name for name in HEAVY[layer] + above if name in loaded.stdout.split()] == []


def test_each_store_of_blocks_can_be_imported_from_ipldstore() -> None:
    """People with data need no second import; ``GatewayCAStore`` was forgotten once."""
    stores = {name for name in ipld_castore.__all__ if name.endswith(("CAStore", "IPFSStore")) and name != "AnyCAStore"}
    assert "ObjectCAStore" in stores
    assert stores - set(ipldstore.__all__) == set()


@pytest.mark.parametrize("layer", LAYERS)
def test_public_names_are_listed_and_there(layer: str) -> None:
    package = __import__(layer)
    assert sorted(package.__all__) == sorted(set(package.__all__)), "a name is listed twice"
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
