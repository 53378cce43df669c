"""What the tests across packages share."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def node(kubo: Any) -> Iterator[Any]:
    """A real IPFS node without blocks."""
    yield kubo
    kubo.empty()


@pytest.fixture(scope="session")
def _second(kubo_binary: str, tmp_path_factory: pytest.TempPathFactory, kubo: Any) -> Iterator[Any]:
    second = type(kubo)(kubo_binary, tmp_path_factory.mktemp("other"))
    second.start()
    try:
        second.connect(kubo)
        second.empty()
        yield second
    finally:
        second.kill()


@pytest.fixture
def other(_second: Any) -> Iterator[Any]:
    """A second node without blocks, which knows the first."""
    yield _second
    _second.empty()


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
