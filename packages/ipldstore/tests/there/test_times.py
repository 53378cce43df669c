"""Times of one file in the units of another: exactly, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from ipldstore._there.times import converted

pytest.importorskip("cftime", reason="the extra virtual is not installed")
DAYS = {"units": "days since 2026-01-01"}


def test_times_are_converted() -> None:
    found = converted(np.array([0, 27]), {"units": "days since 2026-02-01"}, DAYS, "february.nc")
    assert found.tolist() == [31, 58]
    same = np.array([1])
    assert converted(same, DAYS, DAYS, "a.nc") is same


@pytest.mark.parametrize(
    "own",
    [
        {"units": "m"},
        {},
        {"units": "days since 2026-02-01", "calendar": "noleap"},
        {"units": "hours since 2026-01-01T01:00"},
    ],
)
def test_times_that_the_units_do_not_have_are_refused(own: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"a\.nc"):
        converted(np.array([1, 2]), own, DAYS, "a.nc")
