"""The index file: small, sorted, searched where it lies, and hostile until it is checked."""

from __future__ import annotations

import random
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_castore import (
    BlockMalformedError,
    CAStoreError,
    MappingCAStore,
    ReferenceCAStore,
    ReferenceIndex,
    ReferenceIndexWriter,
    get_index,
    put_index,
)
from ipld_castore._reference import index_writer
from ipld_castore._reference.layout import RECORD, ReferencedFile, decode_names, encode_names

from .samples import block, cid_of, index_of

NAMES = st.lists(
    st.tuples(st.text(st.sampled_from("ab/é\udc80"), min_size=1, max_size=40), st.binary(max_size=20)), max_size=40
)


@given(NAMES)
def test_names_come_back(names: list[tuple[str, bytes]]) -> None:
    files = [ReferencedFile(*name) for name in names]
    starts, encoded = encode_names(files)
    found: list[ReferencedFile] = []
    for group in range(-(-len(files) // 16)):
        start = int.from_bytes(starts[8 * group : 8 * group + 8])
        found += decode_names(encoded[start:], min(16, len(files) - 16 * group))
    assert found == files


def test_records_are_found_whatever_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In sorted runs too, as more records than fit into memory are written."""
    one = index_of(tmp_path / "one.index", {"a": range(500), "b": range(250, 750)})
    monkeypatch.setattr(index_writer, "_RUN_RECORDS", 64)
    two = index_of(tmp_path / "two.index", {"a": range(500), "b": range(250, 750)})
    assert one.path.read_bytes() == two.path.read_bytes()
    assert [file.name for file in one.files()] == ["a", "b"]
    assert len(one) == 1000
    for number in range(750):
        digest = bytes(cid_of(block(number)))[4:]
        assert [place.file for place in one.places(digest)] == [
            file for file, numbers in enumerate((range(500), range(250, 750))) if number in numbers
        ]
    assert not one.has(bytes(32))


def random_index(path: Path, count: int, files: int) -> ReferenceIndex:
    writer = ReferenceIndexWriter(path, fsync=False)
    for number in range(files):
        writer.file(f"/data/model/era5/t2m/air_temperature_{number:06}.nc", bytes(16))
    generator = random.Random(1)
    step = 1 << 14
    for start in range(0, count, step):
        many = min(step, count - start)
        digests = generator.randbytes(32 * many)
        writer.add_records(
            b"".join(
                RECORD.pack(digests[32 * at : 32 * at + 32], (start + at) % files, 4096 * at, 4096)
                for at in range(many)
            )
        )
    return writer.close()


def test_an_entry_takes_few_bytes(tmp_path: Path) -> None:
    index = random_index(tmp_path / "x.index", 100_000, 1_000)
    assert index.path.stat().st_size <= 60 * len(index)


@pytest.mark.slow
def test_a_large_index_is_not_loaded(tmp_path: Path) -> None:
    random_index(tmp_path / "x.index", 1_000_000, 1_000)
    tracemalloc.start()
    index = ReferenceIndex(tmp_path / "x.index")
    for number in range(1000):
        digest, place = index.record(1000 * number)
        assert place in index.places(digest)
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()
    assert index.path.stat().st_size <= 60 * len(index)


@given(st.data())
def test_damage_is_an_error_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("index")
    (folder / "a").write_bytes(b"head" + block(0) * 3)
    index = index_of(folder / "x.index", {"a": range(3), "b" * 20: range(2, 4)})
    damaged = bytearray(index.path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    index.path.unlink()
    index.path.write_bytes(damaged)
    try:
        store = ReferenceCAStore(index.path, allow=[folder])
        found = list(store)
        list(store.indexes[0].files())
    except CAStoreError:
        return
    for cid in found:
        with suppress(CAStoreError):
            assert cid_of(store.get_raw(cid)) == cid
    list(store.verify())


@pytest.mark.parametrize("files", [{}, {"a": range(3)}, {f"/data/{at}": range(at, at + 9) for at in range(40)}])
def test_an_index_travels_as_blocks(tmp_path: Path, files: dict[str, range]) -> None:
    index = index_of(tmp_path / "x.index", files)
    castore = MappingCAStore()
    root = put_index(index, castore)
    copy = get_index(root, castore, tmp_path / "y.index")
    assert copy.path.read_bytes() == index.path.read_bytes()
    assert index.made_here
    assert not copy.made_here
    assert put_index(copy, MappingCAStore()) == root
    assert {str(cid) for cid, _ in castore.get_dag(root)} == set(castore.mapping)


@pytest.mark.parametrize(
    "change",
    [
        {"ipld-references": 2},
        {"entries": -1},
        {"entries": 3},
        {"files": 1 << 60},
        {"files": 500},
        {"records": 1},
        {"x": 1},
    ],
)
def test_roots_that_are_no_index(tmp_path: Path, change: dict[str, object]) -> None:
    castore = MappingCAStore()
    root = castore.get(put_index(index_of(tmp_path / "x.index", {"a": range(2)}), castore))
    with pytest.raises(BlockMalformedError):
        get_index(castore.put(root | change), castore, tmp_path / "y.index")
    assert not (tmp_path / "y.index").exists()
