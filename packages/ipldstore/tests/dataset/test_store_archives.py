"""A store as an archive and back."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ipld_car import CarError, CarReader, CarWriter
from ipld_castore import ContentAddressableStore
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID

from ..support.store_samples import SOME, all_blocks, contents, damage, link_at, written

pytestmark = pytest.mark.smoke


def test_to_car_gives_bytes_or_writes_a_stream(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    archive = store.to_car()  # freezes first
    assert isinstance(archive, bytes)
    root = store.root_cid
    assert root is not None
    reader = CarReader(archive)
    assert reader.roots == [root]
    blocks = list(reader)
    assert blocks[0].cid == root
    assert len({block.cid for block in blocks}) == len(blocks)
    stream = io.BytesIO()
    assert store.to_car(stream) is None
    assert stream.getvalue() == archive


def test_to_car_into_a_pipe_and_import_from_it(castore: ContentAddressableStore) -> None:
    """Neither verb seeks."""
    store = written({**SOME, "big": os.urandom(3 << 20)}, castore)
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as stream:
            store.to_car(stream)

    thread = threading.Thread(target=write)
    thread.start()
    other = IPLDStore()
    with os.fdopen(reading, "rb") as stream:
        other.import_car(stream)
    thread.join()
    assert other.root_cid == store.root_cid
    assert contents(other) == contents(store)


def test_an_archive_of_a_store_with_a_lost_block(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    damage(castore, link_at(castore, store.freeze(), "a", "1"), "flipped")
    with pytest.raises(IPLDStoreError, match="hash"):
        store.to_car()


def test_from_car() -> None:
    store = written(SOME)
    archive = store.to_car()
    for source in (archive, bytearray(archive), memoryview(archive), io.BytesIO(archive)):
        other = IPLDStore.from_car(source)
        assert type(other) is IPLDStore
        assert other.root_cid == store.root_cid
        assert contents(other) == SOME
        other["a/2"] = b"two"  # it can go on
        assert other.freeze() != store.root_cid

    class Mine(IPLDStore):
        pass

    assert type(Mine.from_car(archive)) is Mine


def test_import_refuses_to_lose_changes(castore: ContentAddressableStore) -> None:
    """Before it reads anything, and says which argument loses them knowingly."""
    store = IPLDStore(castore)
    store["mine"] = b"mine"
    archive = io.BytesIO(written(SOME).to_car())
    with pytest.raises(IPLDStoreError, match=r"not frozen.*freeze\(\).*discard_changes=True"):
        store.import_car(archive)
    assert archive.tell() == 0
    assert contents(store) == {"mine": b"mine"}
    store.import_car(archive, discard_changes=True)
    assert contents(store) == SOME


def car(roots: list[CID], blocks: list[tuple[CID, bytes]]) -> bytes:
    stream = io.BytesIO()
    with CarWriter(stream, roots) as writer:
        for cid, data in blocks:
            writer.write(cid, data)
    return stream.getvalue()


Kind = type[Exception] | tuple[type[Exception], ...]


def bad_archives() -> Iterator[tuple[str, bytes, Kind]]:
    store = written(SOME)
    archive = store.to_car()
    root = store.freeze()
    other = written({"other": b"x"}, store.castore).freeze()
    blocks = [(cid, store.castore.get_raw(cid)) for cid in all_blocks(store.castore)]
    yield "no root", car([], blocks), ValueError
    yield "two roots", car([root, other], blocks), ValueError
    yield "twice the same root", car([root, root], blocks), ValueError
    yield "no root block", car([root], [pair for pair in blocks if pair[0] != root]), IPLDStoreError
    yield "empty", b"", CarError
    yield "no archive", b"\x89PNG\r\n\x1a\n" + bytes(100), CarError
    yield "cut in a block", archive[:-1], CarError
    yield "cut in the header", archive[:20], CarError
    yield "a bit flipped", archive[:-1] + bytes([archive[-1] ^ 1]), CarError
    value, data = next((cid, data) for cid, data in blocks if cid.codec.name == "raw")
    yield "root is a value", car([value], [(value, data)]), (ValueError, IPLDStoreError)


@pytest.mark.parametrize(("archive", "kind"), [pytest.param(*bad, id=what) for what, *bad in bad_archives()])
def test_a_bad_archive_changes_nothing(castore: ContentAddressableStore, archive: bytes, kind: Kind) -> None:
    store = IPLDStore(castore)
    store["kept/frozen"] = b"kept"
    root = store.freeze()
    store["kept/new"] = b"not frozen"
    before = contents(store)
    with pytest.raises(kind) as caught:
        store.import_car(archive, discard_changes=True)
    assert isinstance(caught.value, (ValueError, IPLDStoreError))
    assert contents(store) == before
    assert store.root_cid is None
    with pytest.raises(kind):
        IPLDStore.from_car(archive)
    store.set_root(root, discard_changes=True)
    assert contents(store) == {"kept/frozen": b"kept"}


def test_what_a_stream_raises_is_not_hidden() -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise TimeoutError("the line is dead")

    store = written(SOME)
    with pytest.raises(OSError, match="the line is dead"):
        store.import_car(Broken(), discard_changes=True)
    assert contents(store) == SOME
