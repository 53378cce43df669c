"""Changing entries: values and directories that stand at their names, outside any chunk index."""

from __future__ import annotations

from ipldstore._format.nodes import Load

from .directory import Directory


def put_plain(top: Directory, parts: list[str], link: bytes, load: Load) -> list[Directory]:
    """Have a value at the entry of a key, beside the directory that may be there; returns those on the way to it."""
    visited = [top]
    for name in parts[:-1]:
        visited.append(visited[-1].make(name, load))
    below = visited[-1].open(parts[-1], load)
    if below is None:
        visited[-1].put_entry(parts[-1], link, load)
    else:
        below.value = link
    return visited


def drop_plain(top: Directory, parts: list[str], load: Load) -> None:
    """Have no value at the entry of a key, and no empty directory that it leaves."""
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
    """Take the directories that have become empty out of those above them; ``visited`` begins above ``parts[0]``."""
    for at in range(len(visited) - 1, 0, -1):
        if not visited[at].is_empty():
            return
        visited[at - 1].drop_directory(parts[at - 1])
