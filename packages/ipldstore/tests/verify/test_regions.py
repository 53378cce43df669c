"""Regions of chunks: in elements where the grid is known, and in chunks where it is not."""

from __future__ import annotations

from ipldstore._verify.regions import chunks_between, regions_of


def test_without_metadata_there_are_chunks_alone() -> None:
    (region,) = regions_of(None, [(0, 1), (0, 2)])
    assert (region.chunks.start, region.chunks.stop) == ((0, 1), (1, 3))
    assert str(region)
    assert chunks_between(None, b"", None) is None
