"""Where the chunks of an archive are, for readers that know neither IPLD nor this package.

Source: https://fsspec.github.io/kerchunk/spec.html, version 0, which the readers of version 1 take too.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ipld_car import CarReader, cids
from ipld_car.messages import Message, Term
from ipld_castore import (
    BackendUnavailableError,
    BlockNotFoundError,
    ContentAddressableStore,
    ReadOnlyStoreError,
    RemoteCarCAStore,
    TieredCAStore,
)
from multiformats import CID

from ipldstore._address.grammar import local_path
from ipldstore._dataset.dataset import Dataset
from ipldstore._format import keys
from ipldstore._read.byte_range import WHOLE
from ipldstore._read.foreign_value import ForeignValue
from ipldstore._store.ipld_store import IPLDStore
from ipldstore._store.zarr_compat import arranged
from ipldstore.errors import store_errors

Reference = str | list[str | int]
"""What stands for the bytes of a key: their text, ``base64:`` and their base64, or URL, offset and length in bytes, or
the URL alone of something whole."""

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
    target = file if url is None else url

    def reference(_: str, link: bytes) -> Reference | None:
        place = castore.place(link)
        return None if place is None else [target, *place]

    return references_of(Dataset(castore, castore.roots[0]), reference, max_inline_bytes)


def archive_references(
    store: IPLDStore, *, url: str | None = None, max_inline_bytes: int = MAX_INLINE_BYTES
) -> dict[str, Reference]:
    """Return references into an archive at a URL, as :func:`car_references` does of a file.

    The index of the archive is read, each chunk is read where it lies, and verified.

    :param store: the dataset, as :func:`ipldstore.open` opens it at the URL
    :param url: where readers will find the archive, by default where it is
    :raises ValueError: if the dataset is in no archive at a URL, or its large chunks are over ``max_inline_bytes``
    :raises IPLDStoreError: if a block cannot be read
    """
    castore = store.castore
    far = castore.far if isinstance(castore, TieredCAStore) else castore
    if not isinstance(far, RemoteCarCAStore):
        raise ValueError(f"expected a dataset in an archive at a URL, found {castore!r}")  # noqa: TRY004  # a value
    target = far.url if url is None else url

    def reference(key: str, link: bytes) -> Reference | None:
        if cids.codec_of(link) != cids.RAW:
            return None
        with store_errors(f"looking for the chunk {key!r}"):
            far.get_raw(link)
            place = far.location(link)
        return [target, place.payload_offset, place.payload_size] if place.payload_size else None

    return references_of(store._data, reference, max_inline_bytes)  # noqa: SLF001  # links of chunks


def gateway_references(store: IPLDStore, url: str, *, max_inline_bytes: int = MAX_INLINE_BYTES) -> dict[str, Reference]:
    """Return references to blocks behind a gateway, as kerchunk has them, for readers that know no IPLD.

    A chunk is ``[URL]``, the whole of what the gateway sends for its CID: of a raw block the block, of a file of
    several blocks the file, which not every gateway sends. Documents are their text. Nothing is asked of the gateway,
    no chunk is read, and reading by the references verifies nothing.

    :param store: the dataset, wherever its blocks are
    :param url: the URL of a gateway, such as ``http://127.0.0.1:8080`` of ``ipldstore serve``
    :param max_inline_bytes: the most bytes of chunks that are no blocks, all together, to have in the references
    :raises ValueError: if the URL is none, or too many bytes have no URL
    :raises IPLDStoreError: if a node cannot be read

    >>> from ipldstore import IPLDStore
    >>> store = IPLDStore()
    >>> store["a/0"] = b"chunk"
    >>> gateway_references(store, "https://gateway.example")["a/0"][0].partition("?")[2]
    'format=raw'
    """
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"expected the URL of a gateway, such as http://127.0.0.1:8080, found {url!r}")
    base = url.rstrip("/")

    def reference(_: str, link: bytes) -> Reference | None:
        codec = cids.codec_of(link)
        if codec not in (cids.RAW, cids.DAG_PB) or cids.prefix_of(link).hash_code == cids.IDENTITY:
            return None
        return [f"{base}/ipfs/{cids.to_text(link)}{'?format=raw' if codec == cids.RAW else ''}"]

    return references_of(store._data, reference, max_inline_bytes)  # noqa: SLF001  # links of chunks


def references_of(
    data: Dataset, reference: Callable[[str, bytes], Reference | None], max_inline_bytes: int
) -> dict[str, Reference]:
    """Return the references of all keys of a dataset.

    :param reference: returns what stands for a key and the link of its value; None if it stands in the references
    :param max_inline_bytes: the most bytes of chunks, all together, that do
    :raises ValueError: if there are more
    """
    found: dict[str, Reference] = {}
    inlined = 0
    for key, target in data.items():
        is_document = key.rpartition("/")[2] in keys.DOCUMENTS
        place = reference(key, target) if isinstance(target, bytes) and not is_document else None
        if place is not None:
            found[key] = place
            continue
        if not is_document and isinstance(target, (bytes, ForeignValue)):
            inlined += data.values.size(key, target)
            if inlined > max_inline_bytes:
                raise ValueError(
                    Message(
                        f"expected at most {max_inline_bytes} bytes in chunks that are no range of a file, which would "
                        f"stand in the references themselves; found more at {key!r} (make chunks smaller",
                        Term("max_inline_bytes", ", or max_inline_bytes larger"),
                        ")",
                    )
                )
        found[key] = inline(data.values.read(key, target, WHOLE, arranged))
    return found


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

    def place(self, found: bytes) -> tuple[int, int] | None:
        """Return offset and length in bytes of a value that is one block; None if it is none, or empty.

        A range of HTTP is not empty.
        """
        if cids.codec_of(found) != cids.RAW:
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
