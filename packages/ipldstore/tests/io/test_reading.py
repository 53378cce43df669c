"""What only reads moves no head: a head that went back to an older root hid all that was newer."""

from __future__ import annotations

from pathlib import Path

import ipldstore
import numpy as np
import pytest
import zarr
from ipld_castore.testing import PinningServer
from ipldstore import IPLDStore, MappingCAStore, TieredCAStore
from multiformats import CID

PLACES = ("x.car", "folder/")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{tmp_path}/{request.param}"


@pytest.fixture
def roots(place: str) -> tuple[CID, CID]:
    """Return the roots of two versions of a dataset at the place, whose head is the second."""
    with ipldstore.open(place, "x") as store:
        array = zarr.create_array(store, shape=(4,), chunks=(2,), dtype="i4")
        array[:] = np.arange(4)
        first = store.freeze()
        array[:] = 7
        return first, store.freeze()


def head(place: str) -> CID | None:
    with ipldstore.open(place) as store:
        return store.root_cid


def test_a_place_that_is_opened_to_read_keeps_its_head(place: str, roots: tuple[CID, CID]) -> None:
    """Whatever is made over its blocks; of an archive with an older root that was an error."""
    with ipldstore.open(place) as opened:
        for castore in (opened.castore, TieredCAStore(MappingCAStore(), opened.castore)):
            assert IPLDStore(castore, root=roots[0]).freeze() == roots[0]
        assert opened.root_cid == roots[1]
    assert head(place) == roots[1]


def test_reading_an_older_root_keeps_the_head(place: str, roots: tuple[CID, CID], tmp_path: Path) -> None:
    with ipldstore.open(place, "a") as opened:
        old = IPLDStore(opened.castore, root=roots[0])
        assert str(ipldstore.diff(old, opened)).count("chunks")
        assert ipldstore.publish_bundle(old, tmp_path / "bundle").root == roots[0]
        with PinningServer() as server, ipldstore.PinningService(server.url, server.token) as service:
            assert ipldstore.pin(old, service).cid == roots[0]
    assert head(place) == roots[1]


def test_changes_are_frozen_by_what_reads_them(place: str, roots: tuple[CID, CID]) -> None:
    with ipldstore.open(place, "a") as opened:
        opened["b/0"] = b"new"
        assert "b" in str(ipldstore.diff(IPLDStore(opened.castore, root=roots[1], read_only=True), opened))
        changed = opened.root_cid
    assert head(place) == changed != roots[1]
