"""Blocks on an IPFS node, over Kubo's RPC: https://docs.ipfs.tech/reference/kubo/rpc/."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ipld_car import cids, hashes
from multiformats import CID

from ipld_castore._core.backend import AnyCID
from ipld_castore._core.hash_policy import check_hash
from ipld_castore._core.store import MAX_NODE_BYTES, ContentAddressableStore
from ipld_castore.concurrency import in_order
from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError, HashRefusedError

from . import pins as _pins
from .address import find_node
from .car_upload import car_body
from .export import GraphReader
from .rpc import RPC
from .upload_queue import Outbox, Pairs

CAR_BYTES: Final = 16 << 20
"""Bytes of the blocks that go to the node together."""

_LARGE: Final = 512 << 10
"""Bytes of blocks for which a connection of their own to a node on this machine pays.

Kubo sends what it knows no length of in pieces of 4 KiB, each a call of the system; where they are HTTP chunks it is
two.
"""


class IPFSStore(ContentAddressableStore):
    """Blocks on an IPFS node (Kubo), over its RPC API.

    **Writing.** Blocks that are put are collected, and go to the node in CARs of 16 MiB, several at a time, while
    others are put. :meth:`flush` sends the rest and returns when all have arrived; until then they are read from here.
    What could not be sent, as the node was away, is kept for the next try: the error comes from the next put or flush,
    and another flush finishes the work. One CAR more than ``in_flight`` is held in memory; then putting waits.

    **Keeping.** Garbage collection, if the node does any, takes what no pin reaches. :meth:`persist`, which a dataset
    calls when it freezes, pins its root, so it returns only when the node has every block below. Without a name for the
    pin each root stays pinned until :meth:`unpin`; a pin with a name moves from root to root.

    **Reading.** :meth:`get_dag` gets a whole graph in one answer, :meth:`get_blocks` many blocks at a time. Large
    blocks of a node on this machine come in HTTP/1.0, each on a connection of its own: chunks take both sides longer.

    The node keeps blocks by multihash, so listing gives raw CIDs. Two stores are equal if they are of the same
    address. Threads may share a store; a pickle, made after all is sent, and a fork have connections of their own.

    :param host: the address of the RPC API as URL (``http://127.0.0.1:5001``; with ``user:password@`` where the node
        asks for that), ``host:port`` or multiaddr; by default the one in the file ``api`` of ``$IPFS_PATH`` or
        ``~/.ipfs``, which a running node writes, else ``http://127.0.0.1:5001``
    :param auth: what opens the node, as ``ipfs --api-auth`` takes it: ``bearer:token`` or ``basic:user:password``
    :param pin: whether :meth:`persist` pins the root, or the name of the pin
    :param timeout: seconds that the node may look for a block, and that it may be silent
    :param offline: get only what the node has; else it asks the network for the rest
    :param in_flight: the most CARs under way at a time
    :param hash: see :class:`ContentAddressableStore`
    :raises ValueError: if the address or the credentials are none

    >>> IPFSStore("/ip4/127.0.0.1/tcp/5001")
    <IPFSStore: http://127.0.0.1:5001>
    """

    local = False

    def __init__(
        self,
        host: str | None = None,
        *,
        auth: str | None = None,
        pin: bool | str = True,
        timeout: float = 60.0,
        offline: bool = False,
        in_flight: int = 4,
        hash: str = "sha2-256",  # noqa: A002  # the name users know
    ) -> None:
        super().__init__(hash=hash)
        if not timeout > 0:
            raise ValueError(f"expected a timeout of more than 0 seconds, found {timeout}")
        if in_flight < 1:
            raise ValueError(f"expected at least 1 CAR in flight, found {in_flight}")
        node = find_node(host, auth)
        self._rpc = RPC(node, timeout)
        self._is_near = node.is_loopback and node.url.startswith("http:")  # a connection costs nothing worth mentioning
        self._pin = pin
        self._offline = offline
        self._in_flight = in_flight
        self._block_bytes = 0
        """Of the block that was got last: the next is often as long."""
        self._outbox = Outbox(self._send, CAR_BYTES, in_flight)

    @property
    def host(self) -> str:
        """The URL of the node, without credentials."""
        return self._rpc.node.url

    @property
    def address(self) -> str:
        """See :attr:`ContentAddressableStore.address`."""
        return self.host

    # -- writing --

    def put_block(self, cid: CID, data: bytes) -> None:
        """See :meth:`ContentAddressableStore.put_block`; it is sent with others, at the latest by :meth:`flush`.

        :raises BackendUnavailableError: if blocks that were put before could not be sent; this one is not taken then
        :raises BlockCorruptError: if blocks that were put before are not what their CIDs name: the node has hashed them
        :raises HashRefusedError: if the CID's hash function proves nothing
        """
        self._put(cid, data, wait=True)

    def try_put_nowait(self, cid: CID, data: bytes) -> bool:
        """See :meth:`ContentAddressableStore.try_put_nowait`: True while there is room for what waits to be sent."""
        return self._put(cid, data, wait=False)

    def _put(self, cid: CID, data: bytes, *, wait: bool) -> bool:
        binary = cids.to_bytes(cid)
        if not cids.is_cidv1_sha256(binary):
            check_hash(binary)
        if len(data) > MAX_NODE_BYTES:
            raise BackendUnavailableError(
                f"cannot put block {cid}: IPFS nodes exchange at most {MAX_NODE_BYTES} bytes, found {len(data)}"
            )
        return self._outbox.put(cids.multihash_of(binary), binary, data, wait=wait)

    def _send(self, pairs: Pairs) -> None:
        """Have blocks on the node; it hashes each, and doing it again does no harm."""
        options = {"pin-roots": "false", "stats": "true", "fast-provide-root": "false"}
        stats: object = {}
        with self._rpc.call("dag/import", options, body=car_body(pairs), long=True) as answer:
            for line in answer.lines():
                stats = line.get("Stats", stats)
                # Nothing is to be pinned yet; a node that tries all the same, and fails, says it with HTTP 200.
                if "Root" in line and (failed := answer.field(line, "Root", dict).get("PinErrorMsg")):
                    raise BackendUnavailableError(f"the IPFS node at {self.host} could not pin: {str(failed)[:500]}")
        expected = {"BlockCount": len(pairs), "BlockBytesCount": sum(len(data) for _, data in pairs)}
        if stats != expected:
            raise BackendUnavailableError(f"expected the node at {self.host} to take {expected}, found {stats}")

    def flush(self) -> None:
        """Return when the node has all that was put; what it could not take is kept, and the next call tries again.

        :raises BackendUnavailableError: if blocks could not be sent
        :raises BlockCorruptError: if blocks are not what their CIDs name; the others are sent
        """
        self._outbox.flush()

    def persist(self, root: CID, previous: CID | None = None) -> None:
        """Send the rest, and pin ``root``, as the store was told when it was made: with all that is below it.

        :param previous: a root with the same pin; what both have in common is not looked at again, and a pin with a
            name moves on from there
        :raises BackendUnavailableError: if not all blocks below are on the node and can be had by it
        """
        self.flush()
        if self._pin is not False:
            self.pin(root, "" if self._pin is True else self._pin, previous)

    # -- reading --

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`.

        :raises BlockNotFoundError: also if the network had no such block within the timeout
        """
        binary = cids.to_bytes(cid)
        held = self._held(binary)
        if held is not None:
            return held
        expected = self._block_bytes
        until_close = expected >= _LARGE and self._is_near and cids.is_cidv1_sha256(binary)
        data = self._got(binary, expected, until_close=until_close)
        if until_close and len(data) != expected and hashes.sha2_256(data) != binary[4:]:
            data = self._got(binary, expected)  # it was broken off; now that is told
        self._block_bytes = len(data)
        return data

    def _got(self, cid: bytes, expected: int, *, until_close: bool = False) -> bytes:
        options = {"arg": cids.to_text(cid), "offline": "true" if self._offline else "false"}
        with self._rpc.call("block/get", options, cid=cid, until_close=until_close) as answer:
            return answer.read(MAX_NODE_BYTES, "a block", expected)

    def _held(self, cid: bytes) -> bytes | None:
        return self._outbox.get(cids.multihash_of(cid)) if len(self._outbox) else None

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_blocks`; several at a time, in the order in which they are wanted."""
        return in_order(self.get_block, wanted)

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_dag`.

        One answer of the node has the graph; where blocks are large, they are got one by one, several at a time.
        """
        binary = cids.to_bytes(root)
        if len(self._outbox):  # the node has not all of it
            yield from super().get_dag(root)
            return
        with GraphReader(self._rpc, binary, self.get_raw, offline=self._offline) as reader:
            yield from self._walk(binary, reader.get, ahead=reader.ahead)

    def has_block(self, cid: CID) -> bool:
        """Whether the node itself has a block for ``cid``, or it is on its way there; the network is not asked."""
        try:
            self.block_size(cid)
        except (BlockNotFoundError, HashRefusedError):  # nodes keep no blocks of weak hashes
            return False
        return True

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        """See :meth:`ContentAddressableStore.has_blocks`; several at a time."""
        return (there for _, there in in_order(self.has_block, wanted))

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`; the network is not asked.

        :raises HashRefusedError: if the CID's hash function proves nothing
        """
        binary = cids.to_bytes(cid)
        check_hash(binary)
        held = self._held(binary)
        if held is not None:
            return len(held)
        with self._rpc.call("block/stat", {"arg": cids.to_text(binary), "offline": "true"}, cid=binary) as answer:
            return answer.field(answer.json(), "Size", int)

    def check_dag(self, root: AnyCID) -> None:
        """See :meth:`ContentAddressableStore.check_dag`; the node walks, and its blocks stay where they are."""
        self.flush()
        _pins.check_all_below(self._rpc, cids.to_bytes(root))

    def __iter__(self) -> Iterator[CID]:
        """Raw CIDs of all blocks that the node has, while they are listed; what is not sent yet is sent before."""
        self.flush()
        with self._rpc.call("refs/local", long=True) as answer:
            for line in answer.lines():
                if line.get("Err"):
                    raise BackendUnavailableError(f"the node at {self.host} cannot list its blocks: {line['Err']}")
                yield cids.from_validated(answer.cid(line, "Ref"))

    # -- what else a node does --

    def delete_block(self, cid: CID) -> None:
        """See :meth:`ContentAddressableStore.delete_block`.

        :raises BackendUnavailableError: also if a pin holds the block
        """
        self.flush()  # it may be on its way
        binary = cids.to_bytes(cid)
        with self._rpc.call("block/rm", {"arg": cids.to_text(binary), "force": "true"}, cid=binary) as answer:
            for line in answer.lines():
                if line.get("Error"):
                    raise BackendUnavailableError(
                        f"the node at {self.host} cannot delete block {cid}: {str(line['Error'])[:500]}"
                    )

    def pin(self, root: AnyCID, name: str = "", previous: AnyCID | None = None) -> None:
        """Have the node keep ``root`` and all below it; returns when all of it is there.

        :param name: of the pin; a root has one pin, and a pin one name
        :param previous: see :meth:`persist`
        :raises BackendUnavailableError: if not all blocks below are on the node and can be had by it
        """
        before = None if previous is None else cids.to_bytes(previous)
        _pins.pin(self._rpc, cids.to_bytes(root), name, before)

    def unpin(self, root: AnyCID) -> None:
        """Have the node keep ``root`` no longer; one that is not pinned is left as it is."""
        _pins.unpin(self._rpc, cids.to_bytes(root))

    def pins(self) -> Iterator[tuple[CID, str]]:
        """The roots that the node keeps with all below them, and the names of their pins."""
        return ((cids.from_validated(pin.cid), pin.name) for pin in _pins.all_pins(self._rpc))

    def publish(self, name: str, root: AnyCID) -> str:
        """Point an IPNS name to ``root``, for :meth:`resolve` here and anywhere.

        :param name: of the node's key, which is made if there is none
        :returns: the name as others know it (``k51...``)
        :raises BackendUnavailableError: if the node cannot do it
        """
        self.flush()
        return _pins.publish(self._rpc, name, cids.to_bytes(root))

    def resolve(self, name: str) -> CID:
        """The root that a name points to.

        :param name: of one of the node's keys, or an IPNS name (``k51...``), or a domain name with a DNSLink
        :raises BlockNotFoundError: if it points to nothing, as far as the node can find out within the timeout
        """
        return cids.from_validated(_pins.resolve(self._rpc, name))

    def close(self) -> None:
        """See :meth:`ContentAddressableStore.close`; a closed store opens new connections when it is used."""
        try:
            super().close()
        finally:
            self._rpc.close()

    # -- the store itself --

    def __getstate__(self) -> dict[str, Any]:
        self.flush()  # blocks are not in a pickle: the copy finds them on the node
        state = self.__dict__.copy()
        del state["_outbox"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._outbox = Outbox(self._send, CAR_BYTES, self._in_flight)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IPFSStore):
            return NotImplemented
        return self.host == other.host

    def __hash__(self) -> int:
        return hash(self.host)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.host}>"
