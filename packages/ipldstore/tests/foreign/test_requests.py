"""What reading roots of other makers costs over a gateway: requests are counted, no time is measured."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from ipld_car import cids, unixfs
from ipld_castore import GatewayCAStore, MappingCAStore, TieredCAStore
from ipld_castore.testing import BlockServer
from ipldstore import IPLDStore
from ipldstore._foreign.paths import resolve_path
from multiformats import CID

from ..support.store_samples import zarr

CHUNKS = 2_000


@pytest.fixture(scope="module")
def wide() -> tuple[MappingCAStore, CID]:
    """Return blocks and root of a group whose array has its chunks in a sharded directory."""
    castore = MappingCAStore()

    def put(cid: bytes, data: bytes) -> None:
        castore.put_block(cids.from_validated(cid), data)

    def link(name: str, data: bytes) -> unixfs.PBLink:
        return unixfs.PBLink(unixfs.build(data, put), name, len(data))

    metadata = {"zarr_format": 2, "shape": [CHUNKS], "chunks": [1], "dtype": "<i8", "order": "C"}
    metadata |= {"compressor": None, "filters": None, "fill_value": 0}
    links = [link(str(number), number.to_bytes(8, "little")) for number in range(CHUNKS)]
    array = unixfs.build_directory([*links, link(".zarray", json.dumps(metadata).encode())], put, shard_above=1_000)
    group = [unixfs.PBLink(array.cid, "a", array.graph_size), link(".zgroup", b'{"zarr_format":2}')]
    return castore, cids.from_validated(unixfs.build_directory(group, put).cid)


@pytest.fixture
def server(wide: tuple[MappingCAStore, CID]) -> Iterator[BlockServer]:
    with BlockServer(wide[0]) as server:
        yield server


def test_one_cold_chunk_is_one_request(server: BlockServer, wide: tuple[MappingCAStore, CID]) -> None:
    """The shards on its way and the chunk come in one answer; an absent one, with the shards that prove it."""
    array = zarr.open_array(IPLDStore(GatewayCAStore(server.url), root=wide[1]), path="a", mode="r")
    for number in (1_234, 77):
        server.forget()
        assert array[number] == number
        assert len(server.requests) == 1
    server.forget()
    assert f"a/{CHUNKS}" not in array.store
    assert len(server.requests) <= 1


def test_a_chunk_behind_a_near_store_is_one_request(server: BlockServer, wide: tuple[MappingCAStore, CID]) -> None:
    near = MappingCAStore()
    castore = TieredCAStore(near, GatewayCAStore(server.url))
    assert zarr.open_array(IPLDStore(castore, root=wide[1]), path="a", mode="r")[5] == 5
    server.forget()
    again = zarr.open_array(IPLDStore(TieredCAStore(near, GatewayCAStore(server.url)), root=wide[1]), path="a")
    assert again[5] == 5
    assert not [request for request in server.requests if "/5?" in str(request)]
    assert again[1_500] == 1_500
    assert len([request for request in server.requests if "1500" in str(request)]) == 1


def test_all_chunks_come_together(server: BlockServer, wide: tuple[MappingCAStore, CID]) -> None:
    """They stand by the hashes of their names, so once enough are read, the directory comes whole."""
    array = zarr.open_array(IPLDStore(GatewayCAStore(server.url), root=wide[1]), path="a", mode="r")
    server.forget()
    assert np.array_equal(array[:], np.arange(CHUNKS))
    assert len(server.requests) < CHUNKS / 10


def test_a_path_is_one_request(server: BlockServer, wide: tuple[MappingCAStore, CID]) -> None:
    castore = GatewayCAStore(server.url)
    found = resolve_path(castore, wide[1], "a/1999")
    assert len(server.requests) == 1
    assert castore.get_raw(found) == (1_999).to_bytes(8, "little")


def test_a_folder_reads_nothing_twice_that_it_has_decoded(wide: tuple[MappingCAStore, CID]) -> None:
    """Listing a directory and reading a key of it reads each node once."""
    read: list[str] = []

    class Counted(MappingCAStore):
        def get_block(self, cid: CID) -> bytes:
            read.append(str(cid))
            return super().get_block(cid)

    store = IPLDStore(Counted(wide[0].mapping), root=wide[1])
    assert len(list(store)) == CHUNKS + 2
    assert len(read) == len(set(read))
    before = len(read)
    assert store["a/7"] == (7).to_bytes(8, "little")
    assert len(read) == before + 1
