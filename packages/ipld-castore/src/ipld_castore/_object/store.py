"""Blocks as objects in a bucket."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from ipld_car import cids
from multiformats import CID

from ipld_castore._backends import flatfs
from ipld_castore._backends.folder_journal import FOLDER
from ipld_castore._backends.head_file import HEAD_FILE
from ipld_castore._core import graph
from ipld_castore._core.backend import AnyCID
from ipld_castore._core.capabilities import BlockStatus
from ipld_castore._core.composed import base_of, blank, composed
from ipld_castore._core.heads import is_head
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore._core.upload_queue import Pairs, UploadQueue
from ipld_castore.concurrency import ForkLocal, ReadAhead, in_order
from ipld_castore.errors import BlockNotFoundError

from .client import DELETED_AT_ONCE, Client, NoObjectError
from .clock import read_clock
from .head import head_of
from .journal import HasJournals, live_sessions
from .layout import Layout, checked_prefix
from .options import open_store
from .recipe import recipe_of, store_of

_QUEUE_BYTES: Final = 64 << 20
"""Bytes of blocks that wait to be sent, or are being sent, at most."""
_PARTS: Final = ("_client", "_layout", "_head", "_queue")
"""Attributes of a store that are not pickled."""
_connecting: Final = ForkLocal(threading.RLock)
"""Held while a store out of a pickle looks for credentials: threads that use it have one queue."""
_WITHOUT_JOURNALS: Final = ("MemoryStore", "HTTPStore")
"""Stores without journals: no other process reaches the first, and the second has no conditional puts."""
_LOCAL: Final = ("LocalStore", "MemoryStore")


class ObjectCAStore(ContentAddressableStore):
    """Blocks as objects in a bucket: S3, GCS, Azure, or any other store of obstore (extra ``object``).

    Objects are named as the files of :class:`FileSystemCAStore` are: a folder that is synced into a bucket is the
    bucket's store, and the other way round. As there, the codec of a CID is not kept, and listing gives raw CIDs.

    Blocks that are put are collected, at most 64 MiB of them, and many are under way at a time; they can be read at
    once, and have arrived when :meth:`flush` returns. Threads may share a store, and any number of processes a bucket.
    A process that was forked after obstore had been used cannot use it: that is an error.

    It has journals, below ``.sessions/``, unless it is over a ``MemoryStore`` or an ``HTTPStore``.

    Blocks have ages by the clock of the store, so garbage is collected beside writers (:class:`SupportsAge`).

    The head is the object ``HEAD``. It moves by a conditional put; over obstore's ``LocalStore``, which has none, as
    that of :class:`FileSystemCAStore` does; see there which datasets move it.

    A pickle holds the store of obstore, and so the secrets in its options. With ``credentials="worker"`` it holds none:
    each process finds its own, as :meth:`from_url` does. A copy of one over a ``MemoryStore`` has objects of its own.
    Two stores are equal if they are over the same bucket and prefix.

    :param store: a store of obstore
    :param prefix: what the names of all objects begin with, below the prefix of the store
    :param credentials: ``"pickle"`` or ``"worker"``: what a pickle holds
    :param in_flight: the most requests at a time
    :param hash: see :class:`ContentAddressableStore`
    :raises ValueError: if ``prefix`` is no path of objects, or ``credentials`` is something else
    :raises TypeError: if ``store`` is no store of obstore

    For example, with one's own options of obstore::

        from obstore.store import S3Store
        store = ObjectCAStore(S3Store("bucket", region="eu-central-1"), prefix="blocks")
    """

    def __init__(
        self,
        store: Any,
        *,
        prefix: str = "",
        credentials: Literal["pickle", "worker"] = "pickle",
        in_flight: int = 32,
        hash: str = "sha2-256",  # noqa: A002  # the name users know
    ) -> None:
        super().__init__(hash=hash)
        if credentials not in ("pickle", "worker"):
            raise ValueError(f"expected credentials to be 'pickle' or 'worker', found {credentials!r}")
        if in_flight < 1:
            raise ValueError(f"expected at least 1 request in flight, found {in_flight}")
        self._prefix = checked_prefix(prefix)
        self._credentials = credentials
        self._in_flight = in_flight
        self._connect(store)

    def _connect(self, store: Any) -> None:
        """Make the parts that use a store of obstore. They are not pickled."""
        self._client = Client(store, self._prefix)
        self._layout = Layout(self._client, self._prefix)
        self._head = head_of(self._client, self._layout.name(HEAD_FILE))
        # The queue must not refer to the store: a store that is dropped frees its blocks at once.
        send = partial(_send, self._client, self._layout)
        self._queue = UploadQueue(send, batch_bytes=1, in_flight=self._in_flight, capacity=_QUEUE_BYTES)
        self._become(self._client.kind)

    def _become(self, kind: str) -> None:
        """Set what depends on the kind of the store of obstore: its verbs, and whether it is on this machine."""
        self.local = kind in _LOCAL
        self.__class__ = composed(type(self), () if kind in _WITHOUT_JOURNALS else (HasJournals,))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a part of a store out of a pickle that finds its own credentials, which it does when it is used.

            An error of that is one of the task, where an error of unpickling would end the process of a pool.
            """
            if name in _PARTS:
                with _connecting.value:
                    if (recipe := self.__dict__.get("_recipe")) is not None:
                        self._connect(store_of(recipe))
                        del self._recipe
                    if name in self.__dict__:
                        return self.__dict__[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        recipe = self.__dict__.get("_recipe")  # a repr sends no request
        return super().__repr__() if recipe is None else f"<{type(self).__name__} that has not looked for credentials>"

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return the store of a bucket by its URL, such as ``s3://bucket/prefix``.

        The credentials of ``s3://`` are found as boto3 does where it is installed (profiles, SSO), else as obstore
        does; those of others as obstore does.

        :param url: ``s3://``, ``gs://``, ``az://container``, ``abfss://``, ``file://`` or ``https://``; without
            credentials
        :param options: the keywords of this class; ``profile`` for boto3; all options of obstore, of the store
            (``endpoint``, ``region``, ``access_key_id``, ``skip_signature=True`` for a public bucket), and of its HTTP
            client (``allow_http=True`` for an endpoint without TLS, ``timeout`` in seconds)
        :raises ValueError: if the URL is none of an object store, or has credentials in it, or an option is unknown
        :raises BackendUnavailableError: if no credentials are found; the error says what was tried
        :raises ImportError: if obstore is not installed
        """
        own = {name: options.pop(name) for name in ("prefix", "credentials", "in_flight", "hash") if name in options}
        return cls(open_store(url, options), **own)

    @property
    def store(self) -> Any:
        """The store of obstore."""
        return self._client.store

    @property
    def prefix(self) -> str:
        """The prefix of the names of all objects, below the prefix of the store."""
        return self._prefix

    @property
    def address(self) -> str:
        """See :attr:`ContentAddressableStore.address`; no secret is in it."""
        return self._client.where

    # -- writing --

    def put_block(self, cid: CID, data: bytes) -> None:
        """Take a block; it is sent soon, and has arrived when :meth:`flush` returns.

        :raises CAStoreError: if blocks that were put before could not be sent; they are kept, this one is not taken
        """
        self._put(cid, data, wait=True)

    def try_put_nowait(self, cid: CID, data: bytes) -> bool:
        """See :meth:`ContentAddressableStore.try_put_nowait`; True while there is room for what waits to be sent."""
        return self._put(cid, data, wait=False)

    async def try_put_async(self, cid: CID, data: bytes) -> bool:
        """See :meth:`ContentAddressableStore.try_put_async`; False until the rule of the names is known."""
        name = None if self.local else self._layout.known_name(cids.to_bytes(cid))
        return name is not None and await self._client.try_put_async(name, data, "overwrite")

    def _put(self, cid: CID, data: bytes, *, wait: bool) -> bool:
        binary = cids.to_bytes(cid)
        return self._queue.put(cids.multihash_of(binary), binary, data, wait=wait)

    def flush(self) -> None:
        """Wait until the bucket has all that was put; what could not be sent is kept, and the next call tries again.

        :raises BackendUnavailableError: if blocks could not be sent
        :raises BlockCorruptError: if blocks are not what their CIDs name; the others are sent
        """
        self._queue.flush()

    def flush_blocks(self, wanted: Collection[CID]) -> None:
        """See :meth:`ContentAddressableStore.flush_blocks`.

        :raises CAStoreError: as :meth:`flush`
        """
        self._queue.flush({cids.multihash_of(cids.to_bytes(cid)) for cid in wanted})

    def persist(self, root: CID, previous: CID | None = None) -> None:
        """See :meth:`ContentAddressableStore.persist`."""
        self.flush()
        if not self.persist_moves_head or (is_head(previous, root) and is_head(self.head, root)):
            return
        self.swap_head(previous, root)  # which succeeds if an earlier call has moved it and failed late

    # -- the head --

    @property
    def head(self) -> CID | None:
        """See :attr:`SupportsHead.head`; it is in the object ``HEAD``.

        :raises BackendUnavailableError: if it cannot be read, or is no CID
        """
        self._layout.is_new = (head := self._head.read()) is None
        return head

    def swap_head(self, expected: CID | None, new: CID) -> None:
        """See :meth:`SupportsHead.swap_head`.

        The call succeeds if ``new`` is the head although the store refused the put: an answer was lost, or another
        caller put the same head.

        :raises HeadMovedError: if the head is another; where an answer was lost, a note of the error says so
        """
        self.flush()
        self._head.swap(expected, new)

    # -- reading --

    def _held(self, cid: bytes) -> bytes | None:
        return self._queue.get(cids.multihash_of(cid)) if len(self._queue) else None

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`."""
        binary = cids.to_bytes(cid)
        held = self._held(binary)
        if held is not None:
            return held
        what = f"block {cids.to_text(binary)}"
        try:
            data, _ = self._layout.with_rule(lambda rule: self._client.get(self._layout.block_name(binary, rule), what))
        except NoObjectError:
            raise self._not_found(cid) from None
        return data

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_blocks`; many at a time, in the order in which they are wanted."""
        return in_order(self.get_block, wanted, threads=self._in_flight)

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_dag`; blocks are asked for before the walk comes to them."""
        with ReadAhead(self.get_raw, threads=self._in_flight, below=graph.links_below) as reader:
            yield from graph.walk(reader.get, cids.to_bytes(root), prefetch=reader.ahead)

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`."""
        binary = cids.to_bytes(cid)
        held = self._held(binary)
        if held is not None:
            return len(held)

        def ask(rule: flatfs.Sharding) -> int:
            name = self._layout.block_name(binary, rule)
            size: int = self._client.ask(f"look for block {cid} in", lambda: self.store.head(name)["size"])
            return size

        try:
            return self._layout.with_rule(ask)
        except NoObjectError:
            raise self._not_found(cid) from None

    def has_block(self, cid: CID) -> bool:
        """See :meth:`ContentAddressableStore.has_block`."""
        try:
            self.block_size(cid)
        except BlockNotFoundError:
            return False
        return True

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        """See :meth:`ContentAddressableStore.has_blocks`; many at a time."""
        return (there for _, there in in_order(self.has_block, wanted, threads=self._in_flight))

    def _not_found(self, cid: CID) -> BlockNotFoundError:
        return BlockNotFoundError(f"no block {cid} in {self.address}")

    def __iter__(self) -> Iterator[CID]:
        """Flush, and return raw CIDs of all blocks. Objects that are no blocks are left out."""
        self.flush()
        rule = self._layout.rule()
        for meta in self._client.list(self._layout.prefix, "blocks"):
            cid = self._layout.cid_of(meta["path"], rule)
            if cid is not None:
                yield cid

    # -- deleting --

    def delete_block(self, cid: CID) -> None:
        """See :meth:`SupportsDelete.delete_block`."""
        self.delete_blocks([cid])

    def delete_blocks(self, wanted: Iterable[CID]) -> None:
        """Delete many blocks, by one request for a thousand where the store allows it.

        Deleting absent blocks changes nothing.

        :raises BackendUnavailableError: if they cannot all be deleted; some of them may be
        """
        self.flush()  # they may be on their way
        name_of, rule = self._layout.block_name, self._layout.rule()
        self._client.delete((name_of(cids.to_bytes(cid), rule) for cid in wanted), "blocks")

    # -- ages --

    def now(self) -> float:
        """See :meth:`SupportsAge.now`."""
        return read_clock(self._client, f"{self._layout.name(FOLDER)}/").timestamp()

    def block_statuses(self) -> Iterator[BlockStatus]:
        """See :meth:`SupportsAge.block_statuses`; a listing tells all of it."""
        self.flush()
        rule = self._layout.rule()
        for meta in self._client.list(self._layout.prefix, "blocks"):
            cid = self._layout.cid_of(meta["path"], rule)
            if cid is not None:
                yield BlockStatus(cid, meta["size"], meta["last_modified"].timestamp())

    def delete_old(self, cids: Iterable[CID], before: float) -> Iterator[CID]:
        """See :meth:`SupportsAge.delete_old`.

        A thousand blocks at a time are looked at once more, and then deleted by one request. Object stores do not
        delete under a condition: a block that is put between the two is lost, so ``before`` should be well in the past.
        """
        rule = self._layout.rule()
        left = iter(cids)
        while batch := list(islice(left, DELETED_AT_ONCE)):
            names = [(cid, self._layout.block_name(bytes(cid), rule)) for cid in batch]
            put = in_order(lambda each: self._time_of(each[1]), names, threads=self._in_flight)
            old = [each for each, time in put if time is not None and time < before]
            self._client.delete((name for _, name in old), "blocks")
            yield from (cid for cid, _ in old)

    def _time_of(self, name: str) -> float | None:
        """Return when an object was put; None if there is none."""
        try:
            meta = self._client.ask("look at blocks in", lambda: self.store.head(name))
        except NoObjectError:
            return None
        return float(meta["last_modified"].timestamp())

    def delete_leftovers(self, before: float) -> int:
        """See :meth:`SupportsAge.delete_leftovers`: notes of writers whose session was deleted, or is none here."""
        folder = self._layout.name(FOLDER)
        objects = {meta["path"]: meta for meta in self._client.list(folder, "sessions")}
        below, live = len(folder) + 1, live_sessions(folder, objects)
        gone = {
            name: meta["size"]
            for name, meta in objects.items()
            if name[below:].partition("/")[0] not in live and meta["last_modified"].timestamp() < before
        }
        self._client.delete(gone, "notes of sessions that were deleted")
        return sum(gone.values())

    # -- the store itself --

    def __reduce__(self) -> tuple[object, ...]:
        return blank, (base_of(type(self)),), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        if "_recipe" in self.__dict__:
            state = self.__dict__.copy()
            return state | {"recipe": state.pop("_recipe")}
        self.flush()  # blocks are not in a pickle: the copy finds them in the bucket
        state = {name: value for name, value in self.__dict__.items() if name not in _PARTS}
        state["recipe"] = recipe_of(self.store, with_secrets=self._credentials == "pickle")
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        recipe = state.pop("recipe")
        self.__dict__.update(state)
        if recipe.finds_credentials or "credential_provider" in recipe.keywords:
            self._recipe = recipe
            self._become(recipe.make.__name__)
        else:
            self._connect(store_of(recipe))


def _send(client: Client, layout: Layout, pairs: Pairs) -> None:
    """Put blocks into the bucket."""
    rule = layout.written_rule()
    for cid, data in pairs:
        client.put(layout.block_name(cid, rule), data, f"block {cids.to_text(cid)}")
