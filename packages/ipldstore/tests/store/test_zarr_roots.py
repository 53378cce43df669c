"""One dataset, one CID, whichever version of zarr wrote it: the roots here hold on every Python that is tested.

They were generated once, with zarr 3.1.6 and 3.4.2. A root that differs here means that people's links break,
or that zarr writes other keys and values than it did: never change one without knowing which.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ipldstore import IPLDStore

from ..support.store_samples import zarr

pytestmark = pytest.mark.smoke

DTYPES = ("bool", "i1", "u8", "f2", "f4", "f8", "c16", "<U4", "S3", "M8[s]", "m8[ns]", ">i4")


def groups(store: IPLDStore, zarr_format: int) -> None:
    root = zarr.create_group(store, zarr_format=zarr_format, attributes={"a": 1, "é": [1.5, None, {"b": True}]})
    inner = root.create_group("inner", attributes={})
    inner.create_array("scalar", shape=(), dtype="i4", compressors=None)[...] = 5
    inner.create_array("empty", shape=(0, 3), dtype="i4", chunks=(1, 3), compressors=None)


def dtypes(store: IPLDStore, zarr_format: int) -> None:
    root = zarr.create_group(store, zarr_format=zarr_format)
    for dtype in DTYPES:
        array = root.create_array(f"of {dtype}", shape=(3, 2), chunks=(2, 2), dtype=dtype, compressors=None)
        array[...] = np.ones((3, 2), dtype)


def layouts(store: IPLDStore, zarr_format: int) -> None:
    values = np.arange(12, dtype="i4").reshape(3, 4)
    root = zarr.create_group(store, zarr_format=zarr_format)
    options = {"shape": (3, 4), "chunks": (3, 2), "dtype": "i4", "compressors": None}
    root.create_array("filled", fill_value=7, **options)[1] = values[1]
    root.create_array("never written", fill_value=7, **options)
    root.create_array("attributes", attributes={"nan": float("nan"), "huge": 2**70, "zero": -0.0}, **options)
    slashes: Any = {"name": "v2", "separator": "/"} if zarr_format == 2 else {"name": "default", "separator": "."}
    root.create_array("separator", chunk_key_encoding=slashes, **options)[...] = values


def consolidated(store: IPLDStore, zarr_format: int) -> None:
    groups(store, zarr_format)
    zarr.consolidate_metadata(store)


def indexed(store: IPLDStore, zarr_format: int) -> None:
    array = zarr.create_array(
        store, name="a", shape=(60, 50), chunks=(1, 1), dtype="u1", compressors=None, zarr_format=zarr_format
    )
    for row in range(60):  # a task for each of 3000 chunks is slow
        for column in range(50):
            key = f"c/{row}/{column}" if zarr_format == 3 else f"{row}.{column}"
            store[f"a/{key}"] = b"%c" % (1 + (row * column) % 200)
    assert array[7, 9] == 64


def shards(store: IPLDStore, zarr_format: int) -> None:
    array = zarr.create_array(
        store,
        name="a",
        shape=(8, 8),
        chunks=(2, 2),
        shards=(4, 4),
        dtype="i4",
        compressors=None,
        zarr_format=zarr_format,
    )
    array[...] = np.arange(64).reshape(8, 8)


ROOTS: dict[Any, dict[int, str]] = {
    groups: {
        2: "bafyreihlb4x77iu63ni66fjkk5u2p6uretjvkrlfa57zy4o6uhma2tdcqy",
        3: "bafyreidbxvrhukmzrgzjmawohjutk6o6ejcmjtjfl5fxq426k4pyrbq24u",
    },
    dtypes: {
        2: "bafyreifa74yythbekkg3b3j7fvrkoy5amlrxmoj7d5kxx7ouacb66ytoda",
        3: "bafyreihw5xho4nrldwehwhx4c7rxy45gdylqvho7s4leadnnhffwpfsab4",
    },
    layouts: {
        2: "bafyreibc2ng6quatccs3hdcfvpzke3zn6cw36fty2cwiwyotoybzm5mnjm",
        3: "bafyreihmez6kjlv6425bn2zqmnvo7jmpuzilz4ruoxp5f67dm4ovm7tnba",
    },
    consolidated: {
        2: "bafyreibfiwj3evsgbdkum65o4yfubw4yvtjdvnn2la4qyqorbkhxn3vx2q",
        3: "bafyreibrkzeby4a2ctw5dqcnivndxvypsio4am6s7ey3467gor6umg6doi",
    },
    indexed: {
        2: "bafyreih3k22hmsx67uaf6aajsl2rsps7i5uv7outmorjtgvdmai2cxyjiu",
        3: "bafyreidp74kl7kcgir644vsqjyubfrafg6ow6fow7rwbajoihpa53s3yuu",
    },
    shards: {
        3: "bafyreibscgengwspk2a5ag37yogpdo24si75yjfovwopcarsnqv2yr7m6y",
    },
}


@pytest.mark.parametrize(
    ("write", "zarr_format", "root"),
    [
        pytest.param(write, zarr_format, root, id=f"{write.__name__}-v{zarr_format}")
        for write, roots in ROOTS.items()
        for zarr_format, root in roots.items()
    ],
)
def test_every_version_of_zarr_gives_this_root(write: Any, zarr_format: int, root: str) -> None:
    store = IPLDStore()
    write(store, zarr_format)
    assert str(store.freeze()) == root
