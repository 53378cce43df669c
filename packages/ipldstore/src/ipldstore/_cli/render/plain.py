"""Any value as JSON has it."""

from __future__ import annotations

import json
from typing import Any


def plain(value: Any) -> Any:
    """Return a value that JSON has: numbers of numpy become those of Python, mappings dicts, all else its text.

    Numbers that JSON lacks become "NaN", "Infinity" and "-Infinity", as zarr writes them.

    >>> plain([float("nan"), 1.5])
    ['NaN', 1.5]
    """
    return json.loads(json.dumps(value, default=_default), parse_constant=str)


def _default(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return dict(value) if hasattr(value, "keys") else str(value)
