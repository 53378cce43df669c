"""A backend that is out of reach, when reading and when writing: an IPLDStoreError, and nothing is lost."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from zarr.core.buffer.cpu import Buffer

from ..support.lost_blocks import Use, all_raise, array_uses, chunk_key, looks, metadata_name, reads, write_sample
from ..support.store_samples import ObservedCAStore, zarr


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_a_backend_that_is_down(zarr_format: int) -> None:
    """BackendUnavailableError is an OSError, which zarr's LocalStore means by "absent"."""
    castore = ObservedCAStore(MappingCAStore())
    sample = write_sample(castore, zarr_format)
    chunk, metadata = partial(chunk_key, zarr_format), metadata_name(zarr_format)
    uses = reads(chunk("rows", 3)) | looks(chunk("rows", 3)) | reads(f"wide/v03/{metadata}")
    uses |= looks(f"wide/v03/{metadata}") | array_uses("wide/v03")

    def goes_down(use: Use) -> Use:
        def run(store: IPLDStore) -> Any:
            castore.down = True
            try:
                return use(store)
            finally:
                castore.down = False

        return run

    all_raise(castore, sample, {name: goes_down(use) for name, use in uses.items()})
    castore.down = True
    with pytest.raises(IPLDStoreError, match="on fire"):
        IPLDStore(castore, root=sample)


def test_writing_to_a_backend_that_is_down(zarr_format: int) -> None:
    castore = ObservedCAStore(MappingCAStore())
    store = IPLDStore(castore)
    array = zarr.create_array(store, name="a", shape=(4,), chunks=(2,), dtype="i4", zarr_format=zarr_format)
    array[:2] = 7
    castore.down = True
    for use in (
        lambda: array.__setitem__(slice(2, 4), 8),
        lambda: store.__setitem__("b/0", b"bytes"),
        lambda: store.set_sync("b/0", Buffer.from_bytes(b"bytes")),
        store.freeze,
        store.to_car,
    ):
        with pytest.raises(IPLDStoreError, match="on fire"):
            use()
    castore.down = False
    # Nothing is lost, and nothing that failed is there.
    assert "b/0" not in store
    assert np.array_equal(array, [7, 7, 0, 0])
    array[2:] = 8
    root = store.freeze()
    assert np.array_equal(zarr.open_array(IPLDStore(castore, root=root), path="a"), [7, 7, 8, 8])


def test_a_flush_that_fails() -> None:
    """freeze gives no root before the backend says that the blocks are safe; the next call goes on."""

    class NoFlush(ObservedCAStore):
        full = True

        def flush(self) -> None:
            super().flush()
            if self.full:
                raise OSError("no space left")

    castore = NoFlush(MappingCAStore())
    store = IPLDStore(castore)
    store["a"] = b"1"
    with pytest.raises((OSError, IPLDStoreError)):
        store.freeze()
    castore.full = False
    castore.forget()
    root = store.freeze()
    assert castore.flushed == 1
    assert IPLDStore(castore, root=root)["a"] == b"1"
