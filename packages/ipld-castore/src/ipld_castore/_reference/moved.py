"""Where files are now that an index has by older names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .allow import is_url, local_name

AnyPlace = str | os.PathLike[str]


class MovedFiles:
    """Names of files that were moved, or are on another server or below another mount point by now.

    The longest prefix that a name has counts, and each name is changed once. Blocks are hashed at the new place as at
    the old one, and ``allow`` has to name the new place.

    :param prefixes: by the old path or URL of a file, or of a folder with all below it, the new one
    :raises ValueError: if one is empty
    :raises TypeError: if they are no mapping

    >>> moved = MovedFiles({"/scratch/run7": "/archive/run7", "/scratch": "https://host/data"})
    >>> moved.place_of("/scratch/run7/x.nc"), moved.place_of("/scratch/run70/x.nc"), moved.place_of("/home/x.nc")
    ('/archive/run7/x.nc', 'https://host/data/run70/x.nc', '/home/x.nc')
    """

    def __init__(self, prefixes: Mapping[Any, AnyPlace]) -> None:
        if not isinstance(prefixes, Mapping):
            raise TypeError(f"expected moved={{old: new}}, found {type(prefixes).__name__}")
        found = {local_name(os.fspath(old)): local_name(os.fspath(new)) for old, new in prefixes.items()}
        if not all(found) or not all(found.values()):
            raise ValueError(f"expected paths and URLs as old and new places, found an empty text in moved={found!r}")
        self._prefixes = {_normal(old): _normal(new) for old, new in found.items()}

    def place_of(self, name: str) -> str:
        """Return where a file is now.

        :param name: an absolute path, or a URL
        """
        if not self._prefixes:
            return name
        above = _normal(name)
        at = len(above)
        while at >= 0:
            new = self._prefixes.get(above[:at])
            if new is not None:
                rest = above[at:]
                return new + (rest.replace(os.sep, "/") if is_url(new) else rest)
            at = max(above.rfind(separator, 0, at) for separator in ("/", os.sep))
        return name


def _normal(name: str) -> str:
    """Return a name without a separator at its end; a path absolute and without dots."""
    return name.rstrip("/") if is_url(name) else os.path.abspath(name).rstrip(os.sep)  # noqa: PTH100  # links stay
