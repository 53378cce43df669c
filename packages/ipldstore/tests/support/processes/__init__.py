"""Programs that tests run as processes, and what processes that are started anew import.

Python takes two seconds to import zarr, and four to import xarray and dask. So processes are forked, where that can
be, from one that has imported them, which is as if they had just been started otherwise.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

PRELOADED = ("ipldstore._public", "ipldstore._repository.repository", "zarr")

FRESH: Any = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
"""The context of processes that share no memory with the one that starts them."""


def preload() -> None:
    """Set what the process that forks imports before; what is not installed is left out."""
    FRESH.set_forkserver_preload([*PRELOADED, "xarray", "dask.array"])


preload()


class Running(NamedTuple):
    """A process, and what it prints."""

    process: Any
    out: IO[str]
    err: IO[str]


@contextmanager
def running(action: Callable[..., Any], *arguments: Any) -> Iterator[Running]:
    """Run a function in a process of its own, whose exit code is what the function returns; kill it at the end."""
    pipes = [FRESH.Pipe(duplex=False) for _ in range(2)]
    theirs = [pipe[1] for pipe in pipes]
    process = FRESH.Process(target=_run, args=(theirs, action, arguments))
    process.start()
    for pipe in theirs:
        pipe.close()
    out, err = (os.fdopen(os.dup(pipe[0].fileno())) for pipe in pipes)
    try:
        yield Running(process, out, err)
    finally:
        process.kill()
        process.join()
        process.close()
        for stream in (out, err, *(pipe[0] for pipe in pipes)):
            stream.close()


def _run(streams: list[Any], action: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.exit(action(*arguments))
