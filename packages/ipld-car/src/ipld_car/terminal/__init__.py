"""What the commands of all packages share: how they begin and end, exit codes, progress bars, lines of output.

This room imports ops. `_cli` and the commands of the packages above may import it.
"""

from __future__ import annotations

from .exit_codes import BAD, BROKEN_PIPE, GOOD, INTERRUPTED, USAGE
from .printer import Line, Printer, open_printer, printable
from .process import CommandGroup, run
from .progress import Progress, clear_bars, show_progress

__all__ = [
    "BAD",
    "BROKEN_PIPE",
    "GOOD",
    "INTERRUPTED",
    "USAGE",
    "CommandGroup",
    "Line",
    "Printer",
    "Progress",
    "clear_bars",
    "open_printer",
    "printable",
    "run",
    "show_progress",
]
