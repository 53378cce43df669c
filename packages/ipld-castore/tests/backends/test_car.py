"""CarCAStore beyond the suite: the file, its root, who may write, and pickles of it in other processes."""

from __future__ import annotations

import gc
import io
import os
import pickle
from pathlib import Path

import pytest
from ipld_car import CarError, CarFile, CarReader, CarWriter
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    CarCAStore,
    HeadMovedError,
    HeadRefusedError,
    MappingCAStore,
    ReadOnlyStoreError,
    StoreReplacedError,
    TieredCAStore,
    transfer,
)


def test_the_file_is_an_archive_of_the_store(tmp_path: Path) -> None:
    """The file is an archive of the blocks in the order of their puts, with the head as its root."""
    path = tmp_path / "a.car"
    memory = MappingCAStore()
    with CarCAStore(path) as store:
        leaf = store.put(b"leaf")
        root = store.put({"leaf": leaf})
        store.swap_head(None, root)
    reader = CarReader(path.read_bytes())
    assert reader.roots == [root]
    assert [block.cid for block in reader] == [leaf, root]
    assert memory.import_car(path.read_bytes()) == [root]
    with CarCAStore(path, "r") as store:
        assert store.head == root
        assert store.get(root) == {"leaf": leaf}
        assert list(store) == [leaf, root]
        assert store.to_car(root) == memory.to_car(root)


def test_the_head_comes_with_the_blocks(tmp_path: Path) -> None:
    """When the head moves, a reader has all blocks that were put before. A flush of nothing keeps the head."""
    path = tmp_path / "a.car"
    with CarCAStore(path) as store:
        root = store.put({"a": store.put(bytes(5_000_000))})
        with CarCAStore(path, "r") as reader:
            assert reader.head is None
        store.swap_head(None, root)
        with CarCAStore(path, "r") as reader:
            assert reader.head == root
            assert reader.get(reader.get(root)["a"]) == bytes(5_000_000)
    with CarCAStore(path) as store:
        assert store.head == root


def test_the_empty_map_is_a_head_if_its_block_is_there(tmp_path: Path) -> None:
    """A new file has the empty map as its root. That is a head only if the block of the map is there."""
    with CarCAStore(tmp_path / "a.car") as store:
        assert store.head is None
        cid = store.put({})
        assert store.head == cid
        store.swap_head(cid, cid)
    with CarCAStore(tmp_path / "a.car") as store:
        assert store.head == cid


def test_archives_without_room_for_a_head(tmp_path: Path) -> None:
    """An archive with two roots or none has no head. Setting one is an error that says what to do."""
    cid = MappingCAStore().put(b"a")
    for roots in ([], [cid, cid]):
        with (tmp_path / "a.car").open("wb") as stream:
            CarWriter(stream, roots).close()
        with CarCAStore(tmp_path / "a.car") as store:
            assert store.head is None
            with pytest.raises(HeadRefusedError, match="must be rewritten"):
                store.swap_head(None, cid)
            with pytest.raises(HeadRefusedError, match="must be rewritten"):
                store.check_head(cid)
            assert store.head is None


def test_a_head_that_cannot_be_written_is_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that could not be written is still the old one, so the same call can be repeated."""
    with CarCAStore(tmp_path / "a.car") as store:
        first, second = store.put(b"first"), store.put(b"second")
        store.swap_head(None, first)

        def full(_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(CarFile, "flush", full)
        with pytest.raises(BackendUnavailableError, match="No space"):
            store.swap_head(first, second)
        assert store.head == first
        monkeypatch.undo()
        store.swap_head(first, second)
        assert store.head == second


def test_persisting_moves_the_head(tmp_path: Path) -> None:
    """Persisting moves the head from what the caller persisted last. Persisting the head again succeeds."""
    with CarCAStore(tmp_path / "a.car") as store:
        first, second, third = (store.put(number) for number in range(3))
        store.persist(first)
        store.persist(first)
        store.persist(second, first)
        with pytest.raises(HeadMovedError):
            store.persist(third, first)
        assert store.head == second


def test_who_may_write(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    with pytest.raises(BackendUnavailableError, match=r"cannot open .*a\.car"):
        CarCAStore(path, "r")
    with CarCAStore(path, "x") as store:
        cid = store.put(b"a")
        with pytest.raises(BackendUnavailableError, match="no other writer"):
            CarCAStore(path)
        with pytest.raises(BackendUnavailableError, match="File exists"):
            CarCAStore(path, "x")
    with CarCAStore(path, "r") as store:
        assert store.get(cid) == b"a"
        for verb in (lambda: store.put(b"a"), lambda: store.swap_head(None, cid)):
            with pytest.raises(ReadOnlyStoreError, match="only reads, as it was opened so"):
                verb()
        store.flush()
    (tmp_path / "bad.car").write_bytes(b"nonsense")
    with pytest.raises(CarError):
        CarCAStore(tmp_path / "bad.car")


def test_closed(tmp_path: Path) -> None:
    """Each verb of a closed store raises a CAStoreError."""
    store = CarCAStore(tmp_path / "a.car")
    cid = store.put(b"a")
    store.close()
    store.close()
    store.flush()
    for verb in (lambda: store.get(cid), lambda: store.put(b"b"), lambda: list(store), lambda: cid in store):
        with pytest.raises(BackendUnavailableError, match="closed"):
            verb()


def test_a_damaged_section_is_corrupt_not_absent(tmp_path: Path) -> None:
    """A damaged section is corrupt, not absent; other blocks are still read."""
    path = tmp_path / "a.car"
    with CarCAStore(path) as store:
        names = [store.put(b"%d" % number * 100) for number in range(5)]
    with CarFile.open(path) as file:
        offset = file.location(names[2]).offset
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff\xff")
    with CarCAStore(path, "r") as store:
        with pytest.raises(BlockCorruptError, match=f"offset {offset}"):
            store.get(names[2])
        for number in (0, 1, 3, 4):
            assert store.get(names[number]) == b"%d" % number * 100
        with pytest.raises(BlockCorruptError):  # neither copy is good
            store.has_block(MappingCAStore().put(b"absent"))


@pytest.mark.parametrize("order", ["right last", "right first"])
def test_a_block_that_is_there_twice_is_read_where_it_is_right(tmp_path: Path, order: str) -> None:
    """Of a block that is there twice the good copy is read, also in a sequential read, which looks nothing up."""
    names = [MappingCAStore().put(b"%d" % number * 100) for number in range(6)]
    with (tmp_path / "a.car").open("wb") as stream, CarWriter(stream, [names[0]], verify=False) as writer:
        for number, name in enumerate(names):
            writer.write(name, b"wrong" if number == 3 and order == "right last" else b"%d" % number * 100)
        writer.write(names[3], b"3" * 100 if order == "right last" else b"wrong")
    with CarCAStore(tmp_path / "a.car", "r") as store:
        for _ in range(2):
            assert [store.get_raw(name) for name in names] == [b"%d" % number * 100 for number in range(6)]
        assert [store.get(name) for name in reversed(names)] == [b"%d" % number * 100 for number in range(5, -1, -1)]


@pytest.mark.parametrize("wrong", [b"wrong", b"9" * 100], ids=["another length", "this length"])
@pytest.mark.parametrize("order", ["right last", "right first"])
def test_many_blocks_that_are_there_twice(tmp_path: Path, order: str, wrong: bytes) -> None:
    """Reading many blocks at once returns the good copies too."""
    memory = MappingCAStore()
    names = [memory.put(b"%d" % number * 100) for number in range(6)]
    root = memory.put(names)
    with (tmp_path / "a.car").open("wb") as stream, CarWriter(stream, [root], verify=False) as writer:
        for is_right in (False, True) if order == "right last" else (True, False):
            for name in names:
                writer.write(name, memory.get(name) if is_right else wrong)
        writer.write(root, memory.get_raw(root))
    with CarCAStore(tmp_path / "a.car", "r") as store:
        pairs = [(name, memory.get(name)) for name in names]
        assert list(store.get_many_raw(names)) == pairs
        near = MappingCAStore()
        assert list(TieredCAStore(near, store).get_blocks(names)) == pairs
        assert list(near.get_blocks(names)) == pairs
        there = MappingCAStore()
        there.put(b"0" * 100)  # so that it is not asked for as a whole
        assert transfer(root, store, there).blocks == 6
        assert list(there.get_blocks(names)) == pairs


def test_a_block_that_is_wrong_both_times_is_corrupt(tmp_path: Path) -> None:
    """The error says where the block is and how to repair it, and that repair works."""
    path = tmp_path / "a.car"
    name = MappingCAStore().put(b"right")
    with path.open("wb") as stream, CarWriter(stream, [name], verify=False) as writer:
        writer.write(name, b"wrong")
        writer.write(name, b"worse and longer")
    with CarCAStore(path) as store:
        for verb in (store.get, lambda cid: list(store.get_many_raw([cid]))):
            with pytest.raises(BlockCorruptError, match=f"{name}.*a.car.*put the block there again"):
                verb(name)
        store.put(b"right")
        assert store.get(name) == b"right"


def test_archives_go_in_and_out(tmp_path: Path) -> None:
    memory = MappingCAStore()
    root = memory.put([memory.put(b"%d" % number) for number in range(1000)])
    with CarCAStore(tmp_path / "a.car", fsync=False) as store:
        assert store.import_car(io.BytesIO(memory.to_car(root))) == [root]
        assert store.to_car(root) == memory.to_car(root)
        size = (tmp_path / "a.car").stat().st_size
        store.import_car(memory.to_car(root))
        store.flush()
        assert len(list(store)) == 1001
    assert (tmp_path / "a.car").stat().st_size >= size


def open_files(folder: Path) -> list[str]:
    """Return the files in a folder that this process has open."""
    found = (str(handle.readlink()) for handle in Path("/proc/self/fd").iterdir() if handle.is_symlink())
    return sorted(name for name in found if name.startswith(str(folder)))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_errors_hold_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each error the next open finds no lock, with the garbage collector off."""
    path = tmp_path / "a.car"
    (tmp_path / "bad.car").write_bytes(b"nonsense")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    gc.disable()
    try:
        for mode in ("r", "a"):
            with pytest.raises(CarError):
                CarCAStore(tmp_path / "bad.car", mode)
            assert open_files(tmp_path) == []
        store = CarCAStore(path)
        cid = store.put(b"a" * 100)
        with pytest.raises(BackendUnavailableError, match="no other writer"):
            CarCAStore(path)
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(BackendUnavailableError, match="No space"):
            store.swap_head(None, cid)
        with pytest.raises(BackendUnavailableError):
            store.close()
        monkeypatch.undo()
        del store
        assert open_files(tmp_path) == []
        with CarCAStore(path) as again:
            again.swap_head(None, again.put(b"a" * 100))
        assert open_files(tmp_path) == []
    finally:
        gc.enable()


def test_a_file_that_was_replaced(tmp_path: Path) -> None:
    """The head of the new file does not move. Closing raises an error, as no reader sees the blocks that were put."""
    path = tmp_path / "a.car"
    old = CarCAStore(path, fsync=False)
    root = old.put("old")
    path.unlink()
    with CarCAStore(path, fsync=False) as new:
        kept = new.put("new")
        new.swap_head(None, kept)
        for verb in (old.flush, lambda: old.swap_head(None, root), old.close):
            with pytest.raises(StoreReplacedError, match="removed or replaced"):
                verb()
        assert new.head == kept
    with CarCAStore(path, "r") as store:
        assert store.head == kept
        assert list(store) == [kept]


def test_a_file_that_is_padded_with_zeros(tmp_path: Path) -> None:
    """A file that is padded with zeros, as a Filecoin piece is, is read by the option; a pickle keeps the option."""
    memory = MappingCAStore()
    root = memory.put({"a": memory.put(b"leaf")})
    path = tmp_path / "a.car"
    path.write_bytes(memory.to_car(root) + bytes(5000))
    with CarCAStore(path, "r", zero_length_section_as_eof=True) as store:
        assert store.to_car(root) == memory.to_car(root)
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # our own
        assert copy.to_car(root) == memory.to_car(root)
