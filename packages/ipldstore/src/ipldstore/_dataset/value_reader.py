"""The bytes of keys that were found: documents as JSON, values from their blocks."""

from __future__ import annotations

from collections.abc import Callable

from ipld_car import unixfs
from ipld_castore import ContentAddressableStore

from ipldstore._format import documents
from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import NodeStore
from ipldstore._read.byte_range import ByteRange
from ipldstore._read.foreign_value import ForeignValue
from ipldstore._read.reader import Reader
from ipldstore._tree import lookup
from ipldstore._tree.directory import Map, decode_document
from ipldstore.errors import LOWER_ERRORS, store_errors, translated

View = Callable[[documents.Document], documents.Document]
"""Returns the document whose text is read in place of another one."""


def as_it_is(document: documents.Document) -> documents.Document:
    """Return the document itself."""
    return document


class ValueReader:
    """Reads the targets of keys. Safe with threads.

    :param castore: the block store
    :param nodes: its nodes
    :param reader: its values
    """

    def __init__(self, castore: ContentAddressableStore, nodes: NodeStore, reader: Reader) -> None:
        self._castore = castore
        self._nodes = nodes
        self._reader = reader

    def read(self, key: str, found: lookup.AnyTarget, byte_range: ByteRange, view: View) -> bytes:
        """Return the bytes of the target of a key, or a range of them.

        :raises IPLDStoreError: if they are missing, damaged or out of reach
        """
        try:
            if not isinstance(found, bytes) and isinstance(found, ForeignValue):  # nearly all are links
                return found.read(self._reader, byte_range)
            document = self._document(found, view)
            if document is not None:
                return byte_range.slice(document)
            assert isinstance(found, bytes)  # noqa: S101  # what is no document is a link
            return self._reader.read_value(found, byte_range)
        except LOWER_ERRORS as error:
            raise translated(f"reading {key!r}", error) from error

    def try_read_nowait(
        self, found: lookup.AnyTarget, byte_range: ByteRange, view: View, max_bytes: int = unixfs.CHUNK_SIZE
    ) -> bytes | None:
        """Return the bytes of the target of a key, or a range of them, if nothing has to be waited for.

        None sends the caller to :meth:`read`, which also says what is wrong where something is.

        :param max_bytes: the largest block that is hashed here
        """
        if not isinstance(found, bytes):
            return None if isinstance(found, ForeignValue) else byte_range.slice(documents.to_json(view(found)))
        try:
            return self._reader.try_read_nowait(found, byte_range, max_bytes)
        except LOWER_ERRORS:
            return None

    def size(self, key: str, found: lookup.AnyTarget) -> int:
        """Return how many bytes the target of a key has; of a value no chunk is read.

        :raises IPLDStoreError: if that cannot be found out
        """
        with store_errors(f"asking for the size of {key!r}"):
            if isinstance(found, ForeignValue):
                return found.size(self._reader)
            document = self._document(found, as_it_is)
            return self._castore.size(found) if document is None and isinstance(found, bytes) else len(document or b"")

    def _document(self, found: Map | bytes, view: View) -> bytes | None:
        """Return the JSON of a document; None if this is the link of a value."""
        if isinstance(found, bytes):
            if not is_directory_link(found):
                return None
            found = self._nodes.load(found, decode_document)
        return documents.to_json(view(found))
