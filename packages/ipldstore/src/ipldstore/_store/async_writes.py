"""Sets in an event loop, of a copy of a store over a bucket: block and note are put without a thread."""

from __future__ import annotations

from ipld_car import cids, unixfs
from ipld_castore import ContentAddressableStore
from multiformats import CID

from ipldstore._dataset import in_flight, values
from ipldstore._dataset.dataset import Dataset
from ipldstore._format import keys
from ipldstore._writers.copies import CopySharing
from ipldstore._writers.shared import AsyncWork

from .executor import in_end_thread, in_request_thread

__all__ = ["try_write_async"]


async def try_write_async(data: Dataset, key: str, value: bytes) -> bool:
    """Give a key of a copy its bytes in the running event loop, as :meth:`Dataset.write` does in a thread.

    Return False, with nothing done, where a thread is needed: for a store that is no copy over a bucket, for documents,
    for values of several blocks, and for keys whose directory has to be read.

    :raises IPLDStoreError: as :meth:`Dataset.write`
    """
    sharing = data.sharing
    if not isinstance(sharing, CopySharing) or not data.castore.blocking or len(value) > unixfs.CHUNK_SIZE:
        return False
    if not sharing.writer.journal.refuses_stopped:  # a folder: the thread would hash the value again
        return False
    data.check_home()
    if keys.split_key(key)[-1] in keys.DOCUMENTS or not data.tree.has_at_hand(key):
        return False
    link = values.link_of(value)
    cid = cids.from_validated(link)

    async def put_block() -> None:
        if not await data.castore.try_put_async(cid, value):
            await in_request_thread(lambda: _put_and_flush(data.castore, cid, value))

    operation = in_flight.begin(data.castore)
    try:
        is_set = await sharing.try_record_async(data, key, link, AsyncWork(put_block, in_end_thread, in_request_thread))
    finally:
        in_flight.end(operation)
    data.own_changes += is_set
    return is_set


def _put_and_flush(castore: ContentAddressableStore, cid: CID, data: bytes) -> None:
    """Store a block; return when it has arrived."""
    castore.put_block(cid, data)
    castore.flush_blocks([cid])
