"""Print lines, for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from .progress import clear_bars

Line = str | Mapping[str, Any]
Printer = Callable[[Line], None]

_PIECE: Final = 1 << 16


@contextmanager
def open_printer(path: str = "-", *, to_stderr: bool = False) -> Iterator[Printer]:
    """Yield a function that prints a line: text as it is, a mapping as JSON.

    To a terminal each line is written at once, elsewhere lines are written in pieces.

    :param path: a file, or ``-`` for standard output
    :param to_stderr: print to standard error, as standard output has an archive or other lines
    """
    from ipld_car.ops.output import open_output

    target = sys.stdout.buffer if path == "-" else path
    with nullcontext(sys.stderr.buffer) if to_stderr else open_output(target) as stream:
        waiting: list[str] = []
        is_terminal = stream.isatty()
        size = 0

        def print_line(line: Line) -> None:
            nonlocal size
            text = line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)
            waiting.append(text)
            size += len(text)
            if size > _PIECE or is_terminal:
                flush()

        def flush() -> None:
            nonlocal size
            if waiting:
                if is_terminal:
                    clear_bars()
                stream.write(("\n".join(waiting) + "\n").encode(errors="surrogateescape"))
                stream.flush()
                waiting.clear()
                size = 0

        try:
            yield print_line
        finally:
            flush()


def printable(text: str) -> str:
    """Return text from an archive with control characters escaped, so that it cannot command a terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
