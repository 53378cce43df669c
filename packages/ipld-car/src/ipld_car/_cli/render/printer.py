"""Lines for people and for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from ipld_car._cli.files import writing
from ipld_car._cli.progress import make_room

Line = str | Mapping[str, Any]
Tell = Callable[[Line], None]

_PIECE = 1 << 16


@contextmanager
def lines_to(path: str, *, standard_is_taken: bool = False) -> Iterator[Tell]:
    """A function that writes a line: text as it is, a mapping as JSON.

    To a terminal each line goes at once, elsewhere they go in pieces.

    :param standard_is_taken: write to standard error, as standard output has bytes for machines
    """
    with nullcontext(sys.stderr.buffer) if standard_is_taken else writing(path) as stream:
        waiting: list[str] = []
        someone_looks_on = stream.isatty()
        size = 0

        def tell(line: Line) -> None:
            nonlocal size
            text = line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)
            waiting.append(text)
            size += len(text)
            if size > _PIECE or someone_looks_on:
                flush()

        def flush() -> None:
            nonlocal size
            if waiting:
                if someone_looks_on:
                    make_room()
                stream.write(("\n".join(waiting) + "\n").encode(errors="surrogateescape"))
                stream.flush()
                waiting.clear()
                size = 0

        try:
            yield tell
        finally:
            flush()


def printable(text: str) -> str:
    """Text from an archive that cannot command a terminal: controls are escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
