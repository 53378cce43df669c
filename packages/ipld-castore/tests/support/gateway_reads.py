"""Ways to read from a gateway, for tests of what goes wrong on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipld_castore import ContentAddressableStore
from multiformats import CID

TIMEOUT = 60.0
"""Seconds. No test waits for them: the fixture ``expiring`` ends what a server stalls."""

DATA = bytes(range(256)) * 100


def block(store: ContentAddressableStore, cid: CID) -> bytes:
    return store.get_raw(cid)


def graph(store: ContentAddressableStore, root: CID) -> dict[str, bytes]:
    return {str(cid): data for cid, data in store.get_dag(root)}


def way(store: ContentAddressableStore, root: CID) -> dict[str, bytes]:
    return {str(cid): data for cid, data in store.get_path(root, ["list", "1", "list", "0"])}


def blocks(store: ContentAddressableStore, root: CID) -> dict[str, bytes]:
    return {str(cid): data for cid, data in store.get_blocks([root])}


READS: list[Callable[[ContentAddressableStore, CID], Any]] = [block, graph, way, blocks]
