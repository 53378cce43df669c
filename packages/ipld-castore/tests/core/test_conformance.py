"""Every backend here passes the suite that it offers to others."""

from __future__ import annotations

import base64
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from threading import Lock

import pytest
from ipld_car import CarFile, CarWriter, cids
from ipld_castore import BlockNotFoundError, CarCAStore, ContentAddressableStore, FileSystemCAStore, MappingCAStore
from ipld_castore.testing import CAStoreTests
from multiformats import CID


class ListMapping(MutableMapping[str, bytes]):
    """A mapping with nothing beyond its interface, which returns ``bytearray`` values."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, bytearray]] = []

    def __getitem__(self, key: str) -> bytes:
        for known, value in tuple(self.pairs):
            if known == key:
                return value  # type: ignore[return-value]  # that is what it shows
        raise KeyError(key)

    def __setitem__(self, key: str, value: bytes) -> None:
        self.pairs.insert(0, (key, bytearray(value)))

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.pairs = [pair for pair in self.pairs if pair[0] != key]

    def __iter__(self) -> Iterator[str]:
        return iter({key for key, _ in tuple(self.pairs)})

    def __len__(self) -> int:
        return len(set(self))


class MappingTests(CAStoreTests):
    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        assert isinstance(castore, MappingCAStore)
        if data is None:
            del castore.mapping[str(cid)]
        else:
            castore.mapping[str(cid)] = data


class TestMappingOverDict(MappingTests):
    @pytest.fixture
    def castore(self) -> ContentAddressableStore:
        return MappingCAStore()


class TestMappingOverAnother(MappingTests):
    depth = width = 100  # as it looks through a list

    @pytest.fixture
    def castore(self) -> ContentAddressableStore:
        return MappingCAStore(ListMapping())


class FileTests(CAStoreTests):
    keeps_codecs = False

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        assert isinstance(castore, FileSystemCAStore)
        key = base64.b32encode(bytes(cid)[2:]).decode().rstrip("=")  # of raw CIDs: the multihash begins there
        assert bytes(cid)[:2] == b"\x01\x55"
        file = castore.path / key[-3:-1] / f"{key}.data"
        if data is None:
            file.unlink()
        else:
            assert file.exists()
            file.write_bytes(data)


class TestFolder(FileTests):
    depth = width = 100  # as each block waits for the disk

    @pytest.fixture
    def castore(self, tmp_path: Path) -> ContentAddressableStore:
        return FileSystemCAStore(tmp_path / "blocks")


@pytest.mark.smoke
class TestFolderWithoutFsync(FileTests):
    depth = width = 200

    @pytest.fixture
    def castore(self, tmp_path: Path) -> ContentAddressableStore:
        return FileSystemCAStore(tmp_path / "blocks", fsync=False)


class CarTests(CAStoreTests):
    can_delete = False

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        """Overwrite the block in the open file. Another length, or no block, needs a new file."""
        assert isinstance(castore, CarCAStore)
        castore.flush()
        with CarFile.open(castore.path) as file:
            location = file.location(cid)
            blocks = [(bytes(each), file.get(each)) for each, _ in file]
        if data is not None and len(data) == location.payload_size:
            with castore.path.open("r+b") as stream:
                stream.seek(location.payload_offset)
                stream.write(data)
            return
        castore.close()
        castore.path.unlink()
        with CarFile.open(castore.path, "x", fsync=False) as file:
            for each, old in blocks:
                if each != bytes(cid):
                    file.put(each, old)
                elif data is not None:
                    file.put(each, data, verify=False)
        castore.__init__(castore.path, fsync=False)  # type: ignore[misc]  # the same object over the other file


@pytest.mark.smoke
class TestCarFile(CarTests):
    @pytest.fixture
    def castore(self, tmp_path: Path) -> Iterator[ContentAddressableStore]:
        with CarCAStore(tmp_path / "blocks.car") as store:
            yield store


class TestCarV1(CarTests):
    """A CARv1 that is opened for writing stays a CARv1."""

    @pytest.fixture
    def castore(self, tmp_path: Path) -> Iterator[ContentAddressableStore]:
        with (tmp_path / "blocks.car").open("wb") as stream:
            CarWriter(stream, [MappingCAStore().put({})]).close()
        with CarCAStore(tmp_path / "blocks.car", fsync=False) as store:
            yield store


class TestBlake3(MappingTests):
    hash = "blake3"
    depth = width = 300

    @pytest.fixture
    def castore(self) -> ContentAddressableStore:
        pytest.importorskip("blake3", reason="the extra blake3 is not installed")
        return MappingCAStore(hash="blake3")


class TwoVerbs(ContentAddressableStore):
    """A backend with the two required methods."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._blocks: dict[bytes, bytes] = {}

    def get_block(self, cid: CID) -> bytes:
        with self._lock:
            try:
                return self._blocks[cids.multihash_of(bytes(cid))]
            except KeyError:
                raise BlockNotFoundError(f"no block {cid}") from None

    def put_block(self, cid: CID, data: bytes) -> None:
        with self._lock:
            self._blocks.setdefault(cids.multihash_of(bytes(cid)), data)


class TestTwoVerbs(CAStoreTests):
    can_list = can_delete = can_pickle = can_corrupt = can_repair = False
    depth = width = 300

    @pytest.fixture
    def castore(self) -> ContentAddressableStore:
        return TwoVerbs()
