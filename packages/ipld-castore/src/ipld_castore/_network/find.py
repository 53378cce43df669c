"""Where to get blocks of the IPFS network: from a node on this machine if one answers, else from gateways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ipld_castore._core.store import ContentAddressableStore
from ipld_castore._gateway.endpoints import named_gateways
from ipld_castore._gateway.store import GatewayCAStore
from ipld_castore._kubo.address import find_node
from ipld_castore._kubo.rpc import RPC
from ipld_castore._kubo.store import IPFSStore
from ipld_castore.errors import BackendUnavailableError

DEFAULT_GATEWAYS: Final = ("https://trustless-gateway.link", "https://ipfs.io", "https://dweb.link")
"""Public gateways that serve single blocks, in the order in which they are asked. No byte of them is trusted."""

_PROBE_SECONDS: Final = 2.0


def find_ipfs(
    *, node: str | bool | None = None, gateways: str | Iterable[str] | None = None, **options: Any
) -> ContentAddressableStore:
    """Return a store that reads the IPFS network: a node on this machine if one answers, else gateways.

    The gateways are those of ``$IPFS_GATEWAY``, else of the file ``~/.ipfs/gateway`` and its like (IPIP-280), else
    :data:`DEFAULT_GATEWAYS`, which are public and see what is asked for. Every block is verified, whoever sends it.

    :param node: the address of the node's RPC API, see :class:`IPFSStore`; True asks for a node, and False for none. By
        default, a node that does not answer within 2 seconds is passed over
    :param gateways: the gateways to ask, rather than a node
    :param options: of :class:`GatewayCAStore`, where that is what is returned; of a node only ``timeout``
    :raises BackendUnavailableError: if a node is asked for and does not answer
    :raises ValueError: if an address cannot be parsed

    >>> from ipld_castore import find_ipfs
    >>> find_ipfs(gateways="https://gateway.example")
    <GatewayCAStore: https://gateway.example>
    """
    if gateways is not None:
        if node:
            raise ValueError("expected a node or gateways, found both")
        return GatewayCAStore(gateways, **options)
    if node is not False:
        host = node if isinstance(node, str) else None
        failure = _failure_of_node(host)
        if failure is None:
            kept = {name: options[name] for name in ("timeout",) if name in options}
            return IPFSStore(host, pin=False, **kept)
        if node:
            raise failure
    found = named_gateways()
    return GatewayCAStore(None if found else DEFAULT_GATEWAYS, **options)


def _failure_of_node(host: str | None) -> BackendUnavailableError | None:
    """Ask a node for its version; return None if it answers, else the error."""
    rpc = RPC(find_node(host), _PROBE_SECONDS)
    try:
        with rpc.call("version", silence=_PROBE_SECONDS, repeat=False) as answer:
            answer.field(answer.json(), "Version", str)
    except BackendUnavailableError as error:
        return error
    finally:
        rpc.close()
    return None
