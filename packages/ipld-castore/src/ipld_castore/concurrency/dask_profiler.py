"""Warn where dask's profiler can stop a worker for ever, as it can in Python 3.11 beside threads of a library."""

from __future__ import annotations

import sys
import warnings
from typing import Any, Final

_IS_AFFECTED: Final = sys.version_info[:2] == (3, 11)
_warned = False


def warn_of_dask_profiler() -> None:
    """Warn, once in a process, that dask's profiler can stop a worker in this process (CPython issue 106883).

    A hundred times a second the profiler calls ``sys._current_frames``. In Python 3.11 that may collect garbage while
    it has locked the list of threads, and let another thread have the interpreter meanwhile. A thread of a library that
    leaves Python then waits for the list, and holds the interpreter: both wait for ever.
    """
    global _warned  # noqa: PLW0603  # one warning in a process is enough
    if _warned or not _IS_AFFECTED or not _is_profiled():
        return
    _warned = True
    warnings.warn(
        "expected dask's profiler to be off in a worker that uses obstore, found it on: in Python 3.11 it can stop the "
        "worker for ever (CPython issue 106883). Set 'distributed.worker.profile.enabled' to False in dask's "
        "configuration before the cluster starts, or use a newer Python",
        RuntimeWarning,
        stacklevel=3,
    )


def _is_profiled() -> bool:
    """Return whether the profiler of a dask worker runs in this process."""
    module: Any = sys.modules.get("distributed.worker")
    workers = () if module is None else list(getattr(module.Worker, "_instances", ()))
    profilers = [worker.periodic_callbacks["profile"] for worker in workers if "profile" in worker.periodic_callbacks]
    return any(profiler.is_running() for profiler in profilers)
