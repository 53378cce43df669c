"""The public store: archives, IPNS names, checks, links and forks of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from ipld_car import Source, Writable, cids
from ipld_castore import AnyCID
from multiformats import CID

from ipldstore._dataset import forking
from ipldstore._dataset.archives import import_car, write_car
from ipldstore._dataset.castores import require_names
from ipldstore._dataset.in_flight import linking
from ipldstore._display.bars import AnyProgress, reporting
from ipldstore._links.arrays import Links, links, set_links
from ipldstore._writers.changes import Changes
from ipldstore._writers.take_in import OnConflict
from ipldstore.errors import store_errors

from .dataset_store import DatasetStore

if TYPE_CHECKING:
    from typing import Self

    import numpy.typing as npt

    from ipldstore._verify.report import VerifyReport


class IPLDStore(DatasetStore):
    """A zarr store, formats 2 and 3, whose contents are an IPLD graph with one root CID.

    What is written changes the tree in memory and puts blocks into ``castore``; :meth:`freeze` writes the tree and
    returns the CID of the root. The same contents give the same CID, whatever the order, the history, the
    backend or the version of zarr. All bytes that are read are verified against the CIDs that name them.

    Keys are what zarr uses; also a ``dict``'s verbs work (``store["a/.zarray"]``, ``in``, ``del``, ``len``,
    iteration), and :attr:`mapping` is a full ``MutableMapping``.

    Threads may read and write at once. Copies in other processes (by pickle, as dask makes them) read, and write where
    ``castore`` is one that both processes reach and that has a journal, as a folder has: this store takes in what they
    write. Elsewhere they refuse to write, as the changes would be lost, and :meth:`fork` and :meth:`merge` help. In one
    process a pickle is the same store again.

    :param castore: where the blocks are, by default in memory; another IPLDStore stands for its ``castore``. A folder
        or bucket of blocks holds any number of datasets, each by its CID; :func:`ipldstore.open` opens the one that
        its head names, and is what moves the head on
    :param root: a root to begin with, as CID object, text or bytes; or a commit, or the state of a repository, which
        stands for its default branch; by default the one that ``castore`` names as its head, as a CAR file does, or
        else the dataset is empty
    :param read_only: refuse all changes
    :raises IPLDStoreError: if the root cannot be read

    >>> store = IPLDStore()
    >>> store["a/0"] = b"chunk"
    >>> print(store.freeze())
    bafyreieyzoqqgs3l3tinb3llbqke53v2i52plrc67tdqih2ddciwjaqrh4
    >>> sorted(store), store["a/0"]
    (['a/0'], b'chunk')
    """

    # -- archives and names --

    @overload
    def to_car(self, stream: None = None, *, since: AnyCID | None = None) -> bytes: ...
    @overload
    def to_car(self, stream: Writable, *, since: AnyCID | None = None) -> None: ...
    def to_car(self, stream: Writable | None = None, *, since: AnyCID | None = None) -> bytes | None:
        """Freeze, and write root and all blocks below it as a CARv1: to ``stream``, or returned as bytes.

        :param since: an older root: only blocks that it lacks are written, for readers that have its blocks. The nodes
            in which the two roots differ are read, and no chunk of the older root. A chunk that the older root has only
            in unchanged parts of the indexes may be written again. The links in the nodes that differ are held in
            memory, at most 150 bytes each: for an appended step those of a few leaves, for two unrelated roots all.
        :raises IPLDStoreError: if a block is missing or wrong; the stream then has a part of an archive

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> store["a/0"] = b"zero"
        >>> mirror = IPLDStore.from_car(store.to_car())
        >>> old = store.freeze()
        >>> store["a/1"] = b"one"
        >>> mirror.import_car(store.to_car(since=old))  # the new root and one chunk
        >>> mirror.freeze() == store.freeze()
        True
        """
        return write_car(self._data, stream, since)

    def import_car(
        self,
        source: Source,
        *,
        incomplete: bool = False,
        discard_changes: bool = False,
        zero_length_section_as_eof: bool = False,
    ) -> None:
        """Take all blocks of an archive into ``castore`` and go on from its one root. Streams.

        The archive and ``castore`` together must have all blocks that the root reaches, so an archive that was written
        ``since`` the present root may be imported. Nodes, a hundredth of the blocks or less, are read back to follow
        their links. A linked block that was not in the archive is looked for in ``castore``, unless the present root
        has it and is known to be whole. A root is known to be whole after an import. Of a root that was opened on this
        machine the first import reads all nodes to know it; a root far away is taken to be whole. The import keeps at
        most 150 bytes in memory for each block of the archive.

        :param source: the archive, CARv1 or CARv2, as bytes or binary stream
        :param incomplete: take it also if blocks are missing: reading what they hold is then an error
        :param zero_length_section_as_eof: take a section of length zero for the end of the archive, as archives that
            are padded with zeros have it (pieces of Filecoin)
        :param discard_changes: lose changes that are not frozen, instead of refusing where there are any
        :raises ValueError: if the archive is damaged (:class:`ipld_car.CarError`) or has not exactly one root
        :raises IPLDStoreError: if a block cannot be taken, or is missing, or changes would be lost; the contents are
            then what they were
        """
        self._check_writable()
        import_car(
            self._data,
            source,
            incomplete=incomplete,
            discard_changes=discard_changes,
            zero_length_section_as_eof=zero_length_section_as_eof,
        )

    @classmethod
    def from_car(cls, source: Source, *, incomplete: bool = False, zero_length_section_as_eof: bool = False) -> Self:
        """Return a store in memory with the contents of an archive; see :meth:`import_car`."""
        store = cls()
        store.import_car(source, incomplete=incomplete, zero_length_section_as_eof=zero_length_section_as_eof)
        return store

    def publish(self, name: str) -> str:
        """Freeze, and point an IPNS name to the root; returns the name as others know it (``k51...``).

        :param name: of a key on the node; it is made if there is none. Only the holder of the key can move the name.
        :raises IPLDStoreError: if freezing or publishing fails, or the blocks are not on an IPFS node
        """
        castore = require_names(self.castore, f"publishing {name!r}")
        root = self._data.frozen() if self.read_only else self._data.freeze()
        with store_errors(f"publishing {name!r}"):
            return castore.publish(name, cids.from_validated(root))

    def resolve(self, name: str) -> CID:
        """Return the root that a name points to, for :meth:`set_root` or a store of its own.

        :param name: of a key on the node, or an IPNS name (``k51...``), or a domain name with a DNSLink
        :raises IPLDStoreError: if no root can be found for the name, or the blocks are not on an IPFS node
        """
        castore = require_names(self.castore, f"resolving {name!r}")
        with store_errors(f"resolving {name!r}"):
            return castore.resolve(name)

    def verify(self, *, progress: AnyProgress = None) -> VerifyReport:
        """Freeze, read every block below the root, and say what is missing or damaged. Nothing is repaired.

        A lost block does not end the verification. Of each array the result has the regions that cannot be read, in
        elements, in chunks, and by coordinates such as dates, where these can be read; see :func:`ipldstore.repair`. A
        store of a group is verified whole.

        :param progress: whether to show a bar; by default in a notebook, and where standard error is a terminal. Or a
            function, which is called as the work goes on with "verifying", the bytes so far, and None
        :raises IPLDStoreError: if the root itself cannot be read

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> store["a/0"] = b"chunk"
        >>> report = store.verify()
        >>> bool(report), report.keys, report.blocks
        (True, 1, 2)
        """
        from ipldstore._verify.verify import verify

        root = self._data.frozen()
        with reporting(progress) as report:
            return verify(self.castore, root, report, IPLDStore(self.castore, root=root, read_only=True))

    # -- links in bulk --

    def set_links(self, array_path: str, coordinates: npt.ArrayLike, cids: npt.ArrayLike) -> None:
        """Set the links of many chunks of an array at once, as setting each of them would.

        The blocks are not looked for: they may be put before or after, or lie elsewhere. Index nodes are written as
        they fill, so 10^8 links can be set in pieces; pieces in C order of the coordinates cost the least.

        :param array_path: the path of the array, whose metadata is there already; "" is the root
        :param coordinates: (n, axes) integers, the position of each chunk in the grid of chunks, for a sharded array
            of shards. Of several with the same coordinates the last counts.
        :param cids: (n, 36) bytes (uint8), the binary CIDs: version 1, raw or dag-pb
        :raises ValueError: if there is no array, an argument has another shape or type, a number is negative, a CID is
            none of a value, or the store is read-only; nothing has changed then
        :raises IPLDStoreError: if a node cannot be read or written

        >>> import numpy as np
        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> store["a/.zarray"] = b'{"zarr_format": 2, "shape": [2, 4], "chunks": [1, 2]}'
        >>> cid = store.castore.put(b"chunk")
        >>> store.set_links("a", [[0, 0], [1, 1]], np.frombuffer(bytes(cid) * 2, "u1").reshape(2, 36))
        >>> store["a/1.1"]
        b'chunk'
        >>> store.links("a").coordinates.tolist()
        [[0, 0], [1, 1]]
        """
        self._check_writable()
        set_links(self._data, array_path, coordinates, cids)

    def links(self, array_path: str) -> Links:
        """Return the links of all chunks of an array, in C order of their coordinates. No chunk is read.

        :param array_path: the path of the array; "" is the root
        :returns: coordinates, (n, axes) integers, and CIDs, (n, 36) bytes, as :meth:`set_links` takes them
        :raises ValueError: if there is no array
        :raises IPLDStoreError: if a node cannot be read, or a CID has another size than 36 bytes
        """
        return links(self._data, array_path)

    # -- nodes and datasets, without their chunks --

    def move(self, old: str, new: str) -> None:
        """Rename an array or group: all keys below a path get names below another path. No chunk is read or written.

        Consolidated metadata of groups above are made anew, as they name the old path. No groups are made on the way to
        the new path.

        :param old: the path, such as "raw/temperature"
        :param new: the new path, below which there are no keys
        :raises KeyError: if there are no keys below the old path
        :raises ValueError: if a path is at or below the other, or no path of a node; or the store is read-only
        :raises IPLDStoreError: if there are keys below the new path, or nodes cannot be read; then nothing has changed

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> store["a/c/0"] = b"chunk"
        >>> store.move("a", "b/a")
        >>> sorted(store)
        ['b/a/c/0']
        """
        from ipldstore._merge import moving

        self._check_writable()
        moving.move(self._data, old, new)

    def graft(self, path: str, cid: AnyCID, *, overwrite: bool = False) -> None:
        """Put a whole dataset, group or array at a path, by its CID. Only the block of the root is read.

        The root is what freezing gives after all its keys were written below the path. Consolidated metadata of groups
        above stay as they are, as with any write: ``zarr.consolidate_metadata`` makes them anew. No groups are
        made on the way to the path: zarr lists what is in a group.

        :param path: the path, such as "models/a"; "" is the root
        :param cid: a root, as CID object, text or bytes; :meth:`subtree` gives that of a group. A commit stands for its
            root, and the state of a repository for that of its default branch. Its blocks are in ``castore``
        :param overwrite: delete what is below the path, instead of refusing
        :raises ValueError: if this is no path of a node or no CID, or the store is read-only
        :raises IPLDStoreError: if there are keys below the path, or the root cannot be read; then nothing has changed

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> store["a/c/0"] = b"chunk"
        >>> store.graft("copies/of/a", store.subtree("a"))
        >>> sorted(store)
        ['a/c/0', 'copies/of/a/c/0']
        """
        from ipldstore._merge import moving

        self._check_writable()
        with linking(self._data.castore):
            moving.graft(self._data, path, cids.to_bytes(cid), overwrite=overwrite)

    def subtree(self, path: str) -> CID:
        """Return the CID of the dataset that has what is below a path: that of a store with just these keys.

        Puts its nodes where they are not blocks of their own. It neither freezes this store nor has ``castore`` keep
        the subtree for itself.

        :param path: the path of a group or array
        :raises KeyError: if there are no keys below the path
        :raises IPLDStoreError: if nodes cannot be read or written
        """
        from ipldstore._merge import moving

        return cids.from_validated(moving.subtree(self._data, path))

    # -- what other processes write --

    def fork(self) -> Self:
        """Return a store with the same contents, whose changes :meth:`merge` takes in.

        A fork can be pickled, and written wherever its ``castore`` is reachable. It sees no changes of other forks, nor
        of this store. Changes of this store that are not frozen are written, as the fork begins with them. A pickle of
        a fork is another fork, with the changes that were made until then.

        :raises IPLDStoreError: if blocks cannot be written

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> left, right = store.fork(), store.fork()
        >>> left["a/0"], right["a/1"] = b"zero", b"one"
        >>> store.merge(left, right.changes())
        >>> sorted(store)
        ['a/0', 'a/1']
        """
        forked = self._copy(_is_view=True, _is_closed=False, _read_only=False, _opened=None, _pickled=None)
        forked._data = forking.fork(self._data)  # noqa: SLF001  # its own class
        return forked

    def changes(self) -> Changes:
        """Return what this fork has changed, as a small value that a task can return.

        Of another store it is what has changed since it was opened, frozen, or set to a root. Where :meth:`freeze`
        found that another process had moved the head, :meth:`set_root` and :meth:`merge` go on from there with it.

        :raises ConflictError: if changes of writers in other processes conflict
        :raises IPLDStoreError: if blocks cannot be read or written, or this is a copy in another process

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> old = store.freeze()
        >>> store["a/0"] = b"theirs"
        >>> theirs = store.freeze()
        >>> store.set_root(old)
        >>> store["a/1"] = b"ours"
        >>> ours = store.changes()
        >>> store.set_root(theirs, discard_changes=True)
        >>> store.merge(ours)
        >>> sorted(store)
        ['a/0', 'a/1']
        """
        return forking.changes_of(self._data)

    def merge(self, *changes: Changes | IPLDStore, on_conflict: OnConflict = "raise") -> None:
        """Take in what forks or other stores have changed, in any order; what was taken in already changes nothing.

        The changes of a key must follow each other, from what this store has to one content: each began with what
        another one, or this store, ended with. Else they conflict. Where ``castore`` is on this machine, it is checked
        that the blocks are there.

        :param changes: forks, or what :meth:`changes` of a fork or a store returned
        :param on_conflict: where changes conflict, "raise" raises an error, "first" takes what the fork that was given
            first has, and a callable gets a :class:`~ipldstore.Conflict` and returns one of its contents
        :raises ConflictError: if changes conflict; it names keys, CIDs and writers, and nothing has changed
        :raises IPLDStoreError: if a block is missing; nothing has changed then
        :raises ValueError: if the store is read-only, or ``on_conflict`` is none of these

        >>> from ipldstore import ConflictError, IPLDStore
        >>> store = IPLDStore()
        >>> left, right = store.fork(), store.fork()
        >>> left["a/0"], right["a/0"] = b"left", b"right"
        >>> try:
        ...     store.merge(left, right)
        ... except ConflictError:
        ...     store.merge(left, right, on_conflict="first")
        >>> store["a/0"]
        b'left'
        """
        self._check_writable()
        given = [each if isinstance(each, Changes) else each._data for each in changes]  # noqa: SLF001  # its own class
        forking.merge(self._data, given, on_conflict)

    def resolve_conflict(self, key: str, writer: str) -> None:
        """Decide a conflict between writers in other processes: what one of them wrote last counts.

        It is applied when the changes are taken in the next time, as by :meth:`freeze`.

        :param key: the key that a :class:`~ipldstore.ConflictError` names
        :param writer: the name of the writer, as the error gives it
        :raises IPLDStoreError: if no copies of this store write in other processes
        """
        self._check_writable()
        forking.resolve_conflict(self._data, key, writer)
