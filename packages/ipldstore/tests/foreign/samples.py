"""What the tests of this room read: archives of other makers, and directories as ``ipfs add`` makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ipld_car import CarReader, cids, unixfs
from ipld_castore import ContentAddressableStore, MappingCAStore
from multiformats import CID

ARCHIVES = Path(__file__).parent / "archives"

GROUPS = {
    "unixfs": None,
    "unixfs-v0": None,
    "unixfs-hamt": None,
    "hamt-2": None,
    "hamt-3": None,
    "sharded-v1": None,
    "sharded-v2": "main",
    "pyramid": "0",
}
"""The archives, and the group that has the dataset."""


def archive(name: str) -> tuple[MappingCAStore, CID]:
    """Return the blocks of an archive in memory, and its root."""
    castore = MappingCAStore()
    with (ARCHIVES / f"{name}.car").open("rb") as file:
        (root,) = castore.import_car(CarReader(file))
    return castore, root


def add(castore: ContentAddressableStore, path: Path, *, shard_above: int = unixfs.SHARD_ABOVE) -> unixfs.Tree:
    """Put a folder with all that is in it, as ``ipfs add -r --cid-version=1`` does."""

    def put(cid: bytes, data: bytes) -> None:
        castore.put_block(cids.from_validated(cid), data)

    if path.is_dir():
        links = []
        for child in sorted(path.iterdir()):
            tree = add(castore, child, shard_above=shard_above)
            links.append(unixfs.PBLink(tree.cid, child.name, tree.graph_size))
        return unixfs.build_directory(links, put, shard_above=shard_above)
    with path.open("rb") as file:
        return unixfs.build_stream(file, put)


def write_zarr(ds: Any, path: Path, zarr_format: int = 2, **chunks: tuple[int, ...]) -> Path:
    """Write a dataset into a folder, without compression, as compressors differ from version to version."""
    encoding: dict[str, dict[str, object]] = {str(name): {"compressors": None} for name in ds.variables}
    for name, shape in chunks.items():
        encoding[name]["chunks"] = shape
    ds.to_zarr(path, zarr_format=zarr_format, encoding=encoding, consolidated=True)
    return path
