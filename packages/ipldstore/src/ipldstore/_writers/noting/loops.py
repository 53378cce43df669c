"""Event loops that do not run any more, or cannot while a caller waits: nobody waits for what they have begun."""

from __future__ import annotations

import asyncio
from typing import Final

LOOK_SECONDS: Final = 1.0
"""Who waits looks as often whether the event loop that has begun what is waited for still runs."""

Loop = asyncio.AbstractEventLoop | None
"""An event loop; None for a thread without one."""


def running_loop() -> Loop:
    """Return the event loop of the caller, which does not run while the caller waits; None in another thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def is_stopped(loop: Loop, blocked: Loop) -> bool:
    """Return whether what an event loop has begun cannot go on while the caller waits.

    :param loop: None for what is done in a thread
    :param blocked: the loop that the caller keeps from running
    """
    return loop is not None and (loop is blocked or not loop.is_running())
