"""HDF5 and netCDF-4: what VirtualiZarr leaves out of its manifests, and the formats by their first bytes.

A dataset with a compact layout has its bytes in the header of its object, and no place that a manifest could name;
a dataset in an external file, and a virtual one, have them elsewhere. VirtualiZarr takes all of these for chunks that
were never written, so they would read as fill values. A chunk with filters left out (its filter mask) would be decoded
by filters that it never went through.
"""

from __future__ import annotations

from typing import Any

from .manifests import MISSING
from .model import Source


def parser() -> Any:
    """Return VirtualiZarr's parser; files of this machine are opened by HDF5 itself, which is faster than in Python.

    :raises ImportError: if VirtualiZarr is not installed
    """
    try:
        from obspec_utils.readers import BlockStoreReader
        from obstore.store import LocalStore
        from virtualizarr.parsers import HDFParser
    except ImportError as error:
        raise ImportError(MISSING) from error

    def read(store: Any, path: str) -> Any:
        return f"/{path.lstrip('/')}" if isinstance(store, LocalStore) else BlockStoreReader(store, path)

    return HDFParser(reader_factory=read)


def complete(source: Source, url: str, registry: Any) -> None:
    """Add the bytes of compact datasets to a source that the parser gave.

    :raises ValueError: if chunks lie where no manifest can name them, or left out filters
    """
    import h5py  # type: ignore[import-untyped,unused-ignore]  # it has no types

    store, path = registry.resolve(url)
    with h5py.File(parser().reader_factory(store, path), "r") as file:
        for name, array in source.arrays.items():
            dataset = file[name]
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


def _check_filters(source: str, name: str, dataset: Any) -> None:
    dataset.id.chunk_iter(lambda chunk: check_filter_mask(source, name, chunk))


def check_filter_mask(source: str, name: str, chunk: Any) -> None:
    """Return if a chunk has gone through all filters.

    :raises ValueError: if it has not
    """
    if chunk.filter_mask:
        raise ValueError(
            f"expected all filters in the chunk at {chunk.chunk_offset} of dataset {name!r} in {source}, found "
            f"some left out (filter mask {chunk.filter_mask}), which zarr cannot say: copy the dataset"
        )
