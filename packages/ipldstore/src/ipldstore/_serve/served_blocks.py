"""The blocks that visitors may have: those that the opened roots reach, and no other of the block stores."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock, Thread
from typing import Final

from ipld_car import CarError, binary_links, cids
from ipld_castore import BlockNotFoundError, CAStoreError, ContentAddressableStore
from multiformats import CID

from .sources import Source

_LOOK_SECONDS: Final = 0.05
"""How often a request that waits for the walk looks whether its block was met."""


class ServedBlocks(ContentAddressableStore):
    """All sources as one block store that only reads, and only what the roots reach.

    A visitor that walks from a root asks for blocks that are linked in blocks served before: those are known.
    For any other block the nodes below the roots are read once, in a thread, and what they link is remembered.

    Threads: all verbs may be called from several threads at once.

    :param sources: what is served
    """

    writable = False

    def __init__(self, sources: Sequence[Source]) -> None:
        super().__init__()
        self.sources = tuple(sources)
        self._known: set[bytes] = {root for source in sources for root in source.roots}
        """Binary CIDs that the roots reach, as far as is known. Only grows."""
        self._expanded: set[bytes] = set()
        """Nodes whose links are in ``_known``."""
        self._lock = Lock()
        self._walk: Thread | None = None
        self._is_complete = False
        self._stops = False

    @property
    def address(self) -> str:
        """The names of the sources."""
        return ", ".join(source.name for source in self.sources)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The binary CIDs of all roots, in the order of the sources."""
        return tuple(dict.fromkeys(root for source in self.sources for root in source.roots))

    def read(self, cid: bytes) -> bytes:
        """Return the verified bytes of a block that the roots reach, or of an identity CID.

        As :meth:`get_raw`, which would hash a second time what a source has verified.

        :param cid: the binary CID
        """
        return self.get_raw(cid, verify=False)

    def put_block(self, cid: CID, data: bytes) -> None:
        """Refuse: what is served is not written."""
        raise BlockNotFoundError(f"expected a request to read, found one to write the block {cid}")

    def get_block(self, cid: CID) -> bytes:
        """Return the bytes of a block that the roots reach.

        :raises BlockNotFoundError: if no root reaches it, or no source has it
        """
        binary = bytes(cid)
        if binary not in self._known and not self._is_found_by_walk(binary):
            raise BlockNotFoundError(f"expected a block that the served roots reach, found {cid}")
        data = self._read(binary)
        if cids.codec_of(binary) != cids.RAW and binary not in self._expanded:
            self._expand(binary, data)
        return data

    def has_block(self, cid: CID) -> bool:
        """Return whether the roots reach a block and a source has it."""
        binary = bytes(cid)
        if binary not in self._known and not self._is_found_by_walk(binary):
            return False
        return any(cid in source.castore for source in self.sources)

    def _read(self, binary: bytes) -> bytes:
        error: CAStoreError | None = None
        for source in self.sources:
            try:
                return source.castore.get_raw(binary)
            except BlockNotFoundError:
                continue
            except CAStoreError as found:  # another source may have a sound copy
                error = found
        if error is not None:
            raise error
        raise BlockNotFoundError(f"expected the block {cids.to_text(binary)} in a source, found it in none")

    def _expand(self, binary: bytes, data: bytes) -> list[bytes]:
        """Remember the links of a node that the roots reach; returns those that were not known."""
        try:
            below = set(binary_links(binary, data))
        except CarError:
            below = set()  # a node that cannot be read links nothing that can be asked for
        with self._lock:
            new = [link for link in below if link not in self._known]
            self._known.update(new)
            self._expanded.add(binary)
        return new

    # -- the walk --

    def _is_found_by_walk(self, binary: bytes) -> bool:
        """Return whether the roots reach a block, after reading all nodes below them once."""
        if self._is_complete:
            return binary in self._known
        with self._lock:
            walk = self._walk
            if walk is None:
                walk = self._walk = Thread(target=self._walk_all, name="ipldstore-serve-reach", daemon=True)
                walk.start()
        while walk.is_alive() and binary not in self._known:
            walk.join(_LOOK_SECONDS)
        return binary in self._known

    def _walk_all(self) -> None:
        """Read every node below the roots, and no raw block."""
        waiting = list(self.roots)
        seen: set[bytes] = set()
        failed = False
        while waiting and not self._stops:
            binary = waiting.pop()
            if binary in seen or cids.codec_of(binary) == cids.RAW:
                continue
            seen.add(binary)
            try:
                data = self._read(binary)
                below = list(binary_links(binary, data))
            except (BlockNotFoundError, CarError):
                continue  # what is lost or malformed has nothing below it that can be served
            except CAStoreError:  # a source that is far away may answer the next time
                failed = True
                continue
            with self._lock:
                self._known.update(below)
                self._expanded.add(binary)
            waiting += below
        self._is_complete = not (self._stops or failed)
        self._walk = None

    def close(self) -> None:
        """Stop the walk and close the sources."""
        self._stops = True
        walk = self._walk
        if walk is not None:
            walk.join()
        for source in self.sources:
            source.close()
