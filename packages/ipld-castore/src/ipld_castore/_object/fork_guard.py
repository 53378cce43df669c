"""Detect forks: obstore runs requests in threads of its own, which the child of a fork does not have."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from ipld_castore.errors import BackendUnavailableError

_RUNTIME_THREAD: Final = "tokio-rt-worker"
"""The name of obstore's threads."""


class _State:
    """The state of this process."""

    started = False
    """Whether obstore has begun its threads."""
    lost = False
    """Whether obstore began its threads in a process that this one was forked from."""


def check_process() -> None:
    """Require that obstore can be used in this process.

    :raises BackendUnavailableError: if its threads were lost in a fork, so that a request would never return
    """
    if _State.lost:
        raise BackendUnavailableError(
            "cannot use obstore in this process: it was forked from one that had used it, and obstore's threads do not "
            "survive a fork (start processes by 'spawn' or 'forkserver', or use object stores only after forking)"
        )
    _State.started = True


def _before_fork() -> None:
    """Check whether other code, such as zarr's ObjectStore, has used obstore. Only Linux shows that."""
    if _State.started or "obstore" not in sys.modules or sys.platform != "linux":
        return
    for thread in Path("/proc/self/task").iterdir():
        try:
            name = (thread / "comm").read_text()
        except OSError:  # it has ended
            continue
        if name.strip() == _RUNTIME_THREAD:
            _State.started = True
            return


def _after_fork() -> None:
    _State.lost = _State.lost or _State.started
    _State.started = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
