"""Contents that the tests of ``ipldstore.open`` write."""

from pathlib import Path

import ipldstore

from .store_samples import contents

SOME = {"zarr.json": b'{"node_type":"group","zarr_format":3}', "a/c/0": b"zero", "big": bytes((1 << 20) + 1)}


def contents_of(path: Path) -> dict[str, bytes]:
    with ipldstore.open(path) as store:
        return contents(store)
