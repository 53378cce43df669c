"""The exit codes of the command."""

from __future__ import annotations

from typing import Final

GOOD: Final = 0
BAD: Final = 1
"""The archive is bad, or does not have what was asked for."""
USAGE: Final = 2
"""The command was used wrongly, or a file cannot be read or written."""
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
"""As a shell gives it for a process that SIGPIPE has ended."""
