"""Changes of entries: values and directories at their names in a directory, outside any chunk index."""

from __future__ import annotations

from ipldstore._format.nodes import Load

from .directory import Directory


def set_inline(top: Directory, parts: list[str], link: bytes, load: Load) -> list[Directory]:
    """Set the value at the entry of a key; return the directories on the path to it.

    Where a directory is at the entry, the value is set beside it.
    """
    visited = [top]
    for name in parts[:-1]:
        visited.append(visited[-1].make(name, load))
    below = visited[-1].open(parts[-1], load)
    if below is None:
        visited[-1].put_entry(parts[-1], link, load)
    else:
        below.value = link
    return visited


def drop_inline(top: Directory, parts: list[str], load: Load) -> None:
    """Delete the value at the entry of a key, and the directories that are empty without it."""
    visited = [top]
    for name in parts[:-1]:
        directory = visited[-1].open(name, load)
        if directory is None:
            prune(visited, parts)
            return
        visited.append(directory)
    below = visited[-1].open(parts[-1], load)
    if below is None:
        visited[-1].put_entry(parts[-1], None, load)
    else:
        below.value = None
        visited.append(below)
    prune(visited, parts)


def prune(visited: list[Directory], parts: list[str]) -> None:
    """Delete the directories at the end of a path that have become empty.

    :param visited: the directories on the path, the first of them above ``parts[0]``
    """
    for at in range(len(visited) - 1, 0, -1):
        if not visited[at].is_empty():
            return
        visited[at - 1].drop_directory(parts[at - 1])
