"""Exported classes name the package that users import them from, in tracebacks and in pickles."""

import pickle
import subprocess
import sys

import ipld_car
import pytest
from ipld_car import BlockLocation, IndexEntry, MalformedError, V2Header, unixfs

CLASSES = [value for name in ipld_car.__all__ if isinstance(value := getattr(ipld_car, name), type)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_exported_classes_belong_to_the_package(kind: type) -> None:
    assert kind.__module__ == "ipld_car"
    assert getattr(ipld_car, kind.__qualname__) is kind


def test_a_traceback_names_the_public_class() -> None:
    code = "import ipld_car; ipld_car.CarReader(b'')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("ipld_car.TruncatedError: expected a CAR header")


@pytest.mark.parametrize(
    "value",
    [
        BlockLocation(18, 1, 36, 24),
        IndexEntry(0x12, bytes(32), 59),
        V2Header(True, 51, 18, 69),
        MalformedError("expected this, found that", offset=3),
        unixfs.Tree(b"", 0, 0),
        unixfs.Kind.FILE,
    ],
    ids=lambda value: type(value).__name__,
)
def test_pickles_name_the_public_class(value: object) -> None:
    """A pickle that names a private module cannot be read after that module has moved."""
    pickled = pickle.dumps(value, 0)
    assert b"ipld_car._" not in pickled
    assert b"unixfs." not in pickled
    again = pickle.loads(pickled)  # noqa: S301 - made right here
    assert type(again) is type(value)
    assert str(again) == str(value)
