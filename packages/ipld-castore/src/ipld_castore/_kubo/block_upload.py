"""Single blocks that a node takes at once, and that it is asked for without its peers."""

from __future__ import annotations

import secrets
from typing import Final

from ipld_car import HashMismatchError, cids, hashes

from ipld_castore.errors import BackendUnavailableError, BlockCorruptError

from .rpc import RPC, Body

_CODECS: Final = {cids.RAW: "raw", cids.DAG_PB: "dag-pb"}


def put(rpc: RPC, cid: bytes, data: bytes) -> float:
    """Put a block whose hash is sha2-256, without a pin; return when the node took it, by the clock of the node.

    :param cid: binary CID, of the codec raw or dag-pb
    :raises BackendUnavailableError: if the node does not take it
    """
    options = {"cid-codec": _CODECS[cids.codec_of(cid)], "mhtype": "sha2-256", "pin": "false"}
    with rpc.call("block/put", options, body=_form(data), cid=cid) as answer:
        found = answer.cid(answer.json(), "Key")
        if cids.multihash_of(found) != cids.multihash_of(cid):
            raise BackendUnavailableError(
                f"expected the IPFS node at {rpc.node.url} to put {cids.to_text(cid)}, found {cids.to_text(found)}"
            )
        return answer.time


def get(rpc: RPC, cid: bytes, limit: int) -> bytes:
    """Return a block that the node itself has, verified.

    :param limit: the most bytes that are read
    :raises BlockNotFoundError: if the node lacks it
    :raises BlockCorruptError: if it is another block
    """
    with rpc.call("block/get", {"arg": cids.to_text(cid), "offline": "true"}, cid=cid) as answer:
        data = answer.read_all(limit, "a block")
    try:
        hashes.verify_digest(cid, data)
    except HashMismatchError as error:
        raise BlockCorruptError(f"the IPFS node at {rpc.node.url} sent other bytes than {cids.to_text(cid)}") from error
    return data


def _form(data: bytes) -> Body:
    """Return a multipart form with a block."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="data"; filename="block"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    body = b"".join((head, data, f"\r\n--{boundary}--\r\n".encode()))
    return Body([body], len(body), f"multipart/form-data; boundary={boundary}")
