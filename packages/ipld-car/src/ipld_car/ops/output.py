"""Archives that verbs write: CARv1, or CARv2 with an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Final

from ipld_car import cids
from ipld_car._car.header import PRAGMA, V2_HEADER_SIZE, V2Header, encode_v2_header
from ipld_car._car.index import MULTIHASH_INDEX_SORTED
from ipld_car._car.index_writer import IndexWriter
from ipld_car._car.writer import CarWriter
from ipld_car._cli.files import writing

DATA_OFFSET: Final = len(PRAGMA) + V2_HEADER_SIZE


class Output:
    """An archive that is written, each block once."""

    def __init__(self, writer: CarWriter, index: IndexWriter | None) -> None:
        self._writer = writer
        self._index = index
        self._written: set[bytes] = set()
        self.blocks = 0
        self.size = 0
        """Bytes of all sections."""

    def write(self, cid: bytes, data: bytes) -> bool:
        """Write a block unless it is there; returns whether it was written. The caller has verified it."""
        if cid in self._written:
            return False
        self._written.add(cid)
        self.append(cid, data)
        return True

    def append(self, cid: bytes, data: bytes) -> None:
        """Write a block, be it there or not."""
        location = self._writer.write(cid, data)
        if self._index is not None:
            self._index.add(cid, location.offset)
        self.blocks += 1
        self.size += location.size


@contextmanager
def writing_archive(
    path: str, roots: Iterable[bytes], version: int = 1, *, index_codec: int | None = MULTIHASH_INDEX_SORTED
) -> Iterator[Output]:
    """An archive in a file or on standard output; the file is there when the archive is whole, not before.

    :param path: a file, or ``-``
    :param version: 1, or 2 with an index behind the blocks
    :param index_codec: which index; None for none
    """
    with writing(path, seekable=version == 2) as stream:
        if version == 1:
            with CarWriter(stream, roots, verify=False) as writer:
                yield Output(writer, None)
            return
        stream.write(bytes(DATA_OFFSET))
        index = None if index_codec is None else IndexWriter(index_codec)
        with CarWriter(stream, roots, verify=False) as writer:
            yield Output(writer, index)
        finish_v2(stream, index)


def finish_v2(stream: IO[bytes], index: IndexWriter | None) -> None:
    """Put the index behind the data, which end here, and the header before them."""
    end = stream.tell()
    if index is not None:
        index.write(stream)
    stream.seek(0)
    header = V2Header(False, DATA_OFFSET, end - DATA_OFFSET, 0 if index is None else end)
    stream.write(encode_v2_header(header))
    stream.seek(0, 2)


def unique(roots: Iterable[bytes]) -> list[bytes]:
    """CIDs in their order, each once."""
    return list(dict.fromkeys(map(cids.to_bytes, roots)))
