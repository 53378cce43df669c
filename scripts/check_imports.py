"""Check an installed package: every module is importable, and all that it imports is declared as a dependency.

``python check_imports.py ipld_car`` looks at the imports within functions too, which no test may reach: each is of the
standard library, of the package itself, or of a distribution that the package's metadata requires, perhaps as an extra.
It needs nothing but the standard library, as it runs in the environment of one wheel.
"""

import ast
import importlib
import importlib.metadata
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path

IF_INSTALLED = {"boto3", "botocore"}
"""What is used where users have it, and asked of nobody: boto3 finds credentials of S3."""

OTHER_NAMES = {"dns": "dnspython"}
"""Modules whose distribution has another name, by which they are known where an extra is not installed."""

NOT_RELEASED = {"zarr.abc.url_pipeline"}
"""Modules that a dependency will have in a later version; what needs them is not imported before."""


def main(package: str) -> int:
    dist = package.replace("_", "-")
    required, extras = requirements(dist)
    providers = importlib.metadata.packages_distributions()
    folder = Path(importlib.import_module(package).__file__ or "").parent
    problems = []
    for path in sorted(folder.rglob("*.py")):
        for line, name in imports(ast.parse(path.read_text("utf-8"))):
            if name == package or name in sys.stdlib_module_names | IF_INSTALLED:
                continue
            dists = {normal(each) for each in providers.get(name, [OTHER_NAMES.get(name, name)])}
            if not dists & (required | extras):
                problems.append(f"{path.relative_to(folder)}:{line}: {name} is not declared by {dist}")
    count = 0
    for module in pkgutil.walk_packages([str(folder)], f"{package}.", onerror=lambda _: None):
        if module.name.endswith("__main__"):
            continue
        count += 1
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            top = missing.partition(".")[0]
            if missing not in NOT_RELEASED and normal(OTHER_NAMES.get(top, top)) not in extras:
                problems.append(f"{module.name}: {error}")
    print("\n".join(problems) or f"{package}: {count} modules are importable, and what they import is declared")
    return 1 if problems else 0


def requirements(dist: str) -> tuple[set[str], set[str]]:
    """Return the names of the distributions that one requires, always and as extras."""
    required: set[str] = set()
    extras: set[str] = set()
    for requirement in importlib.metadata.requires(dist) or []:
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None, requirement  # noqa: S101  # metadata begin with a name
        (extras if "extra ==" in requirement else required).add(normal(name[0]))
    return required, extras


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the first name of each absolute import, wherever it is, but for those of type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, (node.module or "").partition(".")[0]
        elif not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            yield from imports(node)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
