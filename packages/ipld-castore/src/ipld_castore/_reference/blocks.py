"""An index as blocks, to send along with a dataset, and back as a file.

The root is a dag-cbor map: ``ipld-references`` is 1, ``entries`` the number of records, ``files`` the number of files,
``records`` and ``names`` the links of raw blocks that hold, one after the other, the records and the rest of an index
file (see :mod:`ipld_castore._reference.layout`). Each has at most 20,000 records, or 960,000 bytes of names. The same
index gives the same root.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from ipld_car import cids, dagcbor, fs
from multiformats import CID

from ipld_castore._core.backend import AnyCID
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.errors import BackendUnavailableError, BlockMalformedError

from .index import ReferenceIndex
from .layout import GROUP, HEADER, MAGIC, RECORD

_VERSION: Final = 1
_RECORDS: Final = 20_000
_BYTES: Final = _RECORDS * RECORD.size
_FIELDS: Final = {"ipld-references", "entries", "files", "records", "names"}


def put_index(index: ReferenceIndex, castore: ContentAddressableStore) -> CID:
    """Put an index as blocks, to send along with a dataset; return the CID of its dag-cbor root.

    :raises CAStoreError: if a block cannot be put

    >>> import pathlib, tempfile
    >>> from ipld_castore import MappingCAStore, ReferenceIndex, ReferenceIndexWriter, get_index, put_index
    >>> folder, castore = pathlib.Path(tempfile.mkdtemp()), MappingCAStore()
    >>> with ReferenceIndexWriter(folder / "a.index") as writer:
    ...     writer.add("bafkreiflxz4gfxtwmczthumgefaxi3i5nuhchsgpjerhxpinc2w5s66hdy", writer.file("/data/a.nc"), 0, 7)
    >>> root = put_index(ReferenceIndex(folder / "a.index"), castore)
    >>> copy = get_index(root, castore, folder / "b.index")
    >>> (folder / "a.index").read_bytes() == (folder / "b.index").read_bytes()
    True
    """
    records = [
        bytes(castore.put_raw(index.raw_records(start, start + _RECORDS))) for start in range(0, len(index), _RECORDS)
    ]
    rest = index.raw_names()
    names = [bytes(castore.put_raw(rest[start : start + _BYTES])) for start in range(0, len(rest), _BYTES)]
    root = {
        "ipld-references": _VERSION,
        "entries": len(index),
        "files": index.file_count,
        "records": records,
        "names": names,
    }
    return castore.put_raw(dagcbor.encode_node(root), "dag-cbor")


def get_index(root: AnyCID, castore: ContentAddressableStore, path: str | os.PathLike[str]) -> ReferenceIndex:
    """Write the index file of blocks that :func:`put_index` has put; return it opened.

    Such an index is from others: it opens no file until it is allowed to.

    :raises BlockMalformedError: if the root is none of an index, or a block has not the size that it should have
    :raises CAStoreError: if a block cannot be read
    :raises BackendUnavailableError: if the file cannot be written
    """
    binary = cids.to_bytes(root)
    fields = _fields(binary, castore)
    entries, files, records, names = (fields[name] for name in ("entries", "files", "records", "names"))
    starts = 8 * -(-files // GROUP)
    written = 0
    try:
        with fs.atomic_write(Path(path)) as stream:
            stream.write(bytes(HEADER.size))
            for number, link in enumerate(records):
                data = castore.get_raw(link)
                if len(data) != RECORD.size * min(_RECORDS, entries - number * _RECORDS):
                    raise _malformed(binary, f"records of another size in block {cids.to_text(link)}")
                stream.write(data)
            for link in names:
                data = castore.get_raw(link)
                written += len(data)
                stream.write(data)
            if written < starts:
                raise _malformed(binary, f"{written} bytes of file names for {files} files")
            stream.seek(0)
            stream.write(HEADER.pack(MAGIC, entries, files, written - starts))
    except OSError as error:
        if isinstance(error, BackendUnavailableError):
            raise
        raise BackendUnavailableError(f"cannot write the index {path}: {error}") from error
    return ReferenceIndex(path)


def _fields(root: bytes, castore: ContentAddressableStore) -> dict[str, Any]:
    fields = dagcbor.decode_node(castore.get_raw(root)) if cids.codec_of(root) == cids.DAG_CBOR else None
    if not isinstance(fields, dict) or fields.keys() != _FIELDS or fields["ipld-references"] != _VERSION:
        raise _malformed(root, "another value")
    entries, files = fields["entries"], fields["files"]
    if any(type(number) is not int or not 0 <= number < 1 << 48 for number in (entries, files)):
        raise _malformed(root, "numbers out of bounds")
    for name in ("records", "names"):
        links = fields[name]
        if not isinstance(links, list) or not all(type(link) is bytes and _is_raw(link) for link in links):
            raise _malformed(root, f"something else than links of raw blocks in {name!r}")
    if len(fields["records"]) != -(-entries // _RECORDS):
        raise _malformed(root, f"{len(fields['records'])} blocks for {entries} records")
    return fields


def _is_raw(link: bytes) -> bool:
    return cids.is_cidv1_sha256(link) and link[1] == cids.RAW


def _malformed(root: bytes, found: str) -> BlockMalformedError:
    return BlockMalformedError(f"expected the root of an index of references, found {found}: {cids.to_text(root)}")
