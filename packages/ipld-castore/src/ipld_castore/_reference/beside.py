"""A store with some of its blocks in files that stay where they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ipld_car import cids
from multiformats import CID

from ipld_castore._backends.tiered import TieredCAStore
from ipld_castore._core import graph
from ipld_castore._core.backend import AnyCID, Backend
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.errors import BlockNotFoundError

from .store import ReferenceCAStore


class ReferencingCAStore(TieredCAStore):
    """A store that writes its blocks into ``own``, and has further ones in files that stay where they are.

    A block is read from ``references`` if their index has it, and else from ``own``. What is written goes to ``own``
    alone. Head, journal, listing and deleting are those of ``own``. A file that has changed is an error, unless ``own``
    has the block too.

    :param own: where blocks are written
    :param references: the blocks in other files

    >>> from ipld_castore import MappingCAStore, ReferenceIndexWriter
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "x")
    >>> _ = path.write_bytes(b"a chunk")
    >>> own = MappingCAStore()
    >>> with ReferenceIndexWriter(path.with_suffix(".index")) as writer:
    ...     writer.add("bafkreiflxz4gfxtwmczthumgefaxi3i5nuhchsgpjerhxpinc2w5s66hdy", writer.file(str(path)), 0, 7)
    >>> store = ReferencingCAStore(own, ReferenceCAStore(path.with_suffix(".index")))
    >>> store.get("bafkreiflxz4gfxtwmczthumgefaxi3i5nuhchsgpjerhxpinc2w5s66hdy"), len(own.mapping)
    (b'a chunk', 0)
    """

    def __init__(self, own: ContentAddressableStore, references: ReferenceCAStore) -> None:
        super().__init__(references, own)

    @property
    def references(self) -> ReferenceCAStore:
        """The blocks in other files."""
        assert isinstance(self.near, ReferenceCAStore)  # noqa: S101  # see above
        return self.near

    def _near(self, binary: bytes) -> bytes | None:
        cid = cids.from_validated(binary)
        if not self.near.has_block(cid) or self.far.has_block(cid):
            return None
        return self.near.get_raw(binary)

    def _keep(self, binary: bytes, data: bytes) -> None:
        """Keep nothing: files stay as they are."""

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_dag`."""
        return graph.walk(self.get_raw, cids.to_bytes(root))

    def get_path(self, cid: AnyCID, names: Sequence[str]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_path`."""
        return graph.follow_path(self.get_raw, cids.to_bytes(cid), names)

    def check_dag(self, root: AnyCID) -> None:
        """See :meth:`ContentAddressableStore.check_dag`; the index is trusted that files have their blocks."""
        Backend.check_dag(self, root)

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`."""
        try:
            return self.far.block_size(cid)
        except BlockNotFoundError:
            return self.near.block_size(cid)
