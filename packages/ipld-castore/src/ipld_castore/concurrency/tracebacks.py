"""Errors that are kept for later, without all that the frames of their tracebacks hold."""

from __future__ import annotations

import traceback


def clear_frames(error: BaseException) -> None:
    """Clear the local variables of the frames in the traceback of an error, and of its causes.

    Frames that still run keep theirs.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is not None and id(current) not in seen:
            seen.add(id(current))
            traceback.clear_frames(current.__traceback__)
            waiting += current.__cause__, current.__context__
