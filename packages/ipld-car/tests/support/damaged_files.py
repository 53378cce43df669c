"""What the tests of damaged files share: an archive, indexes that fit or lie, and what a file gives all the same."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from ipld_car import BlockAbsentError, CarFile, CarWarning, IndexWriter, cids

from .car_samples import car_v1, cid, outcome, section

Pairs = list[tuple[bytes, int]]

ABSENT = cid(b"absent")
BLOCKS = [(cid(data), data) for data in (b"%d" % number * 50 for number in range(300))]
PAYLOAD = car_v1(*(section(data, name) for name, data in BLOCKS), roots=[BLOCKS[0][0]])
PAIRS: Pairs = [(name, at.offset) for name, _, at in outcome(PAYLOAD).blocks]


def index_of(pairs: Pairs, codec: int = 0x0401) -> bytes:
    writer, stream = IndexWriter(codec), io.BytesIO()
    for name, offset in pairs:
        writer.add(name, offset)
    writer.write(stream)
    return stream.getvalue()


def check_blocks(file: CarFile, archive: bytes) -> None:
    """It has what a reader of streams finds."""
    expected = [found for found in outcome(archive).blocks if cids.prefix_of(found[0]).hash_code]
    for name, data, _ in outcome(archive).blocks:
        assert file.get(name) == data
        assert name in file
    with pytest.raises(BlockAbsentError):
        file.get(ABSENT)
    assert len(file) == len(expected)
    assert [(bytes(name), at) for name, at in file] == [(name, at) for name, _, at in expected]


def check_continued(path: Path, archive: bytes) -> None:
    """It takes another block, and then has an index that is right."""
    path.write_bytes(archive)
    roots = outcome(archive).roots
    with CarFile.open(path, "a") as file:
        assert file.put(ABSENT, b"absent")
        for name, data, _ in outcome(archive).blocks:
            assert not file.put(name, data)
    continued = path.read_bytes()
    found = outcome(continued)
    assert (found.error, found.roots) == (None, roots)
    assert [pair[:2] for pair in found.blocks] == [pair[:2] for pair in outcome(archive).blocks] + [(ABSENT, b"absent")]
    with CarFile.open(path) as file:
        assert (file.scan_reason is None) == (file.version == 2)
        for name, data, _ in found.blocks:
            assert file.get(name) == data
        assert cid(b"nor this") not in file


@contextmanager
def warned(path: Path, match: str, mode: Literal["r", "a"] = "r", **options: Any) -> Iterator[CarFile]:
    """An open file of which something is said, once."""
    with pytest.warns(CarWarning, match=match) as caught, CarFile.open(path, mode, **options) as file:
        yield file
    assert len(caught) == 1
