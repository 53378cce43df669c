"""What a copy would overwrite."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from ipldstore._format import keys
from ipldstore._there.ends import End, is_zip


def require_no_others(target: End, documents: Mapping[str, bytes]) -> None:
    """Return if the nodes that are to be written into a target are not there, or are the same.

    :param documents: all documents of the nodes, by key below the target
    :raises FileExistsError: if a node that is there has other documents
    """
    for path in dict.fromkeys(key.rpartition("/")[0] for key in documents):
        for name in sorted(keys.DOCUMENTS):
            key = f"{path}/{name}" if path else name
            found = sync(target.store.get(target.prefix + key, default_buffer_prototype()))
            if found is not None and not _is_same(found.to_bytes(), documents.get(key)):
                raise data_there(f"{target.store}: {target.prefix}{key}")


def require_other_zip(source: object, target: object, *, overwrite: bool) -> None:
    """Return if a target is no zip file that is there, or is to be replaced: opening it to write empties it.

    :raises ValueError: if it is the source
    :raises FileExistsError: if it must not be replaced
    """
    if not isinstance(target, (str, os.PathLike)) or not is_zip(target) or not Path(target).exists():
        return
    if isinstance(source, (str, os.PathLike)) and is_zip(source) and Path(target).samefile(source):
        raise ValueError(f"expected another target than the source, found a copy of {target} over itself")
    if not overwrite:
        raise data_there(os.fspath(target))


def data_there(where: str, option: str = "overwrite=True") -> FileExistsError:
    """Return the error of a target that has other data.

    :param option: what allows to overwrite them
    """
    message = f"expected no other data where the source is to go, found some, which {option} overwrites"
    return FileExistsError(errno.EEXIST, message, where)


def _is_same(one: bytes, other: bytes | None) -> bool:
    return other is not None and (one == other or _parsed(one) == _parsed(other) is not None)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text, parse_constant=str)  # NaN is not equal to itself
    except ValueError:
        return None
