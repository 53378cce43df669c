"""Errors that are kept for later, without all that the frames of their tracebacks hold."""

from __future__ import annotations

import traceback


def clear_frames(error: BaseException) -> None:
    """Clear the local variables of the frames in the traceback of an error, and of its causes.

    Frames that still run keep theirs.
    """
    for each in _chain(error):
        traceback.clear_frames(each.__traceback__)


def drop_tracebacks(error: BaseException) -> None:
    """Remove the tracebacks of an error, and of its causes, before the error is kept.

    A frame in a traceback refers to its caller, so that an object which keeps an error would keep every frame of the
    thread that raised it, and those often refer to the object: a cycle.
    """
    for each in _chain(error):
        each.__traceback__ = None


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error, its causes and its contexts, each once."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is not None and id(current) not in found:
            found[id(current)] = current
            waiting += current.__cause__, current.__context__
    return list(found.values())
