"""Contents as an archive: whole, or only what changed since another root."""

from __future__ import annotations

from collections.abc import Iterator

from ipld_car import Block, CarError, CarReader, Source, Writable, cids, shared_cids
from ipld_castore import AnyCID

from ipldstore._read.reach import reach
from ipldstore.errors import LOWER_ERRORS, store_errors

from .dataset import Dataset
from .roots import require_no_changes, set_root


def write_car(data: Dataset, stream: Writable | None, since: AnyCID | None) -> bytes | None:
    """Freeze, and write the root and all blocks below it as a CARv1.

    :param stream: where to; None to return the archive as bytes
    :param since: a root whose blocks are left out
    :raises IPLDStoreError: if a block is missing or wrong; the stream then has a part of an archive
    """
    root = data.frozen()
    with store_errors("writing an archive"):
        if stream is None:
            return data.castore.to_car(root, since=since)
        data.castore.to_car(root, stream, since=since)
        return None


def import_car(
    data: Dataset, source: Source, *, incomplete: bool, discard_changes: bool, zero_length_section_as_eof: bool
) -> None:
    """Put all blocks of an archive, and go on from its one root.

    :param incomplete: take the root also if blocks below it are missing
    :param discard_changes: lose changes that are not frozen, instead of refusing where there are any
    :param zero_length_section_as_eof: take a section of length zero for the end of the archive
    :raises ValueError: if the archive is damaged (:class:`ipld_car.CarError`) or has not exactly one root
    :raises IPLDStoreError: if a block cannot be put, or is missing, or changes would be lost; the contents are then
        what they were
    """
    what = "importing an archive"
    data.check_home()
    if not discard_changes:
        require_no_changes(data, what)
    # The block store verifies what it takes.
    reader = _NotingReader(source, verify=False, zero_length_section_as_eof=zero_length_section_as_eof)
    roots = reader.roots
    if len(roots) != 1:
        raise ValueError(f"expected an archive with one root, found {len(roots)} roots: {[str(cid) for cid in roots]}")
    root = cids.to_bytes(roots[0])
    with store_errors(what, passing=(CarError,)):
        data.castore.import_car(reader)
    if not incomplete:
        with store_errors(
            f"expected an archive that has, with the blocks that are here, all that its root {cids.to_text(root)} "
            f"reaches (incomplete=True takes others)"
        ):
            reach(data.castore, root, _vouched_for(data, root), reader.met)
    set_root(data, root, what, discard_changes=discard_changes, is_complete=not incomplete)


class _NotingReader(CarReader):
    """An archive, which records the blocks that were read from it."""

    def __init__(self, source: Source, *, verify: bool, zero_length_section_as_eof: bool) -> None:
        super().__init__(source, verify=verify, zero_length_section_as_eof=zero_length_section_as_eof)
        self.met: set[bytes] = set()
        """Binary CIDs of the blocks that were read."""

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
