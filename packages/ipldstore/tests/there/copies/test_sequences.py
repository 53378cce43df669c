"""Copies of differing sources, one after the other into one target: it is the last source, and what was beside that."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipldstore
import pytest
import zarr
from ipldstore import IPLDStore, ObjectCAStore
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, ZipStore

obstore = pytest.importorskip("obstore.store", reason="the extra object is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # zarr's, about consolidated metadata and nodes of two formats

DOCUMENTS = {".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json"}
Keys = dict[str, Any]


def array(group: zarr.Group, name: str, shape: tuple[int, ...], separator: str = "/") -> object:
    how: Any = {"name": "v2" if group.metadata.zarr_format == 2 else "default", "separator": separator}
    chunks = tuple(min(2, size) or 1 for size in shape)
    made = group.create_array(name, shape=shape, chunks=chunks, dtype="i4", fill_value=9, chunk_key_encoding=how)
    if shape:
        made[:2] = 1 + len(shape)  # of other chunks the value is the fill value
    else:
        made[...] = 5
    return made


KINDS: dict[str, Callable[[zarr.Group], object]] = {
    "2d": lambda group: array(group, "a", (4, 4)),
    "1d": lambda group: array(group, "a", (4,)),
    "0d": lambda group: array(group, "a", ()),
    "dots": lambda group: array(group, "a", (4,), "."),
    "empty": lambda group: array(group, "a", (0, 4)),
    "group": lambda group: group.create_group("a", attributes={"title": "a group"}),
    "nodes": lambda group: [array(group, f"a/{name}", (4,)) for name in ("c", "0")],
    "others": lambda group: [array(group, name, (4,)) for name in ("a", "b", "h/d")],
}
"""What a group has: always something at ``a``."""


def make(store: Any, name: str) -> None:
    """Make a source.

    :param name: the format, what it has, and whether it is consolidated or has no document of its root
    """
    zarr_format: Any = int(name[0])
    if "root" in name.split():
        whole = zarr.create_array(store, shape=(4,), chunks=(2,), dtype="i4", zarr_format=zarr_format)
        whole[:] = 1
        return
    group = zarr.create_group(store, zarr_format=zarr_format, attributes={"title": name} if "1d" in name else {})
    KINDS[name.split()[1]](group)
    if "consolidated" in name:
        zarr.consolidate_metadata(store)
    if "rootless" in name:
        for document in DOCUMENTS:
            sync(store.delete(document))


NAMES = [
    f"{zarr_format} {kind}{more}"
    for zarr_format in (2, 3)
    for more in ("", " consolidated", " rootless")
    for kind in KINDS
    if not (more == " rootless" and kind == "group")
] + ["2 root", "3 root"]


async def _keys(store: Any) -> Keys:
    names = [key async for key in store.list()]
    found = {key: (await store.get(key, default_buffer_prototype())).to_bytes() for key in names}
    return {key: _document(text) if key.rpartition("/")[2] in DOCUMENTS else text for key, text in found.items()}


def _document(text: bytes) -> Any:
    value = json.loads(text)
    for each in (value, *value.get("metadata", {}).values()):
        if isinstance(each, dict) and each.get("dimension_separator") == ".":
            del each["dimension_separator"]  # the default, which a dataset of ours leaves out
    return value


def keys_in(place: Any) -> Keys:
    if not isinstance(place, Path):
        return sync(_keys(place))
    if place.suffix == ".zarr":
        return sync(_keys(LocalStore(place)))
    with sync(ZipStore.open(place, mode="r")) if place.suffix == ".zip" else ipldstore.open(place) as store:
        return sync(_keys(store))


def nodes(found: Keys) -> dict[str, set[str]]:
    """Return by path the names of its documents."""
    paths: dict[str, set[str]] = {}
    for key in found:
        path, _, name = key.rpartition("/")
        if name in DOCUMENTS:
            paths.setdefault(path, set()).add(name)
    return paths


def is_array(found: Keys, path: str) -> bool:
    above = f"{path}/" if path else ""
    return f"{above}.zarray" in found or found.get(f"{above}zarr.json", {}).get("node_type") == "array"


def formats(found: Keys, path: str) -> set[int]:
    names = nodes(found).get(path, set())
    return ({2} if names & {".zarray", ".zgroup"} else set()) | ({3} if "zarr.json" in names else set())


def is_below(path: str, above: str) -> bool:
    return path != above and (not above or path.startswith(f"{above}/"))


def copied(there: Keys, source: Keys) -> Keys | None:
    """Return what a target has after a copy; None where the copy is refused."""
    own = nodes(source)
    implied = {""} - own.keys()
    left = dict(there)
    for path in {*own, *implied}:
        if is_array(source, path) or is_array(there, path):
            left = {key: value for key, value in left.items() if not is_below(key, path)}
        elif path in own:
            left = {key: value for key, value in left.items() if key.rpartition("/") not in _documents(path)}
    kept = [path for path in nodes(left) if path not in own and path not in implied]
    for path in kept:
        if formats(left, path).isdisjoint(formats(source, path.rpartition("/")[0]) or {2, 3}):
            return None
    for path in implied:
        if formats(left, path) and formats(left, path).isdisjoint(formats(source, "a")):
            return None
    left |= source
    for path in [*own, *implied]:
        above = f"{path}/" if path else ""
        is_consolidated = f"{above}.zmetadata" in left or "consolidated_metadata" in left.get(f"{above}zarr.json", {})
        if is_consolidated and (path in implied or any(is_below(each, path) for each in kept)):
            left = _consolidated(left, path)
    return left


def _documents(path: str) -> set[tuple[str, str, str]]:
    return {(path, "/" if path else "", name) for name in DOCUMENTS}


def _consolidated(found: Keys, path: str) -> Keys:
    made = default_buffer_prototype().buffer.from_bytes
    store = MemoryStore(
        {key: made(value if isinstance(value, bytes) else json.dumps(value).encode()) for key, value in found.items()}
    )
    zarr.consolidate_metadata(store, path=path, zarr_format=2 if 2 in formats(found, path) else 3)
    return keys_in(store)


TARGETS: dict[str, Callable[[Path], Any]] = {
    "ours": lambda _: IPLDStore(),
    "CAR": lambda folder: folder / "x.car",
    "folder": lambda folder: folder / "x.zarr",
    "zip": lambda folder: folder / "x.zip",
    "obstore's folder": lambda folder: ObjectStore(obstore.LocalStore(folder / "x", mkdir=True)),
    "obstore's memory": lambda _: ObjectStore(obstore.MemoryStore()),
    "fsspec's folder": lambda folder: FsspecStore.from_url(f"file://{folder}/x", storage_options={"auto_mkdir": True}),
}


def copy_all(names: list[str], kind: str, folder: Path) -> None:
    target, there = TARGETS[kind](folder), Keys()
    for number, name in enumerate(names):
        source = MemoryStore() if number % 2 else LocalStore(folder / f"{number}.zarr")
        make(source, name)
        own = keys_in(source)
        expected = own if kind == "zip" else copied(there, own)
        if expected is None:
            with pytest.raises(ValueError, match="zarr format"):
                ipldstore.copy(source, target)
        else:
            ipldstore.copy(source, target)
            there = expected
        assert keys_in(target) == there, (kind, names[: number + 1])


WALK = [
    "3 nodes",
    "2 1d consolidated",
    "2 nodes",
    "3 0d",
    "3 nodes",
    "2 group",
    "2 2d",
    "2 1d",
    "3 root",
    "3 2d rootless",
]
WALK += ["3 others consolidated", "3 1d consolidated", "2 1d", "2 root", "2 nodes", "2 0d rootless", "2 dots"]


@pytest.mark.parametrize("kind", TARGETS)
def test_each_copy_leaves_its_source(tmp_path: Path, kind: str) -> None:
    """Nodes stayed below arrays, folders where chunks of fewer axes go, and consolidated metadata of older nodes."""
    copy_all(WALK, kind, tmp_path)


class Stops(MemoryStore):
    """A source that fails at its second chunk."""

    chunks = 0

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        self.chunks += key.rpartition("/")[2] not in DOCUMENTS
        if self.chunks > 1:
            raise ConnectionError("stopped")
        return await super().get(key, *args, **kwargs)


@pytest.mark.parametrize("kind", TARGETS)
def test_half_of_a_copy_is_overwritten_too(tmp_path: Path, kind: str) -> None:
    target = TARGETS[kind](tmp_path)
    for half, name in (
        ("3 nodes", "3 1d"),
        ("3 2d", "2 1d"),
        ("2 nodes", "3 0d"),
        ("3 2d", "2 0d"),
        ("2 2d", "3 root"),
    ):
        stops, source = Stops(), MemoryStore()
        make(stops, half)
        make(source, name)
        stops.chunks = 0
        with pytest.raises(ConnectionError, match="stopped"):
            ipldstore.copy(stops, target)
        ipldstore.copy(source, target)
        assert keys_in(target) == keys_in(source)


@pytest.mark.slow
def test_buckets(tmp_path: Path, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zarr hierarchy in a bucket, and a dataset of ours in one."""
    far, options = ObjectCAStore.from_url(f"s3://{bucket}/zarr", **s3.options()).store, s3.options()
    monkeypatch.setitem(TARGETS, "zarr in a bucket", lambda _: ObjectStore(far))
    copy_all(WALK, "zarr in a bucket", tmp_path / "zarr")
    with ipldstore.open(f"s3://{bucket}/ours", "a", storage_options=options) as ours:
        monkeypatch.setitem(TARGETS, "ours in a bucket", lambda _: ours)
        copy_all(WALK, "ours in a bucket", tmp_path / "ours")


@pytest.mark.slow
@pytest.mark.parametrize("kind", TARGETS)
def test_copies_in_any_order(tmp_path: Path, kind: str) -> None:
    copy_all(random.Random(kind).choices(NAMES, k=60), kind, tmp_path)
