"""Fetch what a file, folder or bucket has lost from another place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ipld_car import cids
from ipld_castore import BlockCorruptError, CarCAStore, ContentAddressableStore, HashRefusedError, SupportsHead
from multiformats import CID

from ipldstore._address.cache import Cache
from ipldstore._address.castores import OpenedCAStore, PlaceOptions, open_castore
from ipldstore._address.grammar import parse
from ipldstore._address.places import AnyAddress
from ipldstore._address.references import prefixes_of
from ipldstore._dataset.castores import AnyCAStore, castore_of
from ipldstore._display.bars import AnyProgress, reporting
from ipldstore._garbage.in_files import own_part
from ipldstore._verify.repair import Repaired
from ipldstore._verify.repair import repair as repair_blocks
from ipldstore.errors import IPLDStoreError, store_errors


def repair(  # noqa: PLR0913  # keywords
    what: AnyAddress,
    source: AnyAddress | AnyCAStore,
    *,
    fsync: bool = True,
    allow: Iterable[str | os.PathLike[str]] = (),
    moved: Mapping[Any, str | os.PathLike[str]] | None = None,
    cache: str | os.PathLike[str] | None = "",
    cache_bytes: int | None = None,
    zero_length_section_as_eof: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    source_options: Mapping[str, Any] | None = None,
    progress: AnyProgress = None,
) -> Repaired:
    """Fetch the blocks that a dataset lacks, or has damaged, from another place. Its root stays.

    All blocks that the root reaches are read, and those that are not right are read from the other place, verified, and
    put where the damaged ones were. Of a repository that is all of its history. The root itself may be lost too, and
    the end of a CAR file, with its index; and bytes in the middle of one without index. Where what is fetched does not
    fill these bytes, the file is written anew, as a CARv2 of all blocks that are right.

    :param what: a CAR file, a folder or a bucket
    :param source: where good blocks are: an address of :func:`ipldstore.open`, or a block store or a store over one
    :param fsync: see :func:`ipldstore.open`, as for ``allow``, ``moved``, ``zero_length_section_as_eof`` and
        ``storage_options``
    :param cache: a folder before a bucket, by default none: what it has is not looked for in the bucket
    :param source_options: as ``storage_options``, but of ``source``
    :param progress: whether to show a bar; by default in a notebook, and where standard error is a terminal. Or a
        function, which is called as the work goes on with "repairing", the bytes so far, and None
    :raises FileNotFoundError: if nothing is there
    :raises OSError: if it cannot be opened, or another writer has it
    :raises IPLDStoreError: if there is no root, or a block cannot be written

    >>> import os, pathlib, tempfile, ipldstore
    >>> folder = tempfile.mkdtemp()
    >>> with ipldstore.open(folder, "a") as store:
    ...     store["a/0"] = b"chunk"
    >>> mirror = ipldstore.IPLDStore.from_car(store.to_car())
    >>> for file in pathlib.Path(folder).rglob("*.data"):
    ...     os.remove(file)
    >>> repair(folder, mirror).blocks
    2
    """
    place = parse(what).place
    if isinstance(place, Path) and not place.exists():
        raise FileNotFoundError(
            errno.ENOENT, "expected a CAR file or a folder of blocks to repair, found nothing", what
        )
    options = PlaceOptions(
        fsync,
        zero_length_section_as_eof,
        storage_options,
        prefixes_of(allow),
        Cache(cache, cache_bytes),
        moved=moved,
        allow_truncated=True,
    )
    opened = open_castore(place, "a", options)
    try:
        root = _root_of(opened, what)
        opened_source = _source(source, source_options)
        try:
            with reporting(progress) as report:
                done = repair_blocks(opened.castore, cids.to_bytes(root), opened_source.castore, report)
                _leave_damage_out(opened.castore)
        finally:
            opened_source.abandon()
    except BaseException:
        opened.abandon()
        raise
    opened.release()
    opened.castore.close()
    return done


def _root_of(opened: OpenedCAStore, what: AnyAddress) -> CID:
    root = opened.root
    if root is None and isinstance(opened.castore, SupportsHead):
        root = opened.castore.head
    if root is None:
        raise IPLDStoreError(f"repairing {what!r}: expected a dataset, found no root")
    return root


def _leave_damage_out(castore: ContentAddressableStore) -> None:
    """Write a CAR file anew, as a CARv2, if fetched blocks did not fill the damage in it, at which other tools stop.

    Blocks that are not right stay out; those whose hash function is not known here stay.
    """
    file = own_part(castore)
    if not isinstance(file, CarCAStore) or not file.lost:
        return

    def blocks() -> Iterator[tuple[CID, bytes]]:
        for cid in file:
            try:
                yield cid, file.get_raw(cid)
            except HashRefusedError:
                yield cid, file.get_raw(cid, verify=False)
            except BlockCorruptError:
                continue

    with store_errors("repairing"):
        file.rewrite(blocks())


def _source(source: AnyAddress | AnyCAStore, options: Mapping[str, Any] | None) -> OpenedCAStore:
    if isinstance(source, (str, os.PathLike, CID)):
        return open_castore(parse(source).place, "r", PlaceOptions(storage_options=options))
    return OpenedCAStore(castore_of(source), lambda: None, lambda: None)
