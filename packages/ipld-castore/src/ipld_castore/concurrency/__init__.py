"""Threads and processes: single-flight calls, ordered results, and what a fork must renew.

Knows nothing of blocks; every other room, and the packages above, may import it.
"""

from __future__ import annotations

from .fork import ForkLocal, process_id, renew_after_fork
from .ordered import THREADS, in_order
from .read_ahead import ReadAhead
from .shared_call import SharedCall
from .single_flight import InFlight
from .tracebacks import clear_frames, drop_tracebacks

__all__ = [
    "THREADS",
    "ForkLocal",
    "InFlight",
    "ReadAhead",
    "SharedCall",
    "clear_frames",
    "drop_tracebacks",
    "in_order",
    "process_id",
    "renew_after_fork",
]
