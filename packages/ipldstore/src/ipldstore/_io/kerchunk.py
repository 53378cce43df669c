"""Where the chunks of an archive are, for readers that know neither IPLD nor this package.

Source: https://fsspec.github.io/kerchunk/spec.html, version 0, which the readers of version 1 take too.
"""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import Final

from ipld_car import CarReader, cids
from ipld_castore import BackendUnavailableError, BlockNotFoundError, ContentAddressableStore, ReadOnlyStoreError
from multiformats import CID

from ipldstore._address.grammar import local_path
from ipldstore._dataset.dataset import Dataset
from ipldstore._format import keys
from ipldstore._read.byte_range import WHOLE
from ipldstore._read.foreign_value import ForeignValue
from ipldstore._store.zarr_compat import arranged
from ipldstore._tree import lookup

Reference = str | list[str | int]
"""What stands for the bytes of a key: their text, ``base64:`` and their base64, or URL, offset and length in bytes."""

MAX_INLINE_BYTES: Final = 1 << 30


def car_references(
    path: str | os.PathLike[str],
    *,
    url: str | None = None,
    max_inline_bytes: int = MAX_INLINE_BYTES,
    zero_length_section_as_eof: bool = False,
) -> dict[str, Reference]:
    """Return references into an archive, as kerchunk has them, so that plain zarr reads its chunks through fsspec.

    The archive is read once from start to end, and every block verified. It must hold one dataset: one root, and all
    that it reaches. Reading by the references verifies nothing.

    A chunk is ``[url, offset, length]``. Documents are their text, as kerchunk's parquet writer expects, also where
    they are kept as exact bytes, for NaN or Infinity. That writer knows zarr format 2 alone; in JSON the references are
    of both formats. A reference has one range, and a chunk
    over 1 MiB is several blocks, between which stand the headings of their sections; so it stands in the references
    itself, in base64. Where there are many, smaller chunks (or shards) are better.

    Memory: some 300 bytes for each block, and the references.

    :param path: the archive, CARv1 or CARv2, a file on this machine
    :param url: where readers will find it, by default the absolute path
    :param max_inline_bytes: the most bytes of large chunks, all together, to have in the references
    :param zero_length_section_as_eof: take a section of length zero for the end of the archive, as archives that are
        padded with zeros have it (pieces of Filecoin)
    :raises OSError: if the file cannot be read
    :raises ipld_car.CarError: if it is damaged, which is a ValueError
    :raises ValueError: if it has not exactly one root, or its large chunks are over ``max_inline_bytes``
    :raises IPLDStoreError: if a block is missing, or is not what the format allows

    >>> import pathlib, tempfile
    >>> from ipldstore import IPLDStore
    >>> store = IPLDStore()
    >>> store["a/.zarray"], store["a/0"] = b'{"zarr_format": 2}', b"chunk"
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.car"
    >>> file.write_bytes(store.to_car())
    207
    >>> car_references(file, url="https://example.org/a.car")
    {'a/.zarray': '{"zarr_format":2}', 'a/0': ['https://example.org/a.car', 202, 5]}
    """
    file = os.path.abspath(local_path(path))  # noqa: PTH100  # where links lead is not where readers look
    castore = _ScannedCar(file, zero_length_section_as_eof=zero_length_section_as_eof)
    if len(castore.roots) != 1:
        raise ValueError(f"expected an archive with one root, found {len(castore.roots)} roots in {file}")
    data = Dataset(castore, castore.roots[0])
    target = file if url is None else url
    references: dict[str, Reference] = {}
    inline_bytes = 0
    for key, found in data.items():
        place = None if key.rpartition("/")[2] in keys.DOCUMENTS else castore.place(found)
        if place is not None:
            references[key] = [target, *place]
            continue
        if isinstance(found, ForeignValue) or (isinstance(found, bytes) and cids.codec_of(found) == cids.DAG_PB):
            inline_bytes += data.values.size(key, found)
            if inline_bytes > max_inline_bytes:
                raise ValueError(
                    f"expected at most {max_inline_bytes} bytes in chunks over 1 MiB, which would stand in the "
                    f"references themselves; found more at {key!r} (make chunks smaller, or max_inline_bytes larger)"
                )
        value = data.values.read(key, found, WHOLE, arranged)
        references[key] = inline(value)
    return references


def inline(value: bytes) -> str:
    """Return a value as it stands in references: its text where it is UTF-8, else base64."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "base64:"
    return f"base64:{b64encode(value).decode()}" if text.startswith("base64:") else text


def _key(cid: bytes) -> bytes:
    return cid[2:] if cids.is_cidv1_sha256(cid) else cids.multihash_of(cid)


class _ScannedCar(ContentAddressableStore):
    """The blocks of an archive that was read once from start to end, each verified, and then again where needed."""

    def __init__(self, path: str, *, zero_length_section_as_eof: bool) -> None:
        super().__init__()
        self._path = path
        self._places: dict[bytes, tuple[int, int]] = {}
        with Path(path).open("rb") as file:
            reader = CarReader(file, zero_length_section_as_eof=zero_length_section_as_eof)
            self.roots = [cids.to_bytes(root) for root in reader.roots]
            for block in reader:
                place = block.location
                self._places[_key(block.cid_bytes)] = place.payload_offset, place.payload_size

    def place(self, found: lookup.AnyTarget) -> tuple[int, int] | None:
        """Return offset and length in bytes of a value that is one block; None if it is none, or empty.

        A range of HTTP is not empty.
        """
        if not isinstance(found, bytes) or cids.codec_of(found) != cids.RAW:
            return None
        place = self._places.get(_key(found))
        return place if place is not None and place[1] else None

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`."""
        place = self._places.get(_key(cids.to_bytes(cid)))
        if place is None:
            raise BlockNotFoundError(f"no block {cid} in the archive {self._path}")
        try:
            with Path(self._path).open("rb", buffering=0) as file:
                file.seek(place[0])
                return file.read(place[1])
        except OSError as error:
            raise BackendUnavailableError(f"cannot read block {cid}: {error}") from error

    @property
    def writable(self) -> bool:
        """False: the archive is only read."""
        return False

    def put_block(self, cid: CID, data: bytes) -> None:
        """Archives that are only read take nothing.

        :raises ReadOnlyStoreError: always
        """
        raise ReadOnlyStoreError(f"{self._path} is only read")
