"""The store over an IPFS node, by Kubo's RPC: https://docs.ipfs.tech/reference/kubo/rpc/."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any, Final

from ipld_car import cids, hashes
from multiformats import CID

from ipld_castore._core import graph
from ipld_castore._core.backend import AnyCID
from ipld_castore._core.hash_policy import check_hash
from ipld_castore._core.journal import Journal
from ipld_castore._core.store import MAX_NODE_BYTES, ContentAddressableStore
from ipld_castore._core.upload_queue import UploadQueue
from ipld_castore.concurrency import in_order
from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError, HashRefusedError

from . import peers as _peers
from . import pins as _pins
from . import session_pins as _session_pins
from .address import find_node
from .car_upload import upload
from .export import GraphReader
from .journal import NodeJournal, now
from .rpc import RPC

CAR_BYTES: Final = 16 << 20
"""The bytes of the blocks in one upload."""

_LARGE: Final = 512 << 10
"""The length from which a block of a node on this machine comes without chunks: Kubo sends chunks of 4 KiB, which cost
both sides more than a connection. Farther away a connection costs more, and the bytes are slower than either."""


class IPFSStore(ContentAddressableStore):
    """Blocks on an IPFS node (Kubo), over its RPC API.

    **Writing.** Blocks are collected and sent to the node in CARs of 16 MiB, several at a time, while others are put.
    :meth:`flush` sends the rest and returns when all have arrived. Until then the store itself answers reads of them.
    Blocks that could not be sent are kept: the next put or flush raises the error, and another flush sends the
    blocks again. The store holds at most ``in_flight`` CARs and one more in memory; then a put waits.

    **Pinning.** The node's garbage collection removes blocks that no pin reaches. :meth:`persist`, which a dataset
    calls when it freezes, pins the root, and returns when the node has every block below it. Without a name for the
    pin each root stays pinned until :meth:`unpin`. A pin with a name moves from root to root.

    **Sessions.** Copies of a dataset in other processes write through pins whose names begin with
    ``ipld-castore-session/``. They keep what the copies have put until the dataset freezes. This needs Kubo 0.26.

    **Reading.** :meth:`get_dag` gets a whole graph in one response, :meth:`get_blocks` many blocks at a time.

    The node keeps blocks by multihash, so listing gives raw CIDs. Two stores are equal if their addresses are. Threads
    may share a store. A fork has connections of its own, and so has a pickle, which is made after a flush.

    :param host: the address of the RPC API as URL (``http://127.0.0.1:5001``; with ``user:password@`` where the node
        asks for credentials), ``host:port`` or multiaddr. The default is the address in the file ``api`` of
        ``$IPFS_PATH`` or ``~/.ipfs``, which a running node writes, else ``http://127.0.0.1:5001``
    :param auth: the credentials, as ``ipfs --api-auth`` takes them: ``bearer:token`` or ``basic:user:password``
    :param pin: whether :meth:`persist` pins the root, or the name of the pin
    :param timeout: the seconds that the node may look for a block, and that it may be silent
    :param offline: True gets only blocks that the node has; False lets the node ask the network for others
    :param in_flight: the most CARs under way at a time
    :param hash: see :class:`ContentAddressableStore`
    :raises ValueError: if the address or the credentials cannot be parsed, or a number is out of its range

    >>> IPFSStore("/ip4/127.0.0.1/tcp/5001")
    <IPFSStore: http://127.0.0.1:5001>
    """

    local = False
    sends_graphs = True

    def __init__(
        self,
        host: str | None = None,
        *,
        auth: str | None = None,
        pin: bool | str = True,
        timeout: float = 60.0,
        offline: bool = False,
        in_flight: int = 4,
        hash: str = "sha2-256",  # noqa: A002  # as the base class names it
    ) -> None:
        super().__init__(hash=hash)
        if not timeout > 0:
            raise ValueError(f"expected a timeout of more than 0 seconds, found {timeout}")
        if in_flight < 1:
            raise ValueError(f"expected at least 1 CAR in flight, found {in_flight}")
        node = find_node(host, auth)
        self._rpc = RPC(node, timeout)
        self._pin = pin
        self._offline = offline
        self._in_flight = in_flight
        self._block_bytes = 0
        """The length of the block that was got last: the next block often has the same."""
        self._queue = self._new_queue()

    def _new_queue(self) -> UploadQueue:
        # The queue must not refer to the store: a store that is dropped frees its blocks at once.
        return UploadQueue(partial(upload, self._rpc), CAR_BYTES, self._in_flight)

    @property
    def host(self) -> str:
        """The URL of the node's RPC API, without credentials."""
        return self._rpc.node.url

    @property
    def address(self) -> str:
        """See :attr:`ContentAddressableStore.address`."""
        return self.host

    # -- writing --

    def put_block(self, cid: CID, data: bytes) -> None:
        """See :meth:`ContentAddressableStore.put_block`. The block is sent with others, at the latest by :meth:`flush`.

        :raises BackendUnavailableError: if blocks that were put before could not be sent; this one is not taken
        :raises BlockCorruptError: if blocks that were put before are not what their CIDs name
        :raises HashRefusedError: if the CID's hash function proves nothing
        """
        self._put(cid, data, wait=True)

    def try_put_nowait(self, cid: CID, data: bytes) -> bool:
        """See :meth:`ContentAddressableStore.try_put_nowait`. Return True while there is room for blocks that wait."""
        return self._put(cid, data, wait=False)

    def _put(self, cid: CID, data: bytes, *, wait: bool) -> bool:
        binary = cids.to_bytes(cid)
        if not cids.is_cidv1_sha256(binary):
            check_hash(binary)
        if len(data) > MAX_NODE_BYTES:
            raise BackendUnavailableError(
                f"cannot put block {cid}: IPFS nodes exchange at most {MAX_NODE_BYTES} bytes, found {len(data)}"
            )
        return self._queue.put(cids.multihash_of(binary), binary, data, wait=wait)

    def flush(self) -> None:
        """Wait until the node has all blocks that were put. Blocks that it could not take are kept for the next call.

        :raises BackendUnavailableError: if blocks could not be sent
        :raises BlockCorruptError: if blocks are not what their CIDs name; the others are sent
        """
        self._queue.flush()

    def flush_blocks(self, wanted: Collection[CID]) -> None:
        """See :meth:`ContentAddressableStore.flush_blocks`; raises as :meth:`flush` does."""
        self._queue.flush({cids.multihash_of(cids.to_bytes(cid)) for cid in wanted})

    def persist(self, root: CID, previous: CID | None = None) -> None:
        """Flush, and pin ``root`` recursively unless the store was made with ``pin=False``.

        :param previous: a root with the same pin. The node does not look again at what both roots share, and a pin
            with a name moves from it
        :raises BackendUnavailableError: if a block below ``root`` is not on the node, and the node cannot get it
        """
        self.flush()
        if self._pin is not False:
            self.pin(root, "" if self._pin is True else self._pin, previous)

    # -- reading --

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`.

        :raises BlockNotFoundError: also if the node found no such block in the network within the timeout
        """
        binary = cids.to_bytes(cid)
        held = self._held(binary)
        if held is not None:
            return held
        expected = self._block_bytes
        until_close = expected >= _LARGE and self._rpc.node.is_loopback and cids.is_cidv1_sha256(binary)
        data = self._get(binary, expected, until_close=until_close)
        if until_close and len(data) != expected and hashes.sha2_256(data) != binary[4:]:
            data = self._get(binary, expected)  # with chunks, which tell whether it is broken off
        self._block_bytes = len(data)
        return data

    def _get(self, cid: bytes, expected: int, *, until_close: bool = False) -> bytes:
        options = {"arg": cids.to_text(cid), "offline": "true" if self._offline else "false"}
        with self._rpc.call("block/get", options, cid=cid, until_close=until_close) as answer:
            return answer.read_all(MAX_NODE_BYTES, "a block", expected)

    def _held(self, cid: bytes) -> bytes | None:
        return self._queue.get(cids.multihash_of(cid)) if len(self._queue) else None

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_blocks`. Several are got at a time, in the order of ``wanted``."""
        return in_order(self.get_block, wanted)

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_dag`.

        The blocks come in one response of the node. Large ones are got one by one, several at a time.
        """
        binary = cids.to_bytes(root)
        if len(self._queue):  # the node may lack blocks that wait here
            yield from super().get_dag(root)
            return
        with GraphReader(self._rpc, binary, self.get_raw, offline=self._offline) as reader:
            yield from graph.walk(reader.get, binary, prefetch=reader.ahead)

    def has_block(self, cid: CID) -> bool:
        """Return whether the node itself has a block for ``cid``, or the block waits to be sent; no peer is asked."""
        try:
            self.block_size(cid)
        except (BlockNotFoundError, HashRefusedError):  # nodes keep no blocks with weak hashes
            return False
        return True

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        """See :meth:`ContentAddressableStore.has_blocks`. Several are asked for at a time."""
        return (there for _, there in in_order(self.has_block, wanted))

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`. No peer of the node is asked.

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
        """See :meth:`ContentAddressableStore.check_dag`. The node walks the graph; no block is sent."""
        self.flush()
        _pins.check_all_below(self._rpc, cids.to_bytes(root))

    def __iter__(self) -> Iterator[CID]:
        """Flush, and yield the raw CIDs of all blocks that the node has, while it lists them."""
        self.flush()
        with self._rpc.call("refs/local", long=True) as answer:
            for line in answer.lines():
                if line.get("Err"):
                    raise BackendUnavailableError(f"the IPFS node at {self.host} cannot list its blocks: {line['Err']}")
                yield cids.from_validated(answer.cid(line, "Ref"))

    # -- what else a node does --

    def delete_block(self, cid: CID) -> None:
        """See :meth:`ContentAddressableStore.delete_block`.

        :raises BackendUnavailableError: also if a pin holds the block
        """
        self.flush()  # the block may wait to be sent
        binary = cids.to_bytes(cid)
        with self._rpc.call("block/rm", {"arg": cids.to_text(binary), "force": "true"}, cid=binary) as answer:
            for line in answer.lines():
                if line.get("Error"):
                    raise BackendUnavailableError(
                        f"the IPFS node at {self.host} cannot delete block {cid}: {str(line['Error'])[:500]}"
                    )

    def pin(self, root: AnyCID, name: str = "", previous: AnyCID | None = None) -> None:
        """Pin ``root`` recursively, and return when the node has every block below it.

        :param name: the name of the pin. A root has one pin, and a pin one name
        :param previous: see :meth:`persist`
        :raises BackendUnavailableError: if a block below ``root`` is not on the node, and the node cannot get it
        """
        before = None if previous is None else cids.to_bytes(previous)
        _pins.pin(self._rpc, cids.to_bytes(root), name, before)

    def unpin(self, root: AnyCID) -> None:
        """Remove the recursive pin of ``root``, if it has one."""
        _pins.unpin(self._rpc, cids.to_bytes(root))

    def pins(self) -> Iterator[tuple[CID, str]]:
        """Return an iterator over the roots with a recursive pin, and the names of the pins."""
        return ((cids.from_validated(pin.cid), pin.name) for pin in _pins.all_pins(self._rpc))

    def publish(self, name: str, root: AnyCID) -> str:
        """Point an IPNS name to ``root``, for :meth:`resolve` on this node and any other.

        :param name: the name of a key of the node, which is made if there is none
        :returns: the IPNS name (``k51...``)
        :raises BackendUnavailableError: if the node cannot do it
        """
        self.flush()
        return _pins.publish(self._rpc, name, cids.to_bytes(root))

    def resolve(self, name: str) -> CID:
        """Return the root that a name points to.

        :param name: the name of a key of the node, or an IPNS name (``k51...``), or a domain name with a DNSLink
        :raises BlockNotFoundError: if the node finds no record for the name within the timeout
        """
        return cids.from_validated(_pins.resolve(self._rpc, name))

    def resolve_path(self, name: str) -> str:
        """Return the path that a name points to, such as ``/ipfs/CID/a/b``; see :meth:`resolve`.

        :raises BlockNotFoundError: if the node finds no record for the name within the timeout
        """
        return _pins.resolve_path(self._rpc, name)

    def get_record(self, name: str) -> bytes:
        """Return the signed record of an IPNS name, unchecked; :func:`parse_record` checks it.

        :param name: ``k51...``
        :raises BlockNotFoundError: if the node finds no record within the timeout
        """
        return _pins.record(self._rpc, name)

    # -- sessions of several writers --

    def journal(self, session: str) -> Journal:
        """See :meth:`SupportsJournal.journal`. Its records and its state are pins of the node."""
        return NodeJournal(self._rpc, session)

    def sessions(self) -> Iterator[str]:
        """See :meth:`SupportsJournal.sessions`."""
        yield from _session_pins.find_sessions(self._rpc)

    def now(self) -> float:
        """Return the time by the clock of the node, in seconds since 1970."""
        return now(self._rpc)

    def delete_leftovers(self, before: float) -> int:
        """Unpin what writers that were killed before a time have left of sessions that are deleted; return 0 bytes.

        The node's own garbage collection frees the blocks.

        :param before: the time, by :meth:`now`
        """
        _session_pins.delete_strays(self._rpc, before)
        return 0

    # -- peers --

    def peer_addresses(self) -> list[str]:
        """Return the multiaddrs under which peers reach the node, such as the ``origins`` of a pinning service."""
        return _peers.addresses(self._rpc)

    def connect(self, peers: Iterable[str]) -> None:
        """Connect the node to peers, such as the delegates of a pinning service, so that these get blocks at once.

        :param peers: multiaddrs that end in ``/p2p/ID``
        :raises BackendUnavailableError: if the node cannot reach one of them
        """
        _peers.connect(self._rpc, peers)

    def close(self) -> None:
        """See :meth:`ContentAddressableStore.close`. A closed store opens new connections when it is used."""
        try:
            super().close()
        finally:
            self._rpc.close()

    # -- the store itself --

    def __getstate__(self) -> dict[str, Any]:
        self.flush()  # a pickle holds no blocks: the copy gets them from the node
        state = self.__dict__.copy()
        del state["_queue"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._queue = self._new_queue()
