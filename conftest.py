"""Set up the tests of all packages: asserts that explain themselves, doctests of exported classes, hypothesis."""

import doctest
import gc
import importlib.util
import inspect
import logging
import multiprocessing
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# What runs in the background of a shell ignores interrupts, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where one of the arrays that zarr opens at once fails, zarr leaves the tasks of the others, whose errors asyncio tells
# when the loop is gone: 18,000 lines between the dots.
logging.getLogger("asyncio").addFilter(lambda record: "coro=<_getitem_semaphore() done" not in record.getMessage())

# The processes of dask: spawned ones take seconds to import what they need.
if "forkserver" in multiprocessing.get_all_start_methods():
    os.environ["DASK_MULTIPROCESSING__CONTEXT"] = "forkserver"
    os.environ["DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD"] = "forkserver"

# A real IPFS node and real servers of buckets, for the tests of ipld_castore and those across packages.
_kubo = importlib.import_module("packages.ipld-castore.tests.support.kubo_fixtures")
kubo, kubo_binary = _kubo.kubo, _kubo.kubo_binary
_buckets = importlib.import_module("packages.ipld-castore.tests.support.bucket_fixtures")
atomic_s3, bucket, s3, s3_proxy = _buckets.atomic_s3, _buckets.bucket, _buckets.s3, _buckets.s3_proxy
gcs = _buckets.gcs

# The suite that backends subclass. Imported here, as doctests are collected first, and pytest collects a
# package's __init__ without rewriting its asserts. (ipld_car is tested without ipld_castore being there.)
pytest.register_assert_rewrite("ipld_castore.testing")
if importlib.util.find_spec("ipld_castore"):
    importlib.import_module("ipld_castore.testing")

# Doctests of what a package exports are collected from the package, which loads names when they are asked for.
for _name in ("ipld_castore", "ipldstore"):
    if importlib.util.find_spec(_name):
        _package = importlib.import_module(_name)
        for _exported in _package.__all__:
            getattr(_package, _exported)

# Doctests import modules. Some are over an extra, which may not be there, and one is over a zarr that is to come.
_OVER_EXTRAS = {
    "_fsspec/*": "fsspec",
    "_serve/*": "starlette",
    "_there/times.py": "cftime",
    "_xarray/*": "xarray",
}
_source = "packages/ipldstore/src/ipldstore"
collect_ignore_glob = [f"{_source}/_io/zarr_url.py"] + [
    f"{_source}/{modules}" for modules, extra in _OVER_EXTRAS.items() if importlib.util.find_spec(extra) is None
]
# No doctests, tests/pages follows these: they want servers, and write into the folder that they run in.
collect_ignore_glob += [f"docs/start/{name}.md" for name in ("cid", "car", "bucket", "cluster")]

# No deadlines: a slow machine is no failure, and speed is measured in benchmarks/.
settings.register_profile("desk", deadline=None, max_examples=25)
settings.register_profile("few", deadline=None, max_examples=20, derandomize=True, database=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True, max_examples=40)
settings.register_profile("soak", deadline=None, print_blob=True, max_examples=2000)  # --hypothesis-profile=soak
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# Each package sets ``__module__`` of the classes that it exports to its own name. Their doctests are collected
# from the package, once, and run with its names. Doctest itself would lose those of the methods: it looks for
# functions by their globals, which are those of the module that defines the class.
_is_from = doctest.DocTestFinder._from_module  # type: ignore[attr-defined]  # noqa: SLF001  # no public hook


def _is_from_or_exported(finder: doctest.DocTestFinder, module: ModuleType, found: object) -> bool:
    if inspect.isfunction(found) and "." in found.__qualname__:
        owner = getattr(module, found.__qualname__.partition(".")[0], None)
        return inspect.isclass(owner) and owner.__module__ == module.__name__
    return bool(_is_from(finder, module, found))


doctest.DocTestFinder._from_module = _is_from_or_exported  # type: ignore[attr-defined]  # noqa: SLF001  # no public hook


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option for what the mark ``covering`` leaves out."""
    parser.addoption("--all-combinations", action="store_true", help="run all that the mark `covering` would leave out")


@pytest.hookimpl(trylast=True)  # among the tests that -m and -k leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a test that is marked ``covering`` does not need."""
    if config.getoption("all_combinations"):
        return
    groups: dict[tuple[str, int], list[pytest.Function]] = defaultdict(list)
    for item in items:
        mark = item.get_closest_marker("covering")
        if isinstance(item, pytest.Function) and mark is not None and hasattr(item, "callspec"):
            groups[item.nodeid.partition("[")[0], mark.args[0] if mark.args else 2].append(item)
    chosen = {item for (_, strength), group in groups.items() for item in _covering(group, strength)}
    left_out = {item for group in groups.values() for item in group} - chosen
    if left_out:
        config.hook.pytest_deselected(items=[*left_out])
        items[:] = [item for item in items if item not in left_out]


def _covering(items: list[pytest.Function], strength: int) -> list[pytest.Function]:
    """Choose few items of one test such that any ``strength`` values of its parameters that can be are in one of them.

    Each choice is the item with most that is new, and of equals the one whose values were chosen least often so far.
    """
    values = {item: sorted((name, id(value)) for name, value in item.callspec.params.items()) for item in items}
    combined = {item: [*combinations(found, min(strength, len(found)))] for item, found in values.items()}
    missing = {each for found in combined.values() for each in found}
    used: Counter[tuple[str, int]] = Counter()
    chosen = []
    while missing:
        best = max(
            items,
            key=lambda item: (len(missing.intersection(combined[item])), -sum(used[each] for each in values[item])),
        )
        chosen.append(best)
        missing.difference_update(combined[best])
        used.update(values[best])
    return chosen


def pytest_collection_finish() -> None:
    """Exempt what collection has made, such as 7,000 tests and all modules, from garbage collection.

    Tests that run the collector, to see that nothing is left to it, would spend most of their time on those objects.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def _turnstile(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The folder of locks that pytest-xdist's workers share; None where one process runs all tests."""
    if "PYTEST_XDIST_WORKER" not in os.environ or importlib.util.find_spec("fcntl") is None:
        return None
    return tmp_path_factory.getbasetemp().parent


@pytest.fixture(autouse=True)
def _take_turns(request: pytest.FixtureRequest, _turnstile: Path | None) -> Iterator[None]:
    """Let a test that is marked ``alone`` wait until no other runs, and the others until it is over."""
    if _turnstile is None:
        yield
        return
    import fcntl

    kind = fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH
    with (_turnstile / "turnstile.lock").open("a") as turnstile, (_turnstile / "room.lock").open("a") as room:
        fcntl.flock(turnstile, fcntl.LOCK_EX)  # whoever waits for the room is next
        fcntl.flock(room, kind)
        fcntl.flock(turnstile, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)  # also for processes of the test that outlive it
