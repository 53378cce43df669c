"""Where the indexes of references of a dataset lie: beside its CAR file, or in its folder of blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipld_castore import ContentAddressableStore

if TYPE_CHECKING:
    from ipld_castore import ReferenceCAStore


def prefixes_of(allow: Iterable[str | os.PathLike[str]]) -> tuple[str | os.PathLike[str], ...]:
    """Return what a caller allows.

    :raises TypeError: if it is one prefix, and no list of them: each letter of a text would be one, also ``/``

    >>> prefixes_of(["/data", "https://host/data"])
    ('/data', 'https://host/data')
    """
    if isinstance(allow, (str, bytes, os.PathLike)) or not isinstance(allow, Iterable):
        raise TypeError(f"expected a list of prefixes, as in allow=['/data'], found {allow!r}")
    found = tuple(allow)
    for prefix in found:
        if not isinstance(prefix, (str, os.PathLike)):
            raise TypeError(f"expected paths and URLs as prefixes, found {prefix!r}")
    return found


def references_of(path: Path) -> Path:
    """Return the folder of the indexes of a CAR file or a folder of blocks, whether it is there or not.

    >>> references_of(Path("air.car")).name
    'air.car.references'
    """
    return path / "references" if path.is_dir() or path.suffix.lower() != ".car" else Path(f"{path}.references")


def has_references(path: Path) -> bool:
    """Return whether a CAR file or a folder of blocks has indexes of blocks that lie in other files."""
    folder = references_of(path)
    return folder.is_dir() and any(folder.glob("*.index"))


def references_beside(
    path: Path,
    allow: Iterable[str | os.PathLike[str]] = (),
    storage_options: Mapping[str, Any] | None = None,
    moved: Mapping[Any, Any] | None = None,
) -> ReferenceCAStore | None:
    """Return the blocks that lie in other files, if there are indexes of such blocks; None if there are none.

    :param path: the CAR file or folder
    :param allow: what an index may open that another process has written
    :param storage_options: of the files, where they are in buckets or on servers
    :param moved: where files are now, by their old places
    :raises CAStoreError: if an index cannot be read
    """
    if not has_references(path):
        return None
    from ipld_castore import ReferenceCAStore  # when it is needed: it reads URLs too

    return ReferenceCAStore(references_of(path), allow=allow, moved=moved, storage_options=storage_options)


def with_references(
    castore: ContentAddressableStore,
    path: Path,
    allow: Iterable[str | os.PathLike[str]] = (),
    storage_options: Mapping[str, Any] | None = None,
    moved: Mapping[Any, Any] | None = None,
) -> ContentAddressableStore:
    """Return a block store with the blocks that lie in other files, if it has indexes of such blocks.

    The arguments and errors are those of :func:`references_beside`.
    """
    references = references_beside(path, allow, storage_options, moved)
    if references is None:
        return castore
    from ipld_castore import ReferencingCAStore

    return ReferencingCAStore(castore, references)
