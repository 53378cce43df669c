"""Where an IPFS node is found by its peers, and connections to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .response import unexpected
from .rpc import RPC

_CONNECT_SECONDS: Final = 15.0
"""The longest wait for connections."""


def addresses(rpc: RPC) -> list[str]:
    """Return the multiaddrs of a node, as it tells them its peers."""
    with rpc.call("id") as answer:
        found = answer.json().get("Addresses") or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise unexpected(rpc.node.url, f"with {str(found)[:100]!r} as Addresses")
    return found


def connect(rpc: RPC, peers: Iterable[str]) -> None:
    """Connect a node to peers, by their multiaddrs.

    :raises BackendUnavailableError: if the node cannot reach one of them
    """
    wanted = list(peers)
    if wanted:
        # A node tells of each peer when it has tried; repeating would only wait again.
        with rpc.call("swarm/connect", {"arg": wanted}, silence=_CONNECT_SECONDS, repeat=False) as answer:
            answer.read_all()
