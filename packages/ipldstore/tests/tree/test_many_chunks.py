"""What a change reads and writes in a large index, at the limits of the format; larger ones are marked soak."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore, Stats
from multiformats import CID
from zarr.core.sync import sync

from ..support import reference
from ..support.processes.many_chunks import chunk_of, keys_of
from ..support.store_samples import ObservedCAStore, zarr

METADATA = b'{"node_type":"array","zarr_format":3}'
SPACE = (25, 40)


def nodes(found: list[CID]) -> list[str]:
    return sorted({str(cid.set(base="base32")) for cid in found if cid.codec.name == "dag-cbor"})


def grid(shape: tuple[int, ...]) -> dict[str, bytes]:
    return {"a/zarr.json": METADATA} | {key: chunk_of(number) for number, key in enumerate(keys_of(shape))}


@pytest.fixture(scope="module", params=[100, pytest.param(1000, marks=pytest.mark.soak)])
def large(request: pytest.FixtureRequest) -> tuple[ObservedCAStore, CID, int]:
    """An array of 100 or 1000 steps of 1000 chunks each, and consolidated metadata of two groups."""
    castore = ObservedCAStore(MappingCAStore())
    store = IPLDStore(castore)
    zarr.create_group(store)
    zarr.create_array(store, name="a", shape=(request.param, *SPACE), chunks=(1, 1, 1), dtype="i8", compressors=None)
    zarr.create_group(store, path="g")
    zarr.consolidate_metadata(store)
    for number, key in enumerate(keys_of((request.param, *SPACE))):
        store[key] = chunk_of(number)
    root = store.freeze()
    return castore, root, request.param


def test_opening_reads_one_block_and_a_chunk_four(large: tuple[ObservedCAStore, CID, int]) -> None:
    castore, root, steps = large
    castore.forget()
    store = IPLDStore(castore, root=root)
    assert len(castore.got) == 1
    assert store[f"a/c/{steps // 2}/12/20"] == chunk_of(steps // 2 * 1000 + 500)
    assert len(nodes(castore.got)) <= 4
    assert len(castore.got) <= 5


def test_looking_at_groups_reads_no_chunk_index(large: tuple[ObservedCAStore, CID, int]) -> None:
    castore, root, steps = large
    castore.forget()
    store = IPLDStore(castore, root=root)

    async def listed() -> list[str]:
        return sorted([name async for name in store.list_dir("")])

    assert sync(listed()) == ["a", "g", "zarr.json"]
    for consolidated in (True, False):
        group = zarr.open_group(store, mode="r", use_consolidated=consolidated)
        assert group["a"].shape == (steps, *SPACE)
        assert sorted(group.keys()) == ["a", "g"]
    assert nodes(castore.got) == [str(root)]


def test_stats_read_no_leaf(large: tuple[ObservedCAStore, CID, int]) -> None:
    castore, root, steps = large
    castore.forget()
    found = IPLDStore(castore, root=root).stats()
    assert len(castore.got) <= 2  # the root, and the top node of the index where it is a block
    index = [block for cid, block in castore.inner.get_dag(root) if cid.codec.name == "dag-cbor"]
    assert found == Stats(3 + steps * 1000, len(index) - 1)


def test_appending_a_step(large: tuple[ObservedCAStore, CID, int]) -> None:
    castore, root, steps = large
    castore.forget()
    store = IPLDStore(castore, root=root)
    for y, x in itertools.product(*map(range, SPACE)):
        store[f"a/c/{steps}/{y}/{x}"] = b"new"
    new = store.freeze()
    assert len(nodes(castore.got)) <= 8
    assert len(nodes(castore.put_cids)) <= 8
    assert castore.asked == []
    # Deleted again, the step leaves the root as it was.
    again = IPLDStore(castore, root=new)
    for y, x in itertools.product(*map(range, SPACE)):
        del again[f"a/c/{steps}/{y}/{x}"]
    assert again.freeze() == root


def test_overwriting_a_chunk(large: tuple[ObservedCAStore, CID, int]) -> None:
    castore, root, steps = large
    castore.forget()
    store = IPLDStore(castore, root=root)
    store[f"a/c/{steps // 2}/3/4"] = b"other"
    assert store.freeze() != root
    assert len(nodes(castore.put_cids)) <= 5
    assert castore.asked == []


def test_deleting_the_array_reads_no_index(large: tuple[ObservedCAStore, CID, int]) -> None:
    castore, root, _ = large
    castore.forget()
    store = IPLDStore(castore, root=root)
    sync(store.delete_dir("a"))
    assert len(list(store)) == 2
    store.freeze()
    assert nodes(castore.got) == [str(root)]


@pytest.mark.parametrize("axis", range(3))
def test_growing_an_axis_leaves_full_leaves_as_they_are(axis: int) -> None:
    """Each full leaf, 2048 keys of an aligned interval, is in the grown index too."""
    shape = [32, 32, 32]
    castore = MappingCAStore()
    store = IPLDStore(castore)
    before = grid(tuple(shape))
    for key, data in before.items():
        store[key] = data
    old = castore.get(store.freeze())
    full = {bytes(part[1]) for part in old["a"]["__ipld_chunks__"] if part[2] == 2048}
    assert len(full) == 16
    shape[axis] += 8
    for key, data in grid(tuple(shape)).items():
        if key not in before:
            store[key] = data
    new = castore.get(store.freeze())
    assert full <= {bytes(part[1]) for part in new["a"]["__ipld_chunks__"]}


@pytest.mark.parametrize(("names", "asks"), [(40, False), (17, True), (10, False)])
def test_sizes_are_asked_for_only_when_a_limit_is_crossed_downwards(names: int, *, asks: bool) -> None:
    """Of unchanged directories, which a directory with fewer names may have to embed."""
    castore = ObservedCAStore(MappingCAStore())
    store = IPLDStore(castore)
    for number in range(names):
        store[f"n{number}/.zattrs"] = b'{"x":"%s"}' % (b"y" * 17_000)
    root = store.freeze()
    castore.forget()
    again = IPLDStore(castore, root=root)
    again["n1/0"] = b"new"
    again.freeze()
    assert castore.asked == []
    del again["n1/0"]
    del again["n0/.zattrs"]
    again.freeze()
    assert (len(castore.asked) == names - 2) is asks  # all but the one that was deleted and the one that changed
    assert asks or castore.asked == []


# -- no block is over 1 MiB --


def largest(contents: dict[str, bytes]) -> int:
    castore = MappingCAStore()
    store = IPLDStore(castore)
    for key, data in contents.items():
        store[key] = data
    root = store.freeze()
    again = IPLDStore(castore, root=root)
    for key in list(contents)[:: len(contents) // 50 + 1]:
        assert again[key] == reference.read_back(key, contents[key])
    return max(map(len, castore.mapping.values()))


LONG = [f"{number:0>4}".ljust(255, "x") for number in range(2049)]
SHAPES: dict[str, Any] = {
    "100,000 children": lambda: {f"g/{number:06}/zarr.json": b"{}" for number in range(100_000)},
    "an attribute of 5 MB": lambda: {"zarr.json": json.dumps({"attributes": {"x": "y" * 5_000_000}}).encode()},
    "2,048 names of 255 bytes": lambda: {f"g/{name}/zarr.json": METADATA for name in LONG[:2048]},
    "2,049 names of 255 bytes": lambda: {f"g/{name}/zarr.json": METADATA for name in LONG},
    "16 directories and documents as large as may be embedded": lambda: {
        **{f"g/{name}": b'{"x":"%s"}' % (b"y" * 32_760) for name in reference.DOCUMENTS},
        **{f"g/{name}/.zattrs": b'{"x":"%s"}' % (b"y" * 16_300) for name in LONG[:16]},
    },
    "256 directories as large as may be embedded": lambda: {
        f"g/{name}/.zattrs": b'{"x":"%s"}' % (b"y" * 1000) for name in LONG[:256]
    },
    "4,000 chunk keys of nearly 255 bytes": lambda: {
        "a/zarr.json": METADATA,
        **{"a/c/" + "/".join([str(10**17 + number)] * 13): b"v" for number in range(4000)},
    },
    "6 levels of groups with names of 255 bytes": lambda: {
        "/".join(names) + "/zarr.json": METADATA for names in itertools.product(LONG[:3], repeat=6)
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_no_block_is_over_1_mib(name: str) -> None:
    assert largest(SHAPES[name]()) <= 1 << 20


@pytest.mark.soak
@pytest.mark.parametrize(
    "shape",
    ["1000000", "100x100x100", "10x25x40x100", "10000000", "1000x100x100", "100x40x50x50"],
)
def test_millions_with_a_freeze_every_million(shape: str, tmp_path: Path) -> None:
    """No block is over 1 MiB. Writing 10^7 chunks takes at most 1.5 GB of memory, listing them that of a few leaves."""
    folder = str(tmp_path / "blocks")

    def run(*arguments: str) -> dict[str, Any]:
        command = [
            sys.executable,
            str(Path(__file__).parents[1] / "support" / "processes" / "many_chunks.py"),
            folder,
            *arguments,
        ]
        found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return found

    written = run("write", shape, "1000000")
    assert written["largest"] <= 1 << 20
    assert written["bytes"] < 1_500_000_000
    listed = run("read", written["root"])
    assert listed["listed"] == written["chunks"] + 1
    assert listed["bytes"] < 200_000_000
