"""Text of any length and content as one line that a terminal and a page can show."""

from __future__ import annotations

from typing import Final

_WIDTH: Final = 100


def clip(text: str, width: int = _WIDTH) -> str:
    """Return one line of at most ``width`` characters, control characters shown as escapes."""
    line = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return line if len(line) <= width else f"{line[: width - 3]}..."
