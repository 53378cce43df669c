"""Run the text of a program, as ``python -c`` does: ``program.py TEXT ARGUMENTS``.

A module of its own, as the processes that run it are forked from one that has imported it.
"""

from __future__ import annotations

import sys
from types import ModuleType


def run(text: str, *arguments: str) -> int:
    """Run a program as ``__main__``, which Python ends as it ends that of any process."""
    sys.argv = ["-c", *arguments]
    sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(text, "<string>", "exec"), vars(sys.modules["__main__"]))  # noqa: S102  # written by the test
    return 0


def main() -> int:
    """Run the program that the arguments are."""
    return run(*sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
