"""An archive at a URL whose end is lost, or that is damaged."""

from __future__ import annotations

import pickle

import pytest
from ipld_car import CarWarning, TruncatedError
from ipld_castore import BlockCorruptError, BlockNotFoundError, CarCAStore

from ..support.range_server import File, RangeServer, archive, raw_blocks


def test_what_is_whole_of_an_archive_that_was_cut_off_is_read() -> None:
    """What is whole is read, as of a file on this machine; a pickle reads it too."""
    blocks = raw_blocks(2000, 300)
    whole = archive(blocks, blocks[0][0])
    there = blocks[: len(blocks) // 4]
    with RangeServer() as server:
        server.files["/x.car"] = File(whole[: len(whole) // 2])
        with pytest.raises(TruncatedError):
            CarCAStore(f"{server.url}/x.car")
        store = CarCAStore(f"{server.url}/x.car", allow_truncated=True)
        for each in (store, pickle.loads(pickle.dumps(store))):  # noqa: S301  # made here
            with pytest.warns(CarWarning, match="it was cut off before the end"):
                assert blocks[-1][0] not in each
            assert [each.get_raw(name) for name, _ in there] == [data for _, data in there]
            assert 0.3 < len(list(each)) / len(blocks) < 0.6
            with pytest.raises(BlockNotFoundError):
                each.get_raw(blocks[-1][0])
        store.close()


def test_what_is_whole_of_a_damaged_archive_is_read() -> None:
    """As of a file on this machine: behind a damaged length the next whole section is found by its hash."""
    blocks = raw_blocks(300, 300)
    version_2 = archive(blocks, blocks[0][0])
    start, size = (int.from_bytes(version_2[at : at + 8], "little") for at in (27, 35))
    whole = bytearray(version_2[start : start + size])  # a CARv1
    damaged = whole.index(blocks[100][1]) - len(blocks[100][0]) - 2
    whole[damaged] ^= 0x7F  # the length of a section
    with RangeServer() as server:
        server.files["/x.car"] = File(bytes(whole))
        with CarCAStore(f"{server.url}/x.car") as store, pytest.raises(BlockCorruptError):
            store.get_raw(blocks[-1][0])
        with CarCAStore(f"{server.url}/x.car", allow_truncated=True) as store:
            with pytest.warns(CarWarning, match=f"it is damaged: no whole section is in the bytes {damaged} to"):
                assert store.get_raw(blocks[-1][0]) == blocks[-1][1]
            there = blocks[:100] + blocks[101:]
            assert [store.get_raw(name) for name, _ in there] == [data for _, data in there]
            assert len(list(store)) == len(there)
            with pytest.raises((BlockNotFoundError, BlockCorruptError)):  # the bytes behind the length may be in memory
                store.get_raw(blocks[100][0])
