"""The keys and names of a dataset compared to those of a plain mapping."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ipldstore._dataset.dataset import Dataset


def directories_of(keys: Iterable[str]) -> set[str]:
    """Return all paths on the way to keys, with the keys and the root."""
    split = [key.split("/") for key in keys]
    return {"/".join(parts[:length]) for parts in split for length in range(len(parts) + 1)}


def agrees_on_keys(
    dataset: Dataset, keys: Collection[str], absent: Iterable[str] = (), *, exact_names: bool = True
) -> None:
    """Assert that the dataset has these keys and no others, by each verb that tells.

    :param absent: keys to look for too
    :param exact_names: False where a foreign root may have directories without keys in blocks of their own
    """
    found = list(dataset.keys())
    assert sorted(found) == sorted(keys)
    for key in {*keys, *absent}:
        assert (dataset.find(key) is not None) == (key in keys), key
    for path in directories_of([*keys, *absent]):
        below = f"{path}/" if path else ""
        wanted = {key[len(below) :].split("/")[0] for key in keys if key.startswith(below)}
        names = list(dataset.names(path))
        assert len(set(names)) == len(names), path
        assert (set(names) == wanted) if exact_names else (set(names) >= wanted), path
        for prefix in {below, path, path[:-1]}:
            assert sorted(dataset.keys(prefix)) == sorted(key for key in keys if key.startswith(prefix)), prefix
