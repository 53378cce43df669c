"""Fetch what a file, folder or bucket has lost from another place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ipld_car import cids
from ipld_castore import SupportsHead

from ipldstore._address.castores import OpenedCAStore, PlaceOptions, open_castore
from ipldstore._address.grammar import parse
from ipldstore._address.places import AnyAddress
from ipldstore._dataset.castores import AnyCAStore, castore_of
from ipldstore._verify.repair import Repaired
from ipldstore._verify.repair import repair as repair_blocks
from ipldstore.errors import IPLDStoreError


def repair(
    what: AnyAddress,
    source: AnyAddress | AnyCAStore,
    *,
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[str, int, int | None], object] | None = None,
) -> Repaired:
    """Fetch the blocks that a dataset lacks, or has damaged, from another place. Its root stays.

    All blocks that the root reaches are read, and those that are not right are read from the other place, verified, and
    put where the damaged ones were. Of a repository that is all of its history. The root itself may be lost too.

    :param what: a CAR file, a folder or a bucket
    :param source: where good blocks are: an address of :func:`ipldstore.open`, or a block store or a store over one
    :param storage_options: of ``what``; see :func:`ipldstore.open`
    :param progress: called as the work goes on, with "repairing", the bytes so far, and None
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
    opened = open_castore(place, "a", PlaceOptions(storage_options=storage_options))
    try:
        root = opened.root
        if root is None and isinstance(opened.castore, SupportsHead):
            root = opened.castore.head
        if root is None:
            raise IPLDStoreError(f"repairing {what!r}: expected a dataset, found no root")
        opened_source = _source(source)
        try:
            done = repair_blocks(opened.castore, cids.to_bytes(root), opened_source.castore, progress)
        finally:
            opened_source.abandon()
    except BaseException:
        opened.abandon()
        raise
    opened.release()
    opened.castore.close()
    return done


def _source(source: AnyAddress | AnyCAStore) -> OpenedCAStore:
    try:
        given = castore_of(source)  # type: ignore[arg-type]  # an address is none, which it says
    except TypeError:
        return open_castore(parse(source).place, "r", PlaceOptions())  # type: ignore[arg-type]  # what is left
    return OpenedCAStore(given, lambda: None, lambda: None)
