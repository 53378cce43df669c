"""Datasets on an IPFS node."""

from __future__ import annotations

from ipld_castore import IPFSStore
from multiformats import CID

from ipldstore._io.sync import push
from ipldstore._store.ipld_store import IPLDStore

from .whole import require_whole


def push_to_node(store: IPLDStore, node: str | None) -> tuple[CID, IPFSStore]:
    """Send a dataset to a node, which pins its root; return the root and the node.

    :param node: the address of its RPC; None for that of this machine
    """
    require_whole(store)
    root = store.freeze()
    castore = IPFSStore(node)
    push(root, store.castore, castore)
    return root, castore
