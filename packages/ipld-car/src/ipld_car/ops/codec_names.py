"""Codecs as people know them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from multiformats import multicodec

_TOLD: Final = 5
"""Codecs that a person is told of one by one: an archive may name a new one in each block."""


def code_name(code: int) -> str:
    """The name of a multicodec, or its number."""
    return multicodec.get(code=code).name if multicodec.exists(code=code) else f"0x{code:x}"


def by_name(counts: Counter[int]) -> dict[str, int]:
    """Counts of codecs, in the order of their codes."""
    return {code_name(code): count for code, count in sorted(counts.items())}


def not_followed(counts: Counter[int]) -> str:
    """What is said of blocks by codecs that nobody here knows the links of."""
    total = counts.total()
    names = [f"{count} {code_name(code)}" for code, count in counts.most_common(_TOLD)]
    if len(counts) > _TOLD:
        names.append("others")
    return f"{total} block{'' if total == 1 else 's'} of a codec whose links are not known here: {', '.join(names)}"
