"""What users import: complete lists, docstrings that say what a verb does, and classes that say where they are from."""

from __future__ import annotations

import importlib
import inspect
import pickle
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from types import FunctionType, ModuleType
from typing import Any

import pytest
from ipld_car import cids
from multiformats import CID

MODULES = [
    "ipld_car",
    "ipld_car.cids",
    "ipld_car.codecs.dagcbor",
    "ipld_car.codecs.dagpb",
    "ipld_car.errors",
    "ipld_car.fs",
    "ipld_car.hashes",
    "ipld_car.lru",
    "ipld_car.messages",
    "ipld_car.ops",
    "ipld_car.streams",
    "ipld_car.terminal",
    "ipld_car.unixfs",
    "ipld_car.varint",
    "ipld_castore",
    "ipld_castore.concurrency",
    "ipld_castore.errors",
    "ipldstore",
    "ipldstore.errors",
]
PACKAGES = ("ipld_car", "ipld_castore", "ipldstore")
OWN = tuple(f"{package}." for package in PACKAGES)
NOT_VERBS = re.compile(
    r"(A|An|All|Another|As|Be|Binary|Blocks?|Bytes|Have|How|In|It|Like|One|References|Same|Some|Such|Text|The|These|"
    r"This|What|Whether|Which|Who)\b"
)


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def exported(module: ModuleType) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__all__}


def functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """The functions that a module exports, and the methods of its classes; no properties, which are nouns."""
    for name, value in exported(module).items():
        if isinstance(value, FunctionType):
            yield name, value
        if inspect.isclass(value) and f"{value.__module__}.".startswith(OWN):
            for verb, _ in inspect.getmembers(value):
                found = inspect.getattr_static(value, verb)
                function = getattr(found, "__func__", found)
                if isinstance(function, FunctionType) and function.__module__.startswith(PACKAGES) and verb[0] != "_":
                    yield f"{name}.{verb}", function


def test_the_list_of_names_is_complete(module: ModuleType) -> None:
    """``from module import *`` and the documentation have everything, and nothing twice."""
    assert len(module.__all__) == len(set(module.__all__))
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and (inspect.isclass(value) or inspect.isfunction(value))
        and f"{value.__module__}.".startswith(f"{module.__name__}.")
    }
    assert public <= set(module.__all__)


def test_everything_has_a_docstring(module: ModuleType) -> None:
    assert module.__doc__
    silent = [name for name, value in exported(module).items() if isinstance(value, type) and not value.__doc__]
    assert silent + [name for name, value in functions(module) if not inspect.getdoc(value)] == []


def test_a_docstring_begins_with_what_the_verb_does(module: ModuleType) -> None:
    """As "Return the bytes of a key", not "The bytes of a key"."""
    wrong = {
        name: text[:60] for name, value in functions(module) if NOT_VERBS.match(text := inspect.getdoc(value) or "")
    }
    assert wrong == {}


@pytest.mark.parametrize("name", ["ipld_car", "ipld_car.ops", "ipld_castore", "ipldstore"])
def test_classes_and_functions_say_where_users_import_them_from(name: str) -> None:
    """In tracebacks and in pickles: one that names a private module is not read after the module has moved."""
    module = importlib.import_module(name)
    for each, value in exported(module).items():
        if isinstance(value, (type, FunctionType)):
            assert value.__module__ in PACKAGES or value.__module__ == name, each
            assert b"._" not in pickle.dumps(value, 0), each
            assert pickle.loads(pickle.dumps(value)) is value  # noqa: S301  # made here


def _example(annotation: str, cid: CID) -> Any:
    if "tuple[CID" in annotation:
        return (cid,)
    if "list[CID" in annotation:
        return [cid]
    if "dict[str, CID" in annotation:
        return {"name": cid}
    return cid if "CID" in annotation else 0 if annotation == "int" else ()


@pytest.mark.parametrize("module", ["ipld_car.ops", "ipld_castore", "ipldstore"])
def test_records_show_cids_as_people_write_them(module: str) -> None:
    """``repr`` of a CID is that of multiformats, with the digest in hex, which nobody can look up."""
    package = importlib.import_module(module)
    cid = cids.from_bytes(cids.make(cids.RAW, bytes(32)))
    found = 0
    for name in package.__all__:
        kind = getattr(package, name)
        fields = getattr(kind, "_fields", None) or getattr(kind, "__dataclass_fields__", {})
        annotations = {each: str(kind.__annotations__[each]) for each in fields if each in kind.__annotations__}
        if not isinstance(kind, type) or not any("CID" in annotation for annotation in annotations.values()):
            continue
        record = object.__new__(kind) if hasattr(kind, "__dataclass_fields__") else None
        values = {each: _example(annotation, cid) for each, annotation in annotations.items()}
        if record is None:
            record = kind(**values)
        for each, value in values.items() if hasattr(kind, "__dataclass_fields__") else ():
            object.__setattr__(record, each, value)
        if name == "Commit":  # which has the time in its text
            record = record._replace(time=datetime.now(UTC), message="m")
        shown = repr(record)
        assert str(cid) in shown, name
        assert "CID(" not in shown, name
        assert "\n" not in shown, name
        found += 1
    assert found >= 3
