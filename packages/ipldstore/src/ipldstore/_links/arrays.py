"""Set and return the links of all chunks of an array as numpy arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from ipld_car import cids, hashes
from ipld_car.messages import Message, Term

from ipldstore._dataset.dataset import Dataset
from ipldstore._format import keys
from ipldstore._format.bulk.index import LinkArrays
from ipldstore._format.bulk.leaves import CID_BYTES
from ipldstore._format.chunk_form import ChunkForm, chunk_form
from ipldstore.errors import IPLDStoreError

_MAX_NUMBER: Final = 10**18
"""Numbers in a chunk key are below this one (format, section 3)."""
_CODECS: Final = (cids.RAW, cids.DAG_PB)
_HASHES: Final = (cids.SHA2_256, hashes.BLAKE3)


class Links(NamedTuple):
    """The links of the chunks of an array, in C order of their coordinates."""

    coordinates: npt.NDArray[np.int64]
    """(n, axes): the position of each chunk in the grid of chunks."""
    cids: npt.NDArray[np.uint8]
    """(n, 36): the binary CID of each chunk."""


def set_links(data: Dataset, array_path: str, coordinates: npt.ArrayLike, links: npt.ArrayLike) -> None:
    """Set the links of many chunks of an array; see :meth:`ipldstore.IPLDStore.set_links`."""
    data.check_home()
    if data.sharing is not None:
        data.catch_up()
    path = _checked_path(array_path)
    new = LinkArrays(_checked_coordinates(coordinates), _checked_cids(links))
    if len(new.coordinates) != len(new.links):
        raise ValueError(
            f"expected as many CIDs as coordinates, found {len(new.links)} CIDs and {len(new.coordinates)} coordinates"
        )
    form = _form(data, path, new.coordinates.shape[1])
    if not len(new.coordinates):
        return
    _check_keys(path, form, new.coordinates)
    data.own_changes += 1
    if data.sharing is None:
        data.tree.put_links(path, form, new)
        return
    prefix = f"{path}/" if path else ""
    for numbers, link in zip(new.coordinates.tolist(), new.links, strict=True):
        data.sharing.record(data, prefix + form.key(numbers), link.tobytes())


def links(data: Dataset, array_path: str) -> Links:
    """Return the links of all chunks of an array; see :meth:`ipldstore.IPLDStore.links`."""
    path = _checked_path(array_path)
    metadata = _metadata(data, path)
    shape = metadata.get("shape")
    form = chunk_form(metadata, len(shape) if isinstance(shape, list) else _axes_of_keys(data, path))
    prefix = f"{path}/" if path else ""
    numbers: list[int] = []
    found: list[bytes] = []
    for key, target in data.items(prefix):
        rest = key[len(prefix) :]
        own = form.numbers(rest) if keys.is_chunk_key(rest) or not form.axes else None
        if own is None or not isinstance(target, bytes):
            continue
        if len(target) != CID_BYTES:
            raise IPLDStoreError(
                Message(
                    f"expected CIDs of {CID_BYTES} bytes in array {path!r}, found {cids.to_text(target)} at {key!r}: ",
                    Term("canonicalize()"),
                    " gives such chunks a CID of that size",
                )
            )
        numbers += own
        found.append(target)
    coordinates = np.array(numbers, np.int64).reshape(len(found), form.axes)
    order = np.lexsort(coordinates.T[::-1]) if form.axes else slice(None)
    binary = np.frombuffer(b"".join(found), np.uint8).reshape(-1, CID_BYTES)
    return Links(coordinates[order], binary[order])


def _checked_path(given: str) -> str:
    path = given.strip("/")
    if path:
        keys.split_key(path)
    return path


def _checked_coordinates(given: npt.ArrayLike) -> npt.NDArray[np.int64]:
    array = np.asarray(given)
    if array.ndim != 2 or not (np.issubdtype(array.dtype, np.integer) or not array.size):
        raise ValueError(
            f"expected coordinates as an (n, axes) array of integers, found {array.dtype} of shape {array.shape}"
        )
    if array.size and (int(array.min()) < 0 or int(array.max()) >= _MAX_NUMBER):
        raise ValueError(f"expected coordinates from 0 to below 10^18, found {array.min()} to {array.max()}")
    return np.ascontiguousarray(array, np.int64)


def _checked_cids(given: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    array = np.asarray(given)
    if array.dtype == np.dtype(f"V{CID_BYTES}") and array.ndim == 1:
        array = np.ascontiguousarray(array).view(np.uint8).reshape(-1, CID_BYTES)
    if array.ndim != 2 or array.shape[1] != CID_BYTES or array.dtype != np.uint8:
        raise ValueError(
            f"expected CIDs as an (n, {CID_BYTES}) array of bytes (uint8), found {array.dtype} of shape {array.shape}"
        )
    head = array[:, :4]
    is_good = (head[:, 0] == 1) & np.isin(head[:, 1], _CODECS) & np.isin(head[:, 2], _HASHES) & (head[:, 3] == 32)
    if not is_good.all():
        at = int(np.argmin(is_good))
        raise ValueError(
            f"expected CIDs of version 1 of values, raw or dag-pb with sha2-256 or blake3; found "
            f"{array[at].tobytes().hex()} at position {at}"
        )
    return np.ascontiguousarray(array)


def _metadata(data: Dataset, path: str) -> Mapping[str, Any]:
    """Return the metadata of an array.

    :raises ValueError: if there is no array
    """
    for name in (keys.ZARR_JSON, keys.ZARRAY):
        text = data.read(f"{path}/{name}" if path else name)
        if text is not None:
            found = json.loads(text)
            if name == keys.ZARRAY or (isinstance(found, dict) and found.get("node_type") == "array"):
                return {"zarr_format": 2, **found} if name == keys.ZARRAY else found
    raise ValueError(f"expected an array at {path!r}, with a .zarray or a zarr.json of an array; found none")


def _form(data: Dataset, path: str, axes: int) -> ChunkForm:
    return chunk_form(_metadata(data, path), axes)


def _axes_of_keys(data: Dataset, path: str) -> int:
    """Return the number of axes of an array whose metadata has no shape, by one of its chunks."""
    prefix = f"{path}/" if path else ""
    rests = (key[len(prefix) :] for key in data.keys(prefix))
    first = next(filter(keys.is_chunk_key, rests), "")
    return len([part for part in first.replace(".", "/").split("/") if part not in ("", "c")])


def _check_keys(path: str, form: ChunkForm, coordinates: npt.NDArray[np.int64]) -> None:
    """Refuse keys that the format does not allow: of the longest ones all are if it is."""
    keys.split_key(f"{path}/" * bool(path) + form.key(coordinates.max(axis=0).tolist()))
