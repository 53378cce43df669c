"""The journal of a session on a node: pins, each of a block with records and with links to what these name.

Files in the node's MFS would not do: MFS loses acknowledged changes when a folder above is flushed at the same time.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ipld_car import CarError, cids, hashes
from ipld_car.codecs import dagpb

from ipld_castore._core.journal import MAX_RECORD_BYTES, Entry, frame, unframe
from ipld_castore._core.store import MAX_NODE_BYTES
from ipld_castore.concurrency import SharedCall, in_order
from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError

from . import block_upload, pins
from .group_commit import GroupCommit, Records
from .rpc import RPC, Options, RefusedError
from .session_pins import NotesPin, find_notes, find_states, state_name, unpin_all

_NONCE_BYTES: Final = 16
"""Random bytes before records and states: a node has one pin for each block, so that none may come twice."""
_DIGEST_BYTES: Final = 32
_HEAD: Final = struct.Struct(f">{_NONCE_BYTES}sQ{_DIGEST_BYTES}s")
"""Before the bytes of a state: the random bytes, when it was put, and the digest of the state before, or zeros."""
_FOLLOWED: Final = frozenset((cids.RAW, cids.DAG_PB, cids.DAG_CBOR))
"""Codecs whose links a node follows. A block of another codec is kept, and not what it links."""


class _State(NamedTuple):
    cid: bytes
    """Binary CID of the block."""
    time: int
    before: bytes
    """Digest of the block of the state before; zeros of the first state."""
    state: bytes

    @property
    def digest(self) -> bytes:
        return self.cid[-_DIGEST_BYTES:]


class NodeJournal:
    """The journal of one session; see :class:`ipld_castore.Journal`.

    Records are a dag-pb block that links the blocks which they name. It is pinned recursively, under a name with the
    writer and the numbers of the records: the node keeps all of it, and has all of it when the pin is there. Records
    of several threads that come while others are put are put together. The state is the block of a pin that moves by
    ``pin/update``, which has one winner.

    :param rpc: the RPC API of the node
    :param session: the name of the session
    """

    is_remote = True
    refuses_stopped = False
    keeps_blocks = True

    def __init__(self, rpc: RPC, session: str) -> None:
        self._rpc = rpc
        self._session = session
        self._what = f"the session {session} on the IPFS node at {rpc.node.url}"
        self._commit = GroupCommit(self._put)
        self._known: _State | None = None
        self._states: SharedCall[_State | None] = SharedCall()
        self._marks: SharedCall[tuple[NotesPin, ...]] = SharedCall()

    # -- records --

    def append(self, writer: str, first: int, records: Sequence[bytes], blocks: Collection[bytes] = ()) -> None:
        """See :meth:`Journal.append`."""
        self._commit.append(writer, Records(first, tuple(records), tuple(blocks), frame(records)))

    async def try_append_async(self, writer: str, first: int, record: bytes) -> bool:
        """See :meth:`Journal.try_append_async`; there is no such way here."""
        return False

    def _put(self, writer: str, group: Sequence[Records]) -> None:
        """Put records whose numbers follow each other."""
        links = dict.fromkeys(_link(block) for each in group for block in each.blocks if not _is_inline(block))
        framed = b"".join((secrets.token_bytes(_NONCE_BYTES), *(each.framed for each in group)))
        data = dagpb.encode([dagpb.PBLink(link, "", 0) for link in links], framed)
        cid = cids.make(cids.DAG_PB, hashes.sha2_256(data))
        time = block_upload.put(self._rpc, cid, data)
        pin = NotesPin(self._session, writer, group[0].first, group[-1].end - 1, int(time), cid)
        pins.add(self._rpc, cid, pin.name, announce=False)

    def stop_writers(self, known: Mapping[str, int]) -> None:  # they look at the state
        """See :meth:`Journal.stop_writers`."""

    def entries(self, after: Mapping[str, int], mark: object = None) -> Iterator[Entry]:
        """See :meth:`Journal.entries`; many blocks are read at a time."""
        there = mark if isinstance(mark, tuple) else self._look()
        wanted = [pin for pin in there if pin.last > after.get(pin.writer, 0)]
        expected = {pin.writer: after.get(pin.writer, 0) + 1 for pin in wanted}
        for pin, data in in_order(self._read, wanted):
            if pin.first > expected[pin.writer]:
                continue  # records are missing before it
            for number, (record, _) in enumerate(unframe(data), pin.first):
                if number >= expected[pin.writer]:
                    expected[pin.writer] = number + 1
                    yield Entry(pin.writer, number, record)

    def _read(self, pin: NotesPin) -> bytes:
        try:
            data = dagpb.decode(block_upload.get(self._rpc, pin.cid, MAX_NODE_BYTES)).data or b""
        except (BlockNotFoundError, CarError):  # deleted since it was listed; or not ours
            return b""
        return data[_NONCE_BYTES:]

    def mark(self) -> object:
        """See :meth:`Journal.mark`: one look for all threads that asked before it began."""
        return self._look()

    def _look(self) -> tuple[NotesPin, ...]:
        return self._marks.call(lambda: tuple(find_notes(self._rpc, self._session)))

    def delete(self, upto: Mapping[str, int]) -> None:
        """See :meth:`Journal.delete`; records that were put together with others that are needed stay."""
        unpin_all(self._rpc, (pin.cid for pin in self._look() if pin.last <= upto.get(pin.writer, 0)))

    # -- state --

    @property
    def state(self) -> bytes | None:
        """See :attr:`Journal.state`: one look for all threads that asked before it began."""
        found = self._states.call(self._find_state)
        return None if found is None else found.state

    def _find_state(self) -> _State | None:
        known = self._known
        if known is not None and pins.pinned(self._rpc, known.cid) is not None:
            return known
        found = [self._read_state(cid) for cid in find_states(self._rpc, self._session)]
        self._known = self._newest(found) if found else None
        return self._known

    def _newest(self, found: list[_State]) -> _State:
        """Return the state that follows the others: a node that was killed may have pinned it, and not unpinned them.

        A move that was broken off is finished.
        """
        passed = {state.before for state in found}
        last = [state for state in found if state.digest not in passed]
        if len(last) != 1:
            raise BackendUnavailableError(f"expected one state of {self._what}, found {len(found)}: two began it")
        unpin_all(self._rpc, (state.cid for state in found if state is not last[0]))
        return last[0]

    def _read_state(self, cid: bytes) -> _State:
        data = block_upload.get(self._rpc, cid, MAX_NODE_BYTES)
        if len(data) < _HEAD.size:
            raise BackendUnavailableError(
                f"expected a state of {self._what} in {cids.to_text(cid)}, found another block: unpin it if "
                f"no program needs it"
            )
        _, time, before = _HEAD.unpack_from(data)
        return _State(cid, time, before, data[_HEAD.size :])

    def exchange(self, old: bytes | None, new: bytes) -> bool:
        """See :meth:`Journal.exchange`."""
        if old is None:
            return self._begin(new)
        found = self._find_state()
        if found is None or found.state != old:
            return False
        try:
            return self._move(found.cid, self._put_state(new, found.digest))
        except BaseException:
            self._known = None  # both may be pinned now
            raise

    def _begin(self, new: bytes) -> bool:
        """Begin the session. Of two processes that do so at once neither may succeed."""
        if find_states(self._rpc, self._session, looks=1):
            return False
        cid = self._put_state(new, bytes(_DIGEST_BYTES))
        pins.add(self._rpc, cid, state_name(self._session), announce=False)
        there = find_states(self._rpc, self._session)
        if there == [cid]:
            return True
        pins.unpin(self._rpc, cid)
        if there:
            return False
        raise BackendUnavailableError(
            f"expected the IPFS node at {self._rpc.node.url} to keep the names of pins, as Kubo does from 0.26 on: "
            f"sessions of several writers need them, and the node has lost one"
        )

    def _put_state(self, new: bytes, before: bytes) -> bytes:
        with self._rpc.call("version") as answer:
            time = answer.time
        data = _HEAD.pack(secrets.token_bytes(_NONCE_BYTES), max(int(time), 0), before) + new
        if len(data) > MAX_RECORD_BYTES:
            raise BackendUnavailableError(
                f"expected a state of at most {MAX_RECORD_BYTES} bytes for {self._what}, found {len(data)}: freeze the "
                f"store in a new session"
            )
        cid = cids.make(cids.RAW, hashes.sha2_256(data))
        block_upload.put(self._rpc, cid, data)
        return cid

    def _move(self, old: bytes, new: bytes) -> bool:
        """Move the pin of the state; return whether it was at ``old``."""
        roots = [cids.to_text(old), cids.to_text(new)]
        options: Options = {"arg": roots, "unpin": "true", "fast-provide-root": "false"}
        try:
            with self._rpc.call("pin/update", options, cid=new, repeat=False) as answer:
                answer.field(answer.json(), "Pins", list)
        except BackendUnavailableError as error:
            if pins.pinned(self._rpc, new) is not None:  # the answer was lost; or the node was killed in between
                pins.unpin(self._rpc, old)
                return True
            if isinstance(error, RefusedError) and pins.pinned(self._rpc, old) is None:
                return False
            raise
        return True

    def remove(self) -> None:
        """See :meth:`Journal.remove`."""
        unpin_all(self._rpc, find_states(self._rpc, self._session))
        unpin_all(self._rpc, (pin.cid for pin in self._look()))

    def age(self) -> float:
        """See :meth:`Journal.age`; what is compared are times that the node gave, in whole seconds."""
        found = self._find_state()
        if found is None:
            raise BackendUnavailableError(f"expected {self._what}, found none")
        moved = max([found.time, *(pin.time for pin in self._look())])
        return max(now(self._rpc) - moved, 0.0)


def now(rpc: RPC) -> float:
    """Return the time by the clock of a node, in seconds since 1970."""
    with rpc.call("version") as answer:
        return answer.time


def _is_inline(cid: bytes) -> bool:
    return cids.prefix_of(cid).hash_code == cids.IDENTITY


def _link(cid: bytes) -> bytes:
    """Return the link by which a node keeps a block, and the blocks below it whose codec the node knows."""
    if cids.codec_of(cid) in _FOLLOWED:
        return cid
    return bytes((1, cids.RAW)) + cids.multihash_of(cid)
