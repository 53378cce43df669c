"""An archive at a URL whose end is lost."""

from __future__ import annotations

import pickle

import pytest
from ipld_car import CarWarning, TruncatedError
from ipld_castore import BlockNotFoundError, CarCAStore

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
