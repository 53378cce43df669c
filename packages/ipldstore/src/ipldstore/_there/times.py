"""Numbers in the units of another source: "days since 2026-01-01" in one file, since 2026-02-01 in the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def converted(
    values: npt.NDArray[Any], own: Mapping[str, Any], wanted: Mapping[str, Any], name: str
) -> npt.NDArray[Any]:
    """Return values in the units of the sources before.

    :param own: the attributes that the values are read by
    :param wanted: the attributes of the array that they are appended to
    :param name: the name of the source, for the message
    :raises ValueError: if the units are of no time, the calendars differ, or a value would not be exact
    :raises ImportError: if cftime is not installed

    >>> attributes = [{"units": f"days since 2026-0{month}-01"} for month in (2, 1)]
    >>> converted(np.array([0, 27]), *attributes, "february.nc").tolist()
    [31, 58]
    """
    units, calendars = ([each.get(key) for each in (own, wanted)] for key in ("units", "calendar"))
    if units[0] == units[1] and calendars[0] == calendars[1]:
        return values
    calendar = [each or "standard" for each in calendars]
    if not all(isinstance(unit, str) and " since " in unit for unit in units) or calendar[0] != calendar[1]:
        raise ValueError(
            f"expected values in {units[1]!r} (calendar {calendars[1]!r}), as in the sources before; found "
            f"{units[0]!r} (calendar {calendars[0]!r}) in {name}"
        )
    try:
        import cftime  # type: ignore[import-untyped,unused-ignore]  # it has no types
    except ImportError as error:
        raise ImportError('cftime is needed for times in other units: pip install "ipldstore[virtual]"') from error
    dates = cftime.num2date(values, units[0], calendar[0])
    found = np.asarray(cftime.date2num(dates, units[1], calendar[1]))
    exact = found.astype(values.dtype)
    if not np.array_equal(cftime.num2date(exact, units[1], calendar[1]), dates):
        raise ValueError(f"expected times that {values.dtype} has in {units[1]!r}, found others in {name}")
    return exact
