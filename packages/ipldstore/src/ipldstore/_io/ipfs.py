"""A zarr store on an IPFS node."""

from __future__ import annotations

from ipld_castore import IPFSStore

from ipldstore._store.ipld_store import IPLDStore


def get_ipfs_mapper(host: str | None = None) -> IPLDStore:
    """Return an empty :class:`IPLDStore` whose blocks are on an IPFS node (Kubo).

    :param host: URL of the node's RPC, for example ``http://127.0.0.1:5001``; by default the node is found as
        :class:`ipld_castore.IPFSStore` says
    """
    return IPLDStore(IPFSStore(host))
