"""Names of codecs and hash functions."""

from __future__ import annotations

from collections import Counter
from typing import Final

from multiformats import multicodec

_MAX_NAMED: Final = 5
"""Codecs that are named one by one in a line for people: an archive may name a new one in each block."""


def code_name(code: int) -> str:
    """Return the name of a multicodec, or its number."""
    return multicodec.get(code=code).name if multicodec.exists(code=code) else f"0x{code:x}"


def by_name(counts: Counter[int]) -> dict[str, int]:
    """Return counts of codecs by name, in the order of their codes."""
    return {code_name(code): count for code, count in sorted(counts.items())}


def not_followed(counts: Counter[int]) -> str:
    """Return the line on blocks by codec, of those whose links are not known here."""
    total = counts.total()
    names = [f"{count} {code_name(code)}" for code, count in counts.most_common(_MAX_NAMED)]
    if len(counts) > _MAX_NAMED:
        names.append("others")
    return f"{total} block{'' if total == 1 else 's'} of a codec whose links are not known here: {', '.join(names)}"
