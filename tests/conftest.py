"""What the tests across packages share."""

import gc
from collections.abc import Iterator

import pytest


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
