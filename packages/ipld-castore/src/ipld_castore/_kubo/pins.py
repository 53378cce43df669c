"""Pins, and names that point to roots, on an IPFS node."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from ipld_car import CarError, cids

from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError

from .rpc import RPC, RefusedError

_NOT_PINNED: Final = "is not pinned"


class Pin(NamedTuple):
    """A root that the node keeps, with all below it."""

    cid: bytes
    name: str


def pinned(rpc: RPC, root: bytes) -> Pin | None:
    """The recursive pin of a root, if it has one."""
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


def all_pins(rpc: RPC) -> Iterator[Pin]:
    """All recursive pins, while they are listed."""
    options = {"type": "recursive", "names": "true", "stream": "true"}
    with rpc.call("pin/ls", options, long=True) as answer:
        for line in answer.lines():
            yield Pin(answer.cid(line, "Cid"), answer.field({"Name": "", **line}, "Name", str))


def pin(rpc: RPC, root: bytes, name: str, previous: bytes | None) -> None:
    """Have a root pinned: return when the node has every block below it, and keeps them.

    With a name the pin of that name moves here from ``previous``; without one the pin of ``previous`` stays.

    :raises BackendUnavailableError: if a block is missing, or the node cannot do it; calling it again goes on
    """
    there = pinned(rpc, root)
    old = pinned(rpc, previous) if previous is not None and previous != root else None
    if old is not None and old.name != name:
        old = None  # a pin that is made from another one would have its name
    if there is None and old is not None and _move(rpc, old.cid, root, unpin=bool(name)):
        return
    if there is None or (name and there.name != name):
        _add(rpc, root, name)
    if old is not None and name:
        unpin(rpc, old.cid)


def _move(rpc: RPC, old: bytes, new: bytes, *, unpin: bool) -> bool:
    """Pin what differs between two roots, which is quick after an append; returns whether that was possible."""
    options = {"arg": [cids.to_text(old), cids.to_text(new)], "unpin": "true" if unpin else "false"}
    try:
        with rpc.call("pin/update", options, cid=new) as answer:
            return len(answer.field(answer.json(), "Pins", list)) == 2
    except RefusedError:  # too much to do within the timeout, or somebody took the old pin away: the long way will tell
        return False


def _add(rpc: RPC, root: bytes, name: str) -> None:
    """Pin a root, however long it takes, as long as it goes on."""
    options = {"arg": cids.to_text(root), "progress": "true"} | ({"name": name} if name else {})
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
    # What went wrong the node says only where HTTP clients do not look, behind the answer.
    raise BackendUnavailableError(
        f"the IPFS node at {rpc.node.url} did not pin {cids.to_text(root)}: after {done} blocks it found no more "
        f"within {rpc.timeout:g} s, so one is lost: write the data again, or connect it to a peer that has them"
    )


def unpin(rpc: RPC, root: bytes) -> None:
    """Let a root go; one that is not pinned is left as it is."""
    try:
        with rpc.call("pin/rm", {"arg": cids.to_text(root)}, cid=root) as answer:
            answer.field(answer.json(), "Pins", list)
    except RefusedError as error:
        if "not pinned" not in str(error):
            raise


def check_all_below(rpc: RPC, root: bytes) -> None:
    """Return if the node itself has every block below a root.

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
    """Point an IPNS name to a root, with the key of that name, which is made if there is none; returns the name's text.

    The node tells its peers if it has any; without them, the record waits at the node.
    """
    if name not in _keys(rpc):
        with rpc.call("key/gen", {"arg": name, "type": "ed25519"}, repeat=False) as answer:
            answer.field(answer.json(), "Id", str)
    options = {"arg": f"/ipfs/{cids.to_text(root)}", "key": name, "allow-offline": "true", "resolve": "false"}
    told = ""
    for offline in ("true", "false"):  # at the node itself, which may have no way to others, then to those
        with rpc.call("name/publish", {**options, "offline": offline}, cid=root) as answer:
            told = answer.field(answer.json(), "Name", str)
    return told


def resolve(rpc: RPC, name: str) -> bytes:
    """The root that an IPNS name, a key's name or a domain name with a DNSLink points to.

    :raises BlockNotFoundError: if the name points to nothing, as far as can be found out
    :raises BackendUnavailableError: if it points to what is no CID
    """
    keys = _keys(rpc)
    known = keys.get(name, name).removeprefix("/ipns/")
    own = known in keys.values()  # what the node itself has published last, it knows best
    try:
        path = _resolve(rpc, known, offline=own)
    except RefusedError:
        try:
            path = _resolve(rpc, known, offline=not own)
        except RefusedError as error:
            raise BlockNotFoundError(f"no root at the name {name!r}: {error}") from error
    try:
        return cids.to_bytes(path.removeprefix("/ipfs/").rstrip("/"))
    except CarError as error:
        raise BackendUnavailableError(f"expected the name {name!r} to point to a CID, found {path[:200]!r}") from error


def _resolve(rpc: RPC, name: str, *, offline: bool) -> str:
    options = {"arg": f"/ipns/{name}", "recursive": "true", "offline": "true" if offline else "false"}
    with rpc.call("name/resolve", options) as answer:
        return answer.field(answer.json(), "Path", str)


def _keys(rpc: RPC) -> dict[str, str]:
    """The IPNS names that the node has keys of, by the names of the keys."""
    with rpc.call("key/ls") as answer:
        keys = answer.field(answer.json(1 << 20), "Keys", list)
        return {answer.field(key, "Name", str): answer.field(key, "Id", str) for key in keys if isinstance(key, dict)}
