"""The files of a folder that zarr's readers find in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

_LEFTOVER: Final = re.compile(r"\.[0-9a-f]{32}\.partial\Z")


def files_below(folder: str) -> Iterator[str]:
    """Yield the files below a folder, relative to it, in no order.

    Links are followed, as zarr follows them where it reads a key, except those that lead back to where they are. Pipes
    and other things that are no files are passed over.
    """
    todo: list[tuple[str, frozenset[str]]] = [("", frozenset())]
    while todo:
        above, followed = todo.pop()
        try:
            entries = os.scandir(f"{folder}/{above}")
        except (FileNotFoundError, NotADirectoryError):  # deleted since it was listed; or nothing is there
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append((f"{above}{entry.name}/", followed))
                elif entry.is_file():
                    yield above + entry.name
                elif entry.is_symlink() and entry.is_dir():
                    place = os.path.realpath(entry.path)
                    is_above = f"{os.path.realpath(f'{folder}/{above}')}/".startswith(f"{place}/")
                    if not is_above and place not in followed:
                        todo.append((f"{above}{entry.name}/", followed | {place}))


def is_leftover(key: str) -> bool:
    """Return whether a key is that of a file which a writer of zarr has left that was killed.

    >>> is_leftover("t2m/c/0.0123456789abcdef0123456789abcdef.partial"), is_leftover("t2m/c/0")
    (True, False)
    """
    return key.endswith(".partial") and _LEFTOVER.search(key) is not None
