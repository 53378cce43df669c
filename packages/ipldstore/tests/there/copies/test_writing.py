"""Where a copy puts its chunks: a store that collects them needs no thread, until it has no room."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter

import ipldstore
import numpy as np
import pytest
import zarr
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore
from ipldstore._there.copies.chunks.writing import finished
from multiformats import CID
from zarr.storage import MemoryStore


class Collecting(MappingCAStore):
    """A far store with room for some blocks, in which others wait in a thread; it notes where each was put."""

    def __init__(self, room: int) -> None:
        super().__init__({})
        self.local, self.blocking = False, True
        self._room = room
        self.puts: Counter[bool] = Counter()
        """Chunks that were put, by whether that was in the event loop of zarr."""

    def try_put_nowait(self, cid: CID, data: bytes) -> bool:
        if not self._room:
            return False
        self._room -= 1
        self.put_block(cid, data)
        return True

    def put_block(self, cid: CID, data: bytes) -> None:
        if cid.codec.name == "raw":
            self.puts[threading.current_thread().name == "zarr_io"] += 1
        super().put_block(cid, data)


@pytest.mark.parametrize("room", [0, 7, 20])
def test_a_thread_waits_where_there_is_no_room(room: int) -> None:
    source = MemoryStore()
    zarr.create_array(source, data=np.arange(20), chunks=(1,), compressors=None)[0] = 99
    castore = Collecting(room)
    assert ipldstore.copy(source, IPLDStore(castore)) == ipldstore.copy(source, IPLDStore())
    assert (castore.puts[True], castore.puts[False]) == (room, 20 - room)


def test_an_error_behind_another_one_is_not_printed() -> None:
    """Of two chunks that failed at once asyncio printed the second with its traceback, beside what the command says."""
    told: list[object] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        has_begun, goes_on = threading.Event(), threading.Event()

        def fail() -> None:
            has_begun.set()
            goes_on.wait(30)
            raise ValueError

        task = asyncio.ensure_future(finished(fail))
        await asyncio.to_thread(has_begun.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    gc.collect()
    assert told == []
