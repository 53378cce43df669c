"""Verification of what is at an address, also where its root is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from ipld_car import cids
from ipld_car.ops import Progress
from ipld_castore import ContentAddressableStore, SupportsHead
from multiformats import CID

from ipldstore._address.cache import Cache
from ipldstore._address.castores import OpenedCAStore, PlaceOptions, open_castore
from ipldstore._address.grammar import parse
from ipldstore._cli.options import PARTS, Opening
from ipldstore._io.open import open as open_store
from ipldstore._verify.nodes_elsewhere import NodesElsewhereCAStore
from ipldstore._verify.report import Failure, Kind, VerifyReport
from ipldstore.errors import BlockCorruptError, BlockMissingError, NodeError


def verify_address(
    what: str, source: str | None, source_options: Mapping[str, Any] | None, opening: Opening, progress: Progress
) -> VerifyReport:
    """Return what is lost of the dataset at an address.

    :param source: where nodes are read that are lost; without it nothing is known of what is below them
    """
    if source is not None:
        return _verify_with(what, source, source_options, opening, progress)
    try:
        with opening.store(what) as store:
            return store.verify(progress=progress)
    except (BlockMissingError, BlockCorruptError, NodeError) as error:
        opened = _open(what, opening)
        try:
            root = _root(opened)
            if root is None or _has(opened.castore, root):
                raise
            return _without_root(root, error)
        finally:
            opened.abandon()


def _verify_with(
    what: str, source: str, source_options: Mapping[str, Any] | None, opening: Opening, progress: Progress
) -> VerifyReport:
    opened = _open(what, opening)
    try:
        root = _root(opened)
        if root is None:
            raise ValueError(f"expected a dataset at {what!r}, found no root")
        other = open_castore(parse(source).place, "r", PlaceOptions(storage_options=source_options))
        try:
            castore = NodesElsewhereCAStore(opened.castore, other.castore)
            parts = {name: value for name, value in opening.given.items() if name in PARTS}
            with open_store(_below(root, what, opened.path), castore=castore, **parts) as store:
                report = store.verify(progress=progress)
        finally:
            other.abandon()
    finally:
        opened.abandon()
    failures = (*castore.lost.values(), *report.failures)
    return replace(report, failures=failures, failed=report.failed + len(castore.lost))


def _open(what: str, opening: Opening) -> OpenedCAStore:
    given = {name: value for name, value in opening.given.items() if name not in PARTS}
    given["cache"] = Cache(given.pop("cache", None), given.pop("cache_bytes", None))
    return open_castore(parse(what).place, "r", PlaceOptions(**given))


def _root(opened: OpenedCAStore) -> CID | None:
    if opened.root is None and isinstance(opened.castore, SupportsHead):
        return opened.castore.head
    return opened.root


def _has(castore: ContentAddressableStore, root: CID) -> bool:
    try:
        castore.get_raw(root)
    except (KeyError, ValueError):
        return False
    return True


def _below(root: CID, what: str, path: tuple[str, ...]) -> str:
    """Return the address of a version and a group below the root that an address names."""
    found = parse(what)
    ref = "" if found.ref is None else f"@{quote(found.ref, safe='')}"
    group = found.group and f"#{quote(found.group)}"
    return "/".join((f"{root}{ref}", *(quote(name, safe="") for name in path))) + group


def _without_root(root: CID, error: Exception) -> VerifyReport:
    """Return the report of a dataset of which nothing is known, as its root is lost."""
    kind: Kind = "missing" if isinstance(error, BlockMissingError) else "damaged"
    reason = f"{error} (it is the root: --from, with a place that has it, tells what of which array is lost here)"
    return VerifyReport(
        cids.from_validated(bytes(root)), 0, 0, 0, (), (Failure("", root, kind, reason, None),), failed=1
    )
