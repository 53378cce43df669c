"""What a dataset of very many chunks in a bucket asks for: a cold chunk, a step that is appended."""

from __future__ import annotations

from collections import Counter
from typing import Any

import ipldstore
import numpy as np
import pytest
from ipld_car import cids
from ipldstore import IPLDStore, ObjectCAStore

from ..support.store_samples import zarr

pytest.importorskip("obstore", reason="the extra object is not installed")

STEPS, WIDTH = 50, 200
"""10,000 chunks of 8 bytes: an index of several leaves."""


@pytest.fixture
def address(atomic_s3: Any, bucket: str, s3_proxy: Any) -> dict[str, Any]:
    """A dataset whose chunks are all one block, so that the index is there without as many puts."""
    castore = ObjectCAStore.from_url(f"s3://{bucket}/big", **atomic_s3.options())
    store = IPLDStore(castore)
    zarr.create_array(
        store, name="a", shape=(STEPS, WIDTH, 1), chunks=(1, 1, 1), dtype="i8", compressors=None, filters=None
    )
    link = cids.to_bytes(castore.put_raw((7).to_bytes(8, "little")))
    store._data.apply({f"a/c/{step}/{at}/0": link for step in range(STEPS) for at in range(WIDTH)})
    castore.swap_head(None, store.freeze())
    return {"what": f"s3://{bucket}/big", "storage_options": atomic_s3.options(s3_proxy.url)}


def asked(proxy: Any) -> Counter[str]:
    found = Counter("LIST" if "list-type" in each.query else each.method for each in proxy.requests)
    proxy.requests.clear()
    return found


def test_one_cold_chunk(address: dict[str, Any], s3_proxy: Any) -> None:
    """At most 5 round trips one after the other, from nothing: as many requests, of which none has to wait for more."""
    with ipldstore.open(**address) as store:
        assert store[f"a/c/{STEPS - 1}/{WIDTH - 1}/0"] == (7).to_bytes(8, "little")
    found = asked(s3_proxy)
    assert set(found) == {"GET"}
    assert found["GET"] <= 5


def test_appending_a_step(address: dict[str, Any], s3_proxy: Any) -> None:
    """A put for each chunk, and at most 8 other requests; neither HEAD nor LIST nor notes."""
    with ipldstore.open(**address, mode="a") as store:
        array = zarr.open_array(store, path="a", zarr_format=3)
        array.resize((STEPS + 1, WIDTH, 1))
        array[STEPS] = np.arange(1000, 1000 + WIDTH).reshape(WIDTH, 1)
    chunk_puts = sum(request.method == "PUT" and len(request.body) == 8 for request in s3_proxy.requests)
    assert not any("/.sessions/" in request.path for request in s3_proxy.requests)
    found = asked(s3_proxy)
    assert chunk_puts == WIDTH
    assert found.total() - chunk_puts <= 8, found
    assert set(found) == {"GET", "PUT"}
    with ipldstore.open(**address) as store:
        array = zarr.open_array(store, path="a", mode="r")
        assert array.shape == (STEPS + 1, WIDTH, 1)
        assert array[STEPS, WIDTH - 1, 0] == 1000 + WIDTH - 1
        assert array[STEPS - 1, 0, 0] == 7
