"""Prefetching over a gateway that lacks blocks, lies or fails: prefetched blocks are verified, and failures are told
only when a block is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipld_castore.testing import BlockServer, Fault, Reply, expiring_timeouts, faults
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID

from ..support.far_datasets import SHAPE, array_of, chunk_link, opened
from ..support.store_samples import zarr


def test_absent_chunks_are_absent(server: BlockServer, many: tuple[MappingCAStore, CID]) -> None:
    """A chunk that was never written is the fill value, and costs no more requests than another."""
    store = IPLDStore(server.blocks, root=many[1])
    for x in range(10):
        del store[f"a0/c/100/12/{x}/0"]
    root = store.freeze()
    server.forget()
    array = zarr.open_group(opened(server, root), mode="r")["a0"]
    assert array[100, 12, 3, 0] == -1
    assert len(server.requests) <= 3
    expected = array_of(SHAPE)[100, 10:14].copy()
    expected[2, :10] = -1
    assert np.array_equal(array[100, 10:14, :, 0], expected)


@pytest.mark.parametrize("bad", [None, b"wrong"], ids=["missing", "wrong"])
def test_only_the_chunk_that_is_lost(server: BlockServer, many: tuple[MappingCAStore, CID], bad: bytes | None) -> None:
    """Its neighbours, fetched together with it, are read. The lost chunk is an error that names it, no fill value."""
    blocks, root = server.blocks, many[1]
    link = cids.to_text(bytes(chunk_link(many[0], root, 60, 5, 9)))
    assert isinstance(blocks, MappingCAStore)
    if bad is None:
        del blocks.mapping[link]
    else:
        blocks.mapping[link] = bad
    array = zarr.open_group(opened(server, root, retries=0), mode="r")["a0"]
    assert np.array_equal(array[60, 3:13, 10:17, 0], array_of(SHAPE)[60, 3:13, 10:17])
    assert np.array_equal(array[60, 6:13, 7:17, 0], array_of(SHAPE)[60, 6:13, 7:17])
    with pytest.raises(IPLDStoreError, match=link):
        _ = array[60, 5, 9, 0]
    with pytest.raises(IPLDStoreError, match=link):
        _ = array[60, 3:13, 7:17, 0]


@pytest.mark.parametrize(
    "fault",
    [
        faults.truncated_car,
        faults.missing_child,
        faults.unknown_block(),
        faults.error_page(),
        faults.reset(after=1000),
        faults.wrong_length(-5000),
        faults.status(500),
        faults.status(404),
        faults.redirect("/"),
    ],
    ids=str,
)
def test_cars_that_fail(server: BlockServer, many: tuple[MappingCAStore, CID], fault: Fault) -> None:
    """Whatever happens to all CARs: blocks are fetched one by one, and the data are the same."""
    server.inject(fault, times=None, where="format=car")
    array = zarr.open_group(opened(server, many[1]), mode="r")["a0"]
    assert np.array_equal(array[60, 3:7, 7:17, 0], array_of(SHAPE)[60, 3:7, 7:17])


def test_a_car_that_stalls(server: BlockServer, many: tuple[MappingCAStore, CID]) -> None:
    """It costs its timeout, and then the rest is fetched block by block."""
    server.inject(faults.stall(after=200_000), where="dag-scope=all")
    with expiring_timeouts():
        array = zarr.open_group(opened(server, many[1], timeout=60), mode="r")["a0"]
        assert np.array_equal(array[60, 3:13, 7:17, 0], array_of(SHAPE)[60, 3:13, 7:17])


def test_a_gateway_that_goes_away(server: BlockServer, many: tuple[MappingCAStore, CID]) -> None:
    """No chunk is taken for absent."""
    array = zarr.open_group(opened(server, many[1], retries=0), mode="r")["a0"]
    server.stop()
    with pytest.raises(IPLDStoreError, match="no server accepts connections there"):
        _ = array[60, 3:13, 7:17, 0]


def test_a_car_of_another_graph(server: BlockServer, many: tuple[MappingCAStore, CID]) -> None:
    """Its blocks are not those that were asked for, which are then fetched one by one."""
    other = MappingCAStore()
    fake = other.put({"c": {}})

    def lie(exchange: Any) -> None:
        right = exchange.reply()
        archive = other.to_car(fake)
        exchange.send(Reply(200, {**right.headers, "Content-Length": str(len(archive))}, [archive]))

    server.inject(Fault("a lie", lie), times=None, where="format=car")
    array = zarr.open_group(opened(server, many[1], retries=0), mode="r")["a0"]
    assert array[60, 3, 7, 0] == array_of(SHAPE)[60, 3, 7]
