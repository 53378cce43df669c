"""The examples of the guides in ``docs`` run as they stand."""

from __future__ import annotations

import doctest
import warnings
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["history.md"])
def test_the_examples_of_a_page(page: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what zarr says of its own formats
        done = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert done.attempted > 0
    assert done.failed == 0
