"""Files, folders and buckets of blocks that have nothing but what their root reaches."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ipld_car import CarFile, cids, fs, walk_binary
from ipld_car.messages import Message, Term
from ipld_castore import CarCAStore, ContentAddressableStore, FileSystemCAStore, SupportsAge, SupportsHead, SupportsPin
from multiformats import CID

from ipldstore._address.grammar import local_path, parse
from ipldstore._address.references import references_beside, with_references
from ipldstore._address.shared import AnyShared, is_node, opened_shared
from ipldstore._display.bars import open_bar
from ipldstore._exchange.head import leave_head
from ipldstore._format.nodes import STATE_FIELD, history_field
from ipldstore._garbage.collect import Compacted, blocks_below, collect, end_sessions
from ipldstore._garbage.collect_here import collect_here
from ipldstore._garbage.in_files import own_part, require_in_file
from ipldstore._garbage.needed import require_head
from ipldstore._repository.opening import has_repository
from ipldstore._tree.tree import EMPTY_ROOT
from ipldstore.errors import ConflictError, store_errors


def compact(
    what: AnyShared,
    older_than: timedelta | datetime | None = None,
    *,
    zero_length_section_as_eof: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> Compacted:
    """Forget all blocks of a CAR file, a folder or a bucket that its root does not reach.

    These are older roots, and what was overwritten. Blocks that lie in other files (:func:`ipldstore.reference`) stay
    where they are, and in their index; no such file is opened.

    A new file is written beside the old one, as a CARv2 with an index, depth first from the root, and takes its place
    when it is on the disk; it can grow by an index that the old one had not. In a folder blocks are deleted, when all
    that the root reaches was found to be there, and so is what killed writers have left unfinished. Stopped at any
    instant, it leaves the old file or a folder that still has the dataset, and can be called again. A file
    or folder that is open for writing is not compacted. Readers of a file go on with the old one. Readers of an older
    root in a folder lose it.

    Of a repository it keeps what :meth:`Repository.garbage_collect` keeps; without ``older_than`` the whole operation
    log, and in a folder or bucket, which many write, blocks that were put within the last hour.

    With ``older_than`` it works beside writers, in folders, buckets and other block stores that tell the age of their
    blocks: it keeps all blocks that were put since, and what any session of writers needs, and deletes sessions in
    which nothing has happened since, whose changes are lost then (:func:`ipldstore.recover` takes them in), but for
    those of stores that are open in this process. A writer
    that has not frozen for longer loses what it wrote. Ages are by the clock of the store, not of this machine. It
    lists, and deletes in batches of a thousand. On an IPFS node it deletes such sessions alone: the node's own garbage
    collection frees blocks, and says what it freed.

    Memory: at most 150 bytes for each block that is kept.

    :param what: a CAR file, or a folder that :func:`ipldstore.open` has written, or the URL of a bucket, or a node as
        :func:`ipldstore.sessions` takes it, or a block store with a head
    :param older_than: an age, or an instant with a time zone; for a bucket and a node it must be given, as nothing
        keeps writers from them
    :param zero_length_section_as_eof: of a CAR file: see :func:`ipldstore.open`; the new file has no such padding
    :param storage_options: of a bucket or a node; see :func:`ipldstore.sessions`
    :param progress: whether to show a bar of the blocks that are kept; by default in a notebook, and where standard
        error is a terminal
    :raises OSError: if it cannot be read or written, or another writer has it
    :raises ValueError: if it does not name one root, or ``older_than`` has no time zone or is for a file
    :raises IPLDStoreError: if a block that the root reaches is missing or wrong, or without ``older_than`` a session
        has not ended; nothing has changed then
    :raises ConflictError: if the file or folder was replaced meanwhile; the one that is there now is as it was

    >>> import tempfile, ipldstore
    >>> path = tempfile.mkdtemp() + "/air.car"
    >>> with ipldstore.open(path, "a") as store:
    ...     for chunk in (b"old", b"new"):
    ...         store["a/0"] = chunk
    ...         root = store.freeze()
    >>> compact(path)
    Compacted(kept_blocks=2, freed_blocks=2, freed_bytes=204)
    """
    if (path := _file_of(what)) is not None:
        _check_of_file(path, older_than, storage_options, zeros_end=zero_length_section_as_eof)
        return _compact_file(path, older_than, progress, zeros_end=zero_length_section_as_eof)
    with opened_shared(what, storage_options) as shared:
        castore = _with_files(shared)
        own = own_part(castore)
        needs_age = isinstance(own, (SupportsAge, SupportsPin))  # collect() says what others need
        if older_than is not None or not needs_age or (isinstance(castore, SupportsHead) and has_repository(castore)):
            return collect(castore, older_than, progress=progress)
        if isinstance(own, FileSystemCAStore):
            return _compact_folder(castore, progress)
        raise ValueError(
            Message(
                "expected ",
                Term("older_than"),
                f" with {castore!r}, as nothing keeps others from writing it meanwhile, found none: ",
                Term("timedelta(days=1)"),
                " keeps all that was put in the last day",
            )
        )


def _file_of(what: AnyShared) -> Path | None:
    """Return the path of a CAR file, whether it is there or not; None for a folder and for places that are no path."""
    if not isinstance(what, (str, os.PathLike)) or (isinstance(what, str) and is_node(what)):
        return None
    place = parse(what).place
    return None if not isinstance(place, Path) or place.is_dir() else Path(os.path.realpath(local_path(what)))


def _check_of_file(
    path: Path, older_than: timedelta | datetime | None, storage_options: Mapping[str, Any] | None, *, zeros_end: bool
) -> None:
    """Refuse arguments that a CAR file does not take."""
    if storage_options:
        raise ValueError(
            Message("expected ", Term("storage_options"), f" with the URL of a bucket or a node, found the file {path}")
        )
    if older_than is not None and path.exists() and not _is_repository(path, zeros_end=zeros_end):
        message = f" with a folder or bucket, which several may write, found the file {path}"
        raise ValueError(Message("expected ", Term("older_than"), message))


def _is_repository(path: Path, *, zeros_end: bool) -> bool:
    """Return whether a CAR file has a repository."""
    with CarFile.open(path, zero_length_section_as_eof=zeros_end) as file:
        return len(file.roots) == 1 and _is_state(file, file.roots[0])


def _is_state(file: CarFile, root: CID) -> bool:
    return root in file and history_field(file.get(root)) == STATE_FIELD


def _compact_repository(
    path: Path, older_than: timedelta | datetime | None, progress: bool | None, *, zeros_end: bool
) -> Compacted:
    with CarCAStore(path, "a", zero_length_section_as_eof=zeros_end) as castore:
        leave_head(castore)
        return collect_here(with_references(castore, path), older_than, progress=progress)


def _with_files(castore: ContentAddressableStore) -> ContentAddressableStore:
    """Return the block store with the blocks that lie in other files, if it is a folder with indexes of them."""
    return with_references(castore, castore.path) if isinstance(castore, FileSystemCAStore) else castore


def _compact_file(
    path: Path, older_than: timedelta | datetime | None, progress: bool | None, *, zeros_end: bool
) -> Compacted:
    size = path.stat().st_size
    old = CarFile.open(path, "a", zero_length_section_as_eof=zeros_end)  # no other process writes as long as it is open
    try:
        if len(old.roots) != 1:
            raise ValueError(f"expected an archive with one root, found {len(old.roots)} roots in {path}")
        if _is_state(old, old.roots[0]):
            old.abandon()
            return _compact_repository(path, older_than, progress, zeros_end=zeros_end)
        fresh = path.with_name(f".{path.name}.compacting")
        fresh.unlink(missing_ok=True)  # of one that was stopped
        try:
            kept, there = _write_kept(old, fresh, path, progress)
            if not old.is_current:
                raise ConflictError(
                    f"compacting {path}: expected the file that was opened, found that it was removed or replaced; "
                    f"the one that is there now is as it was"
                )
            shutil.copymode(path, fresh)
            if os.name == "nt":
                old.abandon()  # what is open is not replaced there
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        fs.sync_folder(path.parent)
        return Compacted(kept, there - kept, size - path.stat().st_size)
    finally:
        old.abandon()  # as it was, or gone: there is nothing to finish


def _write_kept(old: CarFile, fresh: Path, path: Path, progress: bool | None) -> tuple[int, int]:
    """Write a CAR file of what the root of another reaches; return the numbers of its blocks, and of the other's.

    :param fresh: the path of the new file
    :param path: the path of the old file, beside which references to other files are
    """
    root = old.roots[0]
    references = references_beside(path)

    def absent(cid: bytes) -> None:
        require_in_file(cid, references, path)

    with store_errors(f"compacting {path}", passing=(OSError,)), CarFile.open(fresh, "x", roots=[root]) as new:
        if bytes(root) != EMPTY_ROOT or root in old:  # else no root was ever frozen
            with open_bar("keeping", unit=" blocks", progress=progress) as bar:
                for cid, data in walk_binary(old.get, bytes(root), missing=absent):
                    new.put(cid, data, verify=False)
                    bar.update()
        return len(new), len(old)


def _compact_folder(whole: ContentAddressableStore, progress: bool | None) -> Compacted:
    """Compact a folder that no other process writes.

    :param whole: the folder, with blocks in other files if it has such
    """
    castore = own_part(whole)
    assert isinstance(castore, FileSystemCAStore)  # noqa: S101  # the caller has looked
    lock = castore.lock()
    try:
        root = require_head(castore)
        with store_errors(f"compacting {castore.path}"):
            end_sessions(castore)
            kept = blocks_below(whole, root, progress)
            freed_blocks = freed_bytes = kept_blocks = 0
            for cid in castore:
                if cids.multihash_of(bytes(cid)) in kept:
                    kept_blocks += 1
                    continue
                freed_bytes += castore.block_size(cid)
                lock.require_current()  # or else these could be the blocks of another dataset
                castore.delete_block(cid)
                freed_blocks += 1
            lock.require_current()
            freed_bytes += castore.delete_leftovers()
        return Compacted(kept_blocks, freed_blocks, freed_bytes)
    finally:
        lock.release()
