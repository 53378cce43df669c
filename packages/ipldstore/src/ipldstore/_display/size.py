"""Numbers as people read them."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def nbytes_text(count: int) -> str:
    """Return a number of bytes in the unit that leaves at most four digits before the point.

    >>> nbytes_text(24), nbytes_text(1536), nbytes_text(5 << 30)
    ('24 B', '1.5 KiB', '5 GiB')
    """
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.4g} {_UNITS[unit]}"
