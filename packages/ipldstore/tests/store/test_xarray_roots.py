"""The roots of a few datasets as xarray writes them: the example that the project always had, and some more.

They hold for every version of zarr, and for xarray from 2025.1 on: samples that xarray itself has come to write
otherwise are not here. See test_zarr_roots.py for what a difference means.
"""

from __future__ import annotations

from typing import Any

import pytest
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore

from ..support.xarray_samples import SAMPLES, xr

ANCHOR = "bafyreibf3yn5ovxhrcwwdg4sm5sinnkwoyfx3wswghbjchz4zvwt55bhte"


def uncompressed(sample: Any, zarr_format: int, store: IPLDStore) -> str:
    encoding = {name: {"compressors": None} for name in sample.variables}
    sample.to_zarr(store, zarr_format=zarr_format, encoding=encoding, consolidated=True)
    return str(store.freeze())


def test_the_example_of_the_original_project() -> None:
    backend: dict[str, bytes] = {}
    store = IPLDStore(MappingCAStore(backend))
    assert uncompressed(xr.Dataset({"a": ("a", [1, 2, 3])}), 2, store) == ANCHOR
    assert list(backend) == ["bafkreihc4ibtvz7btvualgou5mfbgwncwshmlovmoudgyml7x6crlhcu54", ANCHOR]
    archive = store.to_car()
    assert len(archive) == 560
    other = IPLDStore.from_car(archive)
    assert str(other.freeze()) == ANCHOR
    assert xr.open_zarr(other).a.values.tolist() == [1, 2, 3]


ROOTS = {
    ("odd_attributes", 2): "bafyreifhz4hhxp6mgqspheiaolkdhtl6h5xhb2i5fc6oro6sh5uizw3lzm",
    ("odd_attributes", 3): "bafyreid77j5ldqazmxo2b375kwftpr7736wpqfzoc45ua3sijypqagkxra",
    ("unicode_names", 2): "bafyreifb2rj4fujvppwifpbmnr772byesn3mkuh4jscoeixbwjxbqeqkou",
    ("many_chunks", 2): "bafyreigqgoyukjcxr3xeevrklbmnw3wgobq23yffkilkcvr7wpn2joliu4",
    ("many_chunks", 3): "bafyreibxrg7c3n355cgix3fcy6yiezj22ehjkxgxwjrqx7i6m7m4ecka74",
    ("large_chunk", 2): "bafyreieqtmyqfsyvgpm5mxudcgngmqdbthrp7bowwzhxpb3g45nixol4mq",
}


@pytest.mark.parametrize(("sample", "zarr_format"), ROOTS)
def test_every_version_of_xarray_gives_this_root(sample: str, zarr_format: int) -> None:
    assert uncompressed(SAMPLES[sample](), zarr_format, IPLDStore()) == ROOTS[sample, zarr_format]
