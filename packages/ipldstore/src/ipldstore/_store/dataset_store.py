"""A dataset over a block store: opening and closing, views and copies, roots, and the verbs of a dict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ipld_car import cids
from ipld_castore import AnyCID, MappingCAStore
from multiformats import CID

from ipldstore._canonical.canonicalize import Canonicalized, canonicalize
from ipldstore._dataset import processes
from ipldstore._dataset.castores import AnyCAStore, castore_of, moving_head
from ipldstore._dataset.lifecycle import Closer, close
from ipldstore._dataset.roots import open_dataset, set_root
from ipldstore._display.html import store_html
from ipldstore._display.outline import outline
from ipldstore._display.text import outline_text
from ipldstore._tree.stats import Stats
from ipldstore._writers.take_in import OnConflict, check_on_conflict
from ipldstore.errors import IPLDStoreError

from .carried import CarriedDataset
from .determinism import warn_if_blosc_has_threads
from .mapping import StoreMapping, as_bytes
from .zarr_store import ZarrStore

if TYPE_CHECKING:
    from typing import Self


class DatasetStore(ZarrStore):
    """The base of :class:`IPLDStore`: opening and closing, roots, and the contents as a dict."""

    def __init__(
        self,
        castore: AnyCAStore | None = None,
        *,
        root: AnyCID | None = None,
        read_only: bool = False,
    ) -> None:
        store = MappingCAStore() if castore is None else castore_of(castore)
        if root is None:
            root = moving_head(store)
        data, self._history_node = open_dataset(store, None if root is None else cids.to_bytes(root))
        super().__init__(data, read_only=read_only)
        self._opened: Closer | None = None
        self._is_view = False
        self._is_closed = False
        self._resolved: str | None = None
        self._pickled: CarriedDataset | None = None
        """The pickle that this store was loaded from; None without."""
        self._changes_when_pickled = 0
        self._canonicalized: Canonicalized | None = None

    def __repr__(self) -> str:
        if "_data" not in self.__dict__:  # a repr reads no block
            return f"<{type(self).__name__} {self._pickled!r}>"
        text = super().__repr__()
        return text if self._resolved is None else f"{text[:-1]}, found as {self._resolved}>"

    def close(self) -> None:
        """Close the store: freeze what has changed, and refuse to change anything from now on.

        A store that :func:`ipldstore.open` opened also releases its file or folder; the ``castore`` of any other store
        stays open. Closing again changes nothing. Closing another view of the store, or a copy out of a pickle, closes
        that alone. If the changes cannot be frozen, the store stays open with its changes; ``castore.abandon()``
        releases a CAR file without them.

        :raises IPLDStoreError: if blocks cannot be written
        """
        if not self._is_view:
            if self._opened is None:
                close(self._data)
            else:
                self._opened.close()
        self._is_closed = True
        super().close()

    def abandon(self) -> None:
        """Close the store, and lose what is not frozen: what was there when it was opened or frozen is there still.

        :raises IPLDStoreError: if what the store has open cannot be closed
        """
        if not self._is_view:
            if self._opened is None:
                self._data.closed = True
            else:
                self._opened.abandon()
        self._is_closed = True
        super().close()

    @property
    def session(self) -> Any:
        """The :class:`~ipldstore.RepositorySession` of a store that :func:`ipldstore.open` opened; else None.

        There is one where a repository was opened. After a conflict at closing, its ``rebase`` helps.
        """
        return getattr(self._opened, "session", None)

    def _check_writable(self) -> None:
        if self._read_only:  # asked here, as each chunk that is written asks
            self._data.tree.require_own_format()  # its error says what to do
            super()._check_writable()
        if self._is_closed:
            raise IPLDStoreError(processes.CLOSED)

    def info(self, path: str = "") -> str:
        """Return what the dataset has, as lines of text: dimensions, arrays with their chunks and codecs, attributes.

        Reads metadata only, and no chunk.

        :param path: of a group or array
        :raises IPLDStoreError: if a block is missing or damaged

        >>> import zarr
        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> _ = zarr.create_array(store, name="a", shape=(4,), chunks=(2,), dtype="i4", zarr_format=2)
        >>> print(store.info())
        Data variables:
            a  (-) int32 16 B  2 chunks of (2,)
        """
        return outline_text(outline(self, path.strip("/")))

    def _repr_html_(self) -> str:
        return store_html(self, {"root": self._root_text, "blocks in": repr(self.castore)})

    @property
    def _root_text(self) -> str:
        root = self._data.known_root
        return "changes that are not frozen" if root is None else cids.to_text(root)

    # -- views and copies --

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return another view of the same contents, changes included; it is not open yet."""
        return self._copy(_is_open=False, _read_only=read_only, _is_view=True, _is_closed=False)

    def __copy__(self) -> Self:
        """Return another view of the same contents, changes included. Nothing is written."""
        return self._copy(_is_view=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return another view of the same contents, as :func:`copy.copy` does.

        Contents are in ``castore``, which a copy shares, as copies of a store over a folder share its files. xarray
        copies a store deeply with each lazy variable. :meth:`IPLDStore.fork` gives contents that change apart.
        """
        return self._copy(_is_view=True)

    def __getstate__(self) -> dict[str, Any]:
        # A pickle of what came out of a pickle is the same pickle, without I/O: schedulers pickle a store once a task.
        if self._pickled is None or ("_data" in self.__dict__ and self._data.own_changes != self._changes_when_pickled):
            carried = CarriedDataset(self._data, shared=not self.read_only)
        else:
            carried = self._pickled
        # A copy does not close the store.
        return self.__dict__ | {"_opened": None, "_is_view": True, "_data": None, "_pickled": carried}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        assert self._pickled is not None  # noqa: S101  # see above
        del self.__dict__["_data"]
        if self._pickled.is_home:
            self._pickled.dataset_of(self.__dict__)  # which is there

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return the dataset of a store out of a pickle, when it is used first: no pickle reads a block.

            An error of that is one of the task, where an error of unpickling would end the process of a pool.
            """
            if name == "_data" and self.__dict__.get("_pickled") is not None:
                return self.__dict__["_pickled"].dataset_of(self.__dict__)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -- roots --

    @property
    def root_cid(self) -> CID | None:
        """The CID of the contents; None while there are changes that are not frozen, and before the first freeze."""
        root = self._data.root
        return None if root is None else cids.from_validated(root)

    @property
    def resolved(self) -> str | None:
        """What the name that the store was opened by pointed to, as ``/ipfs/CID/path``; None without a name.

        The path that followed the name in the address follows this, too. A name is not verified as a CID is. To open
        the same again, open ``ipfs://CID/path``, or with ``castore`` the :attr:`root_cid`.
        """
        return self._resolved

    @property
    def has_changes(self) -> bool:
        """Whether there are changes that are not frozen. A pickle does not freeze: ``castore`` keeps no root."""
        return self._data.has_changes

    @property
    def base_root(self) -> CID | None:
        """The CID of the root that changes go on from, whether there are any or not; None for a new, empty store.

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> store["a/0"] = b"chunk"
        >>> store.has_changes, store.root_cid, store.base_root
        (True, None, None)
        >>> root = store.freeze()
        >>> store["a/1"] = b"another"
        >>> store.has_changes, store.root_cid, store.base_root == root
        (True, None, True)
        """
        root = self._data.frozen_root
        return None if root is None else cids.from_validated(root)

    def freeze(self, on_conflict: OnConflict = "raise") -> CID:
        """Write what has changed and have ``castore`` keep it; return the CID of the root.

        What keeping means depends on the backend: at least, all blocks are stored when the call returns. Where the
        store was opened to write by :func:`ipldstore.open`, or is over a CAR file, the head moves to the root. Over a
        block store that was made by hand, such as ``FileSystemCAStore(path)``, or opened to read, it does not: any
        number of datasets may be in that, and the CID that is returned is the way back to this one.

        Only changed nodes, and neighbours that are joined with them, are read and written. If the call fails, the
        changes are still there, and a second call goes on.

        :param on_conflict: what to do where writers in other processes have changed one key, as in :meth:`merge`;
            "first" takes what the writer has whose name sorts first
        :raises ConflictError: if changes of writers conflict, or another process has moved the head or taken over the
            session; the changes are still there
        :raises IPLDStoreError: if blocks cannot be written, or this is a copy with changes in another process
        :raises ValueError: if ``on_conflict`` is neither "raise" nor "first" nor a callable
        """
        check_on_conflict(on_conflict)
        # A reader of a root does not decide whether the backend keeps it.
        return cids.from_validated(self._data.frozen() if self.read_only else self._data.freeze(on_conflict))

    def set_root(self, cid: AnyCID, *, discard_changes: bool = False) -> None:
        """Go on from a root.

        :param cid: the root, as CID object, text or bytes; or a commit or a state, which stand for one
        :param discard_changes: lose changes that are not frozen, instead of refusing where there are any
        :raises IPLDStoreError: if the root cannot be read, or changes would be lost, or the store is closed; nothing
            changes then
        :raises ValueError: if this is no CID, or the store is read-only and there are changes of its writer

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> root = store.freeze()
        >>> store["a/0"] = b"chunk"
        >>> store.set_root(root, discard_changes=True)
        >>> "a/0" in store
        False
        """
        root = cids.to_bytes(cid)
        what = f"going to the root {cids.to_text(root)}"
        if self._data.has_changes:  # a read-only view of a store must not drop what its writer has
            self._check_writable()
        set_root(self._data, root, what, discard_changes=discard_changes)

    def canonicalize(self, into: AnyCAStore | None = None, copy: bool = True, *, progress: bool | None = None) -> CID:
        """Write the root that a conforming writer gives these contents, and return its CID. For roots of other writers.

        Chunks are not copied where their links are canonical: raw blocks up to 1 MiB, and UnixFS files of raw leaves of
        1 MiB, by sha2-256. On this machine their blocks are read and verified; of blocks far away only the sizes are
        asked for. The bytes of others (of another chunker, in dag-pb, by blake3) are read once and put anew. What was
        done is counted in :attr:`canonicalized`.

        :param into: where to write nodes and copies, a block store or a store over one; chunks that are not copied stay
            where they are, so the new root is read over both (``TieredCAStore(into, store.castore)``). By default this
            store's own, and this store goes on from the new root. So does an empty store over another; one with
            contents keeps these, and its block store has the new root beside them
        :param copy: False keeps links that are not canonical as they are
        :param progress: whether to show a bar on standard error; by default where that is a terminal
        :raises IPLDStoreError: if a block cannot be read or written, or ``into`` is needed as the blocks of this store
            cannot be written; the contents are then what they were

        >>> from ipldstore import IPLDStore, MappingCAStore
        >>> store, other = IPLDStore(), MappingCAStore()
        >>> store["a/0"] = b"chunk"
        >>> store.canonicalize(into=other) == store.freeze()
        True
        >>> store.canonicalized.linked, store.canonicalized.copied
        (1, 0)
        """
        target = None if into is None or into is self else castore_of(into)
        if target is None and self._data.tree.foreign is None:
            self._check_writable()
        holder = into._data if isinstance(into, DatasetStore) else None  # noqa: SLF001  # of the same class
        self._canonicalized = canonicalize(self._data, target, copy=copy, progress=progress, holder=holder)
        return self._canonicalized.root

    @property
    def canonicalized(self) -> Canonicalized | None:
        """What the last :meth:`canonicalize` of this store has done, in numbers of keys; None before it."""
        return self._canonicalized

    def stats(self) -> Stats:
        """Return the numbers of keys, and of blocks of the indexes as freezing would make them.

        Writes nothing, and reads no leaf of a chunk index that has not changed. With changes that are not frozen, the
        nodes that freezing would write are made in memory.

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> store["a/0"] = b"chunk"
        >>> store.stats()
        Stats(keys=1, index_blocks=0)
        """
        return self._data.stats()

    # -- as a dict --

    @property
    def mapping(self) -> StoreMapping:
        """The contents as a ``MutableMapping[str, bytes]``."""
        return StoreMapping(self._data, self._check_writable)

    def __getitem__(self, key: str) -> bytes:
        return self.mapping[key]

    def __setitem__(self, key: str, value: bytes) -> None:
        self._check_writable()
        warn_if_blosc_has_threads()
        self._data.write(key, as_bytes(value))

    def __delitem__(self, key: str) -> None:
        del self.mapping[key]

    def __contains__(self, key: object) -> bool:
        return key in self.mapping

    def __iter__(self) -> Iterator[str]:
        return iter(self.mapping)

    def __len__(self) -> int:
        return len(self.mapping)

    def __bool__(self) -> bool:  # an empty store is a store
        return True


def frozen_root(store: DatasetStore) -> CID:
    """Return the CID of the root for what only reads, which freezes changes, and without any moves no head.

    :raises IPLDStoreError: if there are changes that cannot be frozen
    """
    root = store.root_cid
    return store.freeze() if root is None else root
