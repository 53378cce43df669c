"""Contents as an archive: whole, or only what changed since another root."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, overload

from ipld_car import Block, CarError, CarReader, Source, Writable, cids, shared_cids
from ipld_castore import AnyCID
from zarr.abc.store import Store

from ipldstore._dataset.dataset import Dataset
from ipldstore._dataset.reach import reach
from ipldstore.errors import LOWER_ERRORS, store_errors

if TYPE_CHECKING:
    from typing import Self


class ArchiveVerbs(Store):
    """The verbs of a store for archives."""

    _data: Dataset

    @overload
    def to_car(self, stream: None = None, *, since: AnyCID | None = None) -> bytes: ...
    @overload
    def to_car(self, stream: Writable, *, since: AnyCID | None = None) -> None: ...
    def to_car(self, stream: Writable | None = None, *, since: AnyCID | None = None) -> bytes | None:
        """Freeze, and write root and all blocks below it as a CARv1: to ``stream``, or returned as bytes.

        :param since: an older root: only the blocks are written that it lacks, for those who have its blocks. Reads
            the nodes in which the two differ, and of the older one no chunk; a chunk that it has only in parts of the
            indexes that did not change may be written again. In memory are, at most 150 bytes each, the links in the
            nodes that differ: of an appended step those in a few leaves, of two unrelated roots all.
        :raises IPLDStoreError: if a block is missing or wrong; the stream then has a part of an archive

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> store["a/0"] = b"zero"
        >>> mirror = IPLDStore.from_car(store.to_car())
        >>> old = store.freeze()
        >>> store["a/1"] = b"one"
        >>> mirror.import_car(store.to_car(since=old))  # the new root and one chunk
        >>> mirror.freeze() == store.freeze()
        True
        """
        root = self._data.frozen()
        with store_errors("writing an archive"):
            if stream is None:
                return self._data.castore.to_car(root, since=since)
            self._data.castore.to_car(root, stream, since=since)
            return None

    def import_car(
        self,
        source: Source,
        *,
        incomplete: bool = False,
        discard_changes: bool = False,
        zero_length_section_as_eof: bool = False,
    ) -> None:
        """Take all blocks of an archive into ``castore`` and go on from its one root. Streams.

        With what is in ``castore`` already, the archive must have all that its root reaches; so one that was written
        ``since`` the present root may be imported. Blocks that came from it are not looked for again, but nodes, the
        hundredth part or less, are read back to follow their links; others that they link are asked for, except for
        what the present root has too, once it is known to have everything. That is so after an import; of a root that
        was opened on this machine all nodes are read for it, and its blocks asked for, with the first import. One that
        is far away is believed. In memory is what the archive has met, at most 150 bytes a block.

        :param source: the archive, CARv1 or CARv2, as bytes or binary stream
        :param incomplete: take it also if blocks are missing: reading what they hold is then an error
        :param zero_length_section_as_eof: take a section of length zero for the end of the archive, as archives that
            are padded with zeros have it (pieces of Filecoin)
        :param discard_changes: lose changes that are not frozen, instead of refusing where there are any
        :raises ValueError: if the archive is damaged (:class:`ipld_car.CarError`) or has not exactly one root
        :raises IPLDStoreError: if a block cannot be taken, or is missing, or changes would be lost; the contents are
            then what they were
        """
        self._check_writable()
        data = self._data
        data.check_home()
        if not discard_changes:
            data.require_no_changes("importing an archive")
        # The block store verifies what it takes.
        reader = _NotingReader(source, verify=False, zero_length_section_as_eof=zero_length_section_as_eof)
        roots = reader.roots
        if len(roots) != 1:
            raise ValueError(
                f"expected an archive with one root, found {len(roots)} roots: {[str(cid) for cid in roots]}"
            )
        root = cids.to_bytes(roots[0])
        with store_errors("importing an archive", passing=(CarError,)):
            data.castore.import_car(reader)
        if not incomplete:
            with store_errors(
                f"expected an archive that has, with the blocks that are here, all that its root {cids.to_text(root)} "
                f"reaches (incomplete=True takes others)"
            ):
                reach(data.castore, root, _vouched_for(data, root), reader.met)
        data.set_root(root, "importing an archive", discard_changes=discard_changes, whole=not incomplete)

    @classmethod
    def from_car(cls, source: Source, *, incomplete: bool = False, zero_length_section_as_eof: bool = False) -> Self:
        """Return a store in memory with the contents of an archive; see :meth:`import_car`."""
        store = cls()
        store.import_car(source, incomplete=incomplete, zero_length_section_as_eof=zero_length_section_as_eof)
        return store


class _NotingReader(CarReader):
    """An archive, and which blocks it had."""

    def __init__(self, source: Source, *, verify: bool, zero_length_section_as_eof: bool) -> None:
        super().__init__(source, verify=verify, zero_length_section_as_eof=zero_length_section_as_eof)
        self.met: set[bytes] = set()
        """Binary CIDs of the blocks so far."""

    def __iter__(self) -> Iterator[Block]:
        met = self.met
        for block in super().__iter__():
            met.add(block.cid_bytes)
            yield block


def _vouched_for(data: Dataset, root: bytes) -> set[bytes]:
    """Return blocks that the present contents and ``root`` both reach: they are known to be there."""
    present = data.frozen_root
    if present is None or not data.whole:
        return set()
    try:
        return shared_cids(data.castore.get_raw, present, root)
    except LOWER_ERRORS:
        return set()  # then everything is looked for, and what is missing is found by that
