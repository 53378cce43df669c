"""What cannot be opened is refused, in words, and is what it was."""

import hashlib
import os
from pathlib import Path

import ipldstore
import pytest
from ipld_car import CarError, CarWriter, cids, hashes
from ipld_castore import MappingCAStore
from ipldstore import IPLDStoreError

from ..support.archive_samples import as_carv2
from ..support.open_samples import SOME, contents_of
from ..support.store_samples import all_blocks, written

pytestmark = pytest.mark.smoke


def test_what_holds_no_dataset(tmp_path: Path) -> None:
    """Reading changes nothing, and nothing is left open."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="SHARDING"):
        ipldstore.open(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []
    (tmp_path / "text.car").write_text("no archive")
    (tmp_path / "roots.car").write_bytes(b"")
    store = written(SOME)
    for count in (0, 2):
        with (tmp_path / "roots.car").open("wb") as stream:
            CarWriter(stream, [store.freeze()] * count).close()
        for mode in ("r", "a"):
            with pytest.raises(ValueError, match=f"one root, found {count}"):
                ipldstore.open(tmp_path / "roots.car", mode)
    for mode in ("r", "a"):
        with pytest.raises(CarError):
            ipldstore.open(tmp_path / "text.car", mode)  # type: ignore[arg-type]  # from a list
    value = store.castore.put(b"a value")
    (tmp_path / "value.car").write_bytes(store.castore.to_car(value))
    with pytest.raises(IPLDStoreError, match="node"):
        ipldstore.open(tmp_path / "value.car", "a")
    (tmp_path / "value.car").unlink()  # nothing has it open; Windows would say so


@pytest.mark.parametrize("v2", [False, True], ids=["CARv1", "CARv2"])
def test_a_failed_open_changes_nothing(tmp_path: Path, *, v2: bool) -> None:
    """No zeros of a torn tail are cut off, no index written, and the time of the last change is what it was."""
    path = tmp_path / "other.car"
    store = written(SOME)
    root, value, lost = store.freeze(), store.castore.put(b"a value"), MappingCAStore().put({"lost": 1})
    for roots in ([root, value], [], [value], [lost]):
        with path.open("wb") as stream, CarWriter(stream, roots) as writer:
            for cid in all_blocks(store.castore):
                writer.write(cid, store.castore.get_raw(cid))
        before = as_carv2(path.read_bytes()) if v2 else path.read_bytes() + bytes(6)
        path.write_bytes(before)
        os.utime(path, (1, 1))
        for _ in range(2):  # and it is not locked
            with pytest.raises((ValueError, IPLDStoreError), match=r"one root|node|no block"):
                ipldstore.open(path, "a")
            assert path.read_bytes() == before
            assert path.stat().st_mtime == 1


def test_archives_without_room_for_another_root(tmp_path: Path) -> None:
    """Such archives are read; a write is refused before it begins, and the error names a remedy that works."""
    path = tmp_path / "other.car"
    store = written(SOME)
    node = store.castore.get_raw(store.freeze())
    blocks = [(cid, data) for cid, data in store.castore.get_dag(store.freeze()) if data != node]
    long = cids.make(cids.DAG_CBOR, hashlib.sha512(node).digest(), hashes.SHA2_512)
    for root in (long, bytes(store.freeze())):
        with path.open("wb") as stream, CarWriter(stream, [root]) as writer:
            for cid, data in [(cids.from_bytes(root), node), *blocks]:
                writer.write(cid, data)
        if root != long:  # the list of roots as others may write it, with two bytes for its length
            before = path.read_bytes()
            path.write_bytes(bytes([before[0] + 1]) + before[1:].replace(b"\x65roots\x81", b"\x65roots\x98\x01", 1))
        before = path.read_bytes()
        assert contents_of(path) == SOME
        advice = r"mapping\.update" if root == long else r"compact\(path\)"
        with pytest.raises(ValueError, match=f"room for a new root.*{advice}"):
            ipldstore.open(path, "a")
        assert path.read_bytes() == before
        if root == long:
            with ipldstore.open(path) as old, ipldstore.open(tmp_path / "new.car", "x") as new:
                new.mapping.update(old.mapping)
            path = tmp_path / "new.car"
        else:
            ipldstore.compact(path)
        with ipldstore.open(path, "a") as again:
            again["more"] = b"more"
        assert contents_of(path) == SOME | {"more": b"more"}


def test_a_new_file_that_is_not_opened_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt while opening leaves no new file."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ipldstore._io.open._store_over", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ipldstore.open(tmp_path / "new.car", "a")
    assert list(tmp_path.iterdir()) == []
