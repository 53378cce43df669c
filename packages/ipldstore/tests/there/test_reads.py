"""What a reference reads: each byte of a chunk once, and of a series of files the first one alone by VirtualiZarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
from ipld_castore._reference.processes import HashProcesses
from ipld_castore._reference.ranges import LocalRanges
from ipldstore._there.sources import SourceReader

h5py: Any = pytest.importorskip("h5py")
pytest.importorskip("virtualizarr")

SHAPE = (4, 360, 720)


def write(path: Path, number: int, shape: tuple[int, int, int]) -> None:
    """Write a file as models write one for each day: 4 MB in chunks of one time."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("t2m", shape, "f4", chunks=(1, *shape[1:]))
        data[:] = np.random.default_rng(number).random(shape, "f4")
        axes = np.arange(shape[0]) + shape[0] * number, np.linspace(-90, 90, shape[1]), np.arange(shape[2]) / 2
        for at, (name, axis) in enumerate(zip(("time", "lat", "lon"), axes, strict=True)):
            file.create_dataset(name, data=axis).make_scale(name)
            data.dims[at].attach_scale(file[name])
        file["time"].attrs["units"] = "days since 2000-01-01"


@pytest.mark.parametrize(
    ("files", "shape"), [(5, (4, 6, 5)), pytest.param(50, SHAPE, marks=pytest.mark.slow, id="200 MB")]
)
def test_each_byte_is_read_once(
    tmp_path: Path, files: int, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number:03}.nc" for number in range(files)]
    for number, path in enumerate(paths):
        write(path, number, shape)
    read: list[int] = []
    parsed: list[str] = []
    read_into, hash_there, parse = LocalRanges.read_into, HashProcesses.hash, SourceReader._parse

    def count(self: LocalRanges, offset: int, buffer: memoryview) -> int:
        read.append(len(buffer))
        return read_into(self, offset, buffer)

    def count_there(self: HashProcesses, path: str, flags: int, spans: Any) -> bytes | None:
        digests = hash_there(self, path, flags, spans)
        if digests is not None:  # else they are read here
            read.extend(stop - start for start, stop, _ in spans)
        return digests

    def note(self: SourceReader, name: str, *how: Any) -> Any:
        parsed.append(name)
        return parse(self, name, *how)

    monkeypatch.setattr(LocalRanges, "read_into", count)
    monkeypatch.setattr(HashProcesses, "hash", count_there)
    monkeypatch.setattr(SourceReader, "_parse", note)
    root = ipldstore.reference(paths, tmp_path / "x.car", concat_dim="time")
    assert parsed == [str(paths[0])]
    chunks = files * (4 * int(np.prod(shape)) + 8 * sum(shape))
    gaps = files * 20_000  # headers between chunks that are read together
    assert chunks <= sum(read) <= chunks + gaps
    with ipldstore.open(tmp_path / "x.car") as store:
        assert store.root_cid == root
        assert len(store.links("t2m").cids) == files * shape[0]
