"""HDF5 and netCDF-4: what VirtualiZarr leaves out of its manifests, and the formats by their first bytes.

A dataset with a compact layout has its bytes in the header of its object, and no place that a manifest could name;
a dataset in an external file, and a virtual one, have them elsewhere. VirtualiZarr takes all of these for chunks that
were never written, so they would read as fill values. A chunk with filters left out (its filter mask) would be decoded
by filters that it never went through.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from ipldstore._there.manifests import MISSING
from ipldstore._there.model import Source

from . import dimensions, reasons, texts

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_USER_BLOCKS: Final = 12
"""Sizes of user blocks that are looked behind: 512 bytes to 1 MiB."""


def parser() -> Any:
    """Return a parser of VirtualiZarr, which leaves out texts of variable length: :func:`complete` adds them.

    :raises ImportError: if VirtualiZarr is not installed
    """
    try:
        from virtualizarr.manifests import ManifestGroup, ManifestStore
        from virtualizarr.parsers import HDFParser
    except ImportError as error:
        raise ImportError(MISSING) from error

    def parse(url: str, registry: Any) -> Any:
        with _opened(url, registry) as file:
            names = [path for path, _ in texts.text_datasets(file)]
            groups = _groups_of(file) if any("/" in path for path in names) else {"": []}
        try:
            made: dict[str, Any] = {}
            for group, below in reversed(groups.items()):
                left_out = [name.rpartition("/")[2] for name in names if len(groups) == 1 or _above(name) == group]
                own = HDFParser(group=group or None, reader_factory=_reader, drop_variables=[*left_out, *below])
                found = own(url, registry)
                if not below:
                    made[group] = found
                    continue
                node = found._group  # noqa: SLF001  # as manifests.parse reads it
                members = {name: made.pop(f"{group}/{name}".lstrip("/"))._group for name in below}  # noqa: SLF001  # same
                whole = ManifestGroup(arrays=node.arrays, groups=members, attributes=node.metadata.attributes)
                made[group] = ManifestStore(registry=registry, group=whole)
            return made[""]
        except (ImportError, OSError):
            raise
        except Exception as error:  # whatever the parser trips over
            with _opened(url, registry) as file:
                raise reasons.explained(url, file, error) from error

    return parse


def _groups_of(file: Any) -> dict[str, list[str]]:
    """Return the names of the groups in each group, by its path: the parser leaves out names at its top alone."""
    import h5py  # type: ignore[import-untyped,unused-ignore]  # it has no types

    found: dict[str, list[str]] = {"": []}

    def note(path: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            found[path] = []
            found[_above(path)].append(path.rpartition("/")[2])

    file.visititems(note)
    return found


def _above(path: str) -> str:
    return path.rpartition("/")[0]


def _reader(store: Any, path: str) -> Any:
    """Return what h5py opens: files of this machine are read by HDF5 itself, which is faster than in Python."""
    from obspec_utils.readers import BlockStoreReader
    from obstore.store import LocalStore

    return f"/{path.lstrip('/')}" if isinstance(store, LocalStore) else BlockStoreReader(store, path)


def _opened(url: str, registry: Any) -> Any:
    import h5py  # type: ignore[import-untyped,unused-ignore]  # it has no types

    return h5py.File(_reader(*registry.resolve(url)), "r")


def has_user_block(path: str) -> bool:
    """Return whether a file is HDF5 behind a block of the user's, as MATLAB writes it.

    The format allows 512 bytes, and any number of times twice that.
    """
    with Path(path).open("rb", buffering=0) as file:
        for exponent in range(_USER_BLOCKS):
            file.seek(512 << exponent)
            found = file.read(len(SIGNATURE))
            if found == SIGNATURE:
                return True
            if len(found) < len(SIGNATURE):
                return False
    return False


def is_ours(parser: Any) -> bool:
    """Return whether a parser that the user has chosen is that of HDF5, whose sources are completed too."""
    try:
        from virtualizarr.parsers import HDFParser
    except ImportError:
        return False
    return isinstance(parser, HDFParser)


def completing(parser: Any) -> Callable[[Source, str, Any], None]:
    """Return what completes the sources of a parser of HDF5 that the user has chosen."""
    dropped = frozenset(parser.drop_variables or ())
    return partial(complete, group=parser.group or "/", dropped=dropped, with_texts=False)


def complete(
    source: Source,
    url: str,
    registry: Any,
    group: str = "/",
    dropped: frozenset[str] = frozenset(),
    *,
    with_texts: bool = True,
) -> None:
    """Add what the parser has left out to a source that it gave, and put its dimensions right.

    :param group: the group that is the whole of the source
    :param dropped: names that the parser was to leave out
    :param with_texts: whether it has left out texts
    :raises ValueError: if chunks lie where no manifest can name them, or left out filters
    """
    import h5py  # type: ignore[import-untyped,unused-ignore]  # it has no types

    with _opened(url, registry) as opened:
        file = opened[group]
        if with_texts:
            _add_texts(source, file)
        dimensions.add_unwritten(source, url, file, dropped)
        number = h5py.h5o.get_info(file.id).fileno
        for name, array in source.arrays.items():
            dataset = file[name]
            if texts.is_text(dataset.id):
                continue
            if h5py.h5o.get_info(dataset.id).fileno != number:
                raise ValueError(
                    f"expected the dataset {name!r} in {source.name}, found a link to {dataset.file.filename}: "
                    f"reference that file"
                )
            creation = dataset.id.get_create_plist()
            layout = creation.get_layout()
            if layout == h5py.h5d.VIRTUAL or creation.get_external_count():
                raise ValueError(
                    f"expected the bytes of dataset {name!r} in {source.name}, found it in other files (a virtual or "
                    f"external dataset): reference those files"
                )
            if layout == h5py.h5d.COMPACT and dataset.size:
                array.inlined[(0,) * dataset.ndim] = dataset[()].tobytes()
            if layout == h5py.h5d.CHUNKED and creation.get_nfilters():
                _check_filters(source.name, name, dataset)
        dimensions.name_axes(source, file)


def _add_texts(source: Source, file: Any) -> None:
    """Add datasets with texts of variable length.

    :raises ValueError: if another dataset has the name of one of them, as the parser has left that out too
    """
    found = dict(texts.text_datasets(file))
    names = {path.rpartition("/")[2] for path in found}

    def check(path: str, item: Any) -> None:
        if path.rpartition("/")[2] in names and path not in found and hasattr(item, "shape"):
            raise ValueError(f"expected texts in dataset {path!r} of {source.name}, as another of that name has them")

    if found:
        file.visititems(check)
    for path, dataset in found.items():
        text, array = texts.copied(path, dataset)
        source.documents[array.document] = text
        source.arrays[path] = array


def _check_filters(source: str, name: str, dataset: Any) -> None:
    dataset.id.chunk_iter(lambda chunk: check_filter_mask(source, name, chunk))


def check_filter_mask(source: str, name: str, chunk: Any) -> None:
    """Require that a chunk has gone through all filters.

    :raises ValueError: if it has not
    """
    if chunk.filter_mask:
        raise ValueError(
            f"expected all filters in the chunk at {chunk.chunk_offset} of dataset {name!r} in {source}, found "
            f"some left out (filter mask {chunk.filter_mask}), which zarr cannot say: copy the dataset"
        )
