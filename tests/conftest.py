"""What the tests across packages share."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def node(kubo: Any) -> Iterator[Any]:
    """A real IPFS node without blocks."""
    yield kubo
    kubo.empty()


@pytest.fixture
def other(kubo_binary: str, tmp_path: Path, kubo: Any) -> Iterator[Any]:
    """A second node, which knows the first."""
    second = type(kubo)(kubo_binary, tmp_path / "other")
    second.start()
    try:
        second.connect(kubo)
        yield second
    finally:
        second.stop()


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Nothing is collected while sources are parsed.

    zarr leaves tasks with exceptions behind when a listing fails. asyncio prints their tracebacks when they are
    collected, for which Python 3.11 parses too, and there parsing within parsing is a SystemError
    (python/cpython#106905).
    """
    gc.disable()
    yield
    gc.enable()
