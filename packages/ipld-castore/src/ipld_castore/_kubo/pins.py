"""Pins and IPNS names of an IPFS node."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Iterator
from typing import Final, NamedTuple

from ipld_car import CarError, cids

from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError

from .rpc import RPC, RefusedError

_NOT_PINNED: Final = "is not pinned"


class Pin(NamedTuple):
    """A recursive pin: the node keeps the root and every block below it."""

    cid: bytes
    name: str


def pinned(rpc: RPC, root: bytes) -> Pin | None:
    """Return the recursive pin of a root; None if it has none."""
    options = {"arg": cids.to_text(root), "type": "recursive", "names": "true"}
    try:
        with rpc.call("pin/ls", options, cid=root) as answer:
            keys = answer.field(answer.json(), "Keys", dict)
            for value in keys.values():
                if isinstance(value, dict):
                    return Pin(root, answer.field({"Name": "", **value}, "Name", str))
    except RefusedError as error:
        if _NOT_PINNED not in str(error):
            raise
    return None


def all_pins(rpc: RPC, name_part: str = "") -> Iterator[Pin]:
    """Yield the recursive pins, while the node lists them. One that is moved meanwhile may be left out.

    :param name_part: what the name of a pin contains
    """
    options = {"type": "recursive", "names": "true", "stream": "true"} | ({"name": name_part} if name_part else {})
    with rpc.call("pin/ls", options, long=True) as answer:
        for line in answer.lines():
            pin = Pin(answer.cid(line, "Cid"), answer.field({"Name": "", **line}, "Name", str))
            if name_part in pin.name:  # older nodes do not know the option
                yield pin


def pin(rpc: RPC, root: bytes, name: str, previous: bytes | None) -> None:
    """Pin a root recursively, and return when the node has every block below it.

    With a name, the pin of that name moves from ``previous`` to the root. Without one, the pin of ``previous`` stays.

    :raises BackendUnavailableError: if a block is missing, or the node cannot do it; another call continues
    """
    there = pinned(rpc, root)
    old = pinned(rpc, previous) if previous is not None and previous != root else None
    if old is not None and old.name != name:
        old = None  # pin/update gives the new pin the name of the old one
    if there is None and old is not None and _move(rpc, old.cid, root, unpin=bool(name)):
        return
    if there is None or (name and there.name != name):
        add(rpc, root, name)
    if old is not None and name:
        unpin(rpc, old.cid)


def _move(rpc: RPC, old: bytes, new: bytes, *, unpin: bool) -> bool:
    """Pin the blocks that differ between two roots, which is quick after an append; return whether that succeeded."""
    options = {"arg": [cids.to_text(old), cids.to_text(new)], "unpin": "true" if unpin else "false"}
    try:
        with rpc.call("pin/update", options, cid=new) as answer:
            return len(answer.field(answer.json(), "Pins", list)) == 2
    except RefusedError:  # too much to do within the timeout, or the old pin is gone: pin/add does it, or says why not
        return False


def add(rpc: RPC, root: bytes, name: str, *, announce: bool = True) -> None:
    """Pin a root, however long it takes, while the node reports progress.

    :param announce: whether the node may tell its peers of the root at once
    :raises BackendUnavailableError: if a block is missing, or the node cannot do it
    """
    options = {"arg": cids.to_text(root), "progress": "true"} | ({"name": name} if name else {})
    options |= {} if announce else {"fast-provide-root": "false"}
    done, since = 0, time.monotonic()
    with rpc.call("pin/add", options, cid=root, long=True) as answer:
        for line in answer.lines():
            if line.get("Pins"):
                return
            seen = answer.field({"Progress": 0, **line}, "Progress", int)
            if seen > done:
                done, since = seen, time.monotonic()
            elif time.monotonic() - since > rpc.timeout:
                break
    # The reason is in the trailer of the response, which Python's HTTP clients drop.
    raise BackendUnavailableError(
        f"the IPFS node at {rpc.node.url} did not pin {cids.to_text(root)}: after {done} blocks it found no more "
        f"within {rpc.timeout:g} s, so one is lost: write the data again, or connect it to a peer that has them"
    )


def unpin(rpc: RPC, root: bytes) -> None:
    """Remove the recursive pin of a root, if it has one."""
    try:
        with rpc.call("pin/rm", {"arg": cids.to_text(root)}, cid=root) as answer:
            answer.field(answer.json(), "Pins", list)
    except RefusedError as error:
        if "not pinned" not in str(error):
            raise


def check_all_below(rpc: RPC, root: bytes) -> None:
    """Require that the node itself has every block below a root.

    :raises BlockNotFoundError: if it lacks one; the node does not say which
    """
    options = {"arg": cids.to_text(root), "recursive": "true", "unique": "true", "offline": "true"}
    with rpc.call("refs", options, cid=root, long=True) as answer:
        problem = next((line["Err"] for line in answer.lines() if line.get("Err")), None)
    if problem is not None:
        raise BlockNotFoundError(
            f"the IPFS node at {rpc.node.url} lacks a block below {cids.to_text(root)}: {str(problem)[:500]}"
        )


# -- names: https://specs.ipfs.tech/ipns/ipns-record/ --


def publish(rpc: RPC, name: str, root: bytes) -> str:
    """Point an IPNS name to a root, and return the name as text.

    The node publishes the record to its peers. If it has none, the record stays at the node.

    :param name: the name of a key of the node, which is made if there is none
    """
    if name not in _keys(rpc):
        with rpc.call("key/gen", {"arg": name, "type": "ed25519"}, repeat=False) as answer:
            answer.field(answer.json(), "Id", str)
    options = {"arg": f"/ipfs/{cids.to_text(root)}", "key": name, "allow-offline": "true", "resolve": "false"}
    published = ""
    for offline in ("true", "false"):  # first at the node itself, which may have no peers, then to its peers
        with rpc.call("name/publish", {**options, "offline": offline}, cid=root) as answer:
            published = answer.field(answer.json(), "Name", str)
    return published


def resolve(rpc: RPC, name: str) -> bytes:
    """Return the root that an IPNS name, a key's name or a domain name with a DNSLink points to.

    :raises BlockNotFoundError: if the node finds no record for the name
    :raises BackendUnavailableError: if the name points to something that is no CID
    """
    path = resolve_path(rpc, name)
    try:
        return cids.to_bytes(path.removeprefix("/ipfs/").rstrip("/"))
    except CarError as error:
        raise BackendUnavailableError(f"expected the name {name!r} to point to a CID, found {path[:200]!r}") from error


def resolve_path(rpc: RPC, name: str) -> str:
    """Return the path that a name points to, such as ``/ipfs/CID/a/b``.

    :raises BlockNotFoundError: if the node finds no record for the name
    """
    keys = _keys(rpc)
    known = keys.get(name, name).removeprefix("/ipns/")
    own = known in keys.values()  # the node itself has the newest record of its own keys
    try:
        return _resolve(rpc, known, offline=own)
    except RefusedError:
        try:
            return _resolve(rpc, known, offline=not own)
        except RefusedError as error:
            raise BlockNotFoundError(f"no root at the name {name!r}: {error}") from error


def record(rpc: RPC, name: str) -> bytes:
    """Return the signed record of an IPNS name, as the node has it or finds it. It is not checked.

    :raises BlockNotFoundError: if the node finds none
    """
    try:
        with rpc.call("routing/get", {"arg": f"/ipns/{name}"}) as answer:
            text = answer.field(answer.json(), "Extra", str)
    except RefusedError as error:
        raise BlockNotFoundError(f"no record of the name {name!r}: {error}") from error
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise BackendUnavailableError(f"expected a record of the name {name!r} in base64: {error}") from error


def _resolve(rpc: RPC, name: str, *, offline: bool) -> str:
    options = {"arg": f"/ipns/{name}", "recursive": "true", "offline": "true" if offline else "false"}
    with rpc.call("name/resolve", options) as answer:
        return answer.field(answer.json(), "Path", str)


def _keys(rpc: RPC) -> dict[str, str]:
    """Return the IPNS names of the node's keys, by the names of the keys."""
    with rpc.call("key/ls") as answer:
        keys = answer.field(answer.json(1 << 20), "Keys", list)
        return {answer.field(key, "Name", str): answer.field(key, "Id", str) for key in keys if isinstance(key, dict)}
