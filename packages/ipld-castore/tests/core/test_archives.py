"""Archives of others, hostile and cut archives, imported into stores."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ipld_car import CarError, CarReader, CarWriter, HashMismatchError, cids, hashes, read_car
from ipld_castore import (
    BlockMalformedError,
    BlockNotFoundError,
    ContentAddressableStore,
    FileSystemCAStore,
    HashRefusedError,
    MappingCAStore,
    SupportsList,
)
from multiformats import CID


def check_import(archive: bytes, store: ContentAddressableStore) -> Exception | None:
    """Import an archive; check that the store has exactly the good blocks before the first fault."""
    fault: Exception | None = None
    try:
        store.import_car(archive)
    except (CarError, HashRefusedError) as error:
        fault = error
    expected: dict[bytes, bytes] = {}
    try:
        for cid, data, _ in read_car(archive)[1]:
            prefix = cids.prefix_of(bytes(cid))
            if prefix.hash_code in {hashes.MD5, 0x11} or (prefix.digest_size < 20 and prefix.hash_code):
                break  # proves nothing
            if prefix.hash_code != cids.IDENTITY:
                expected[cids.multihash_of(bytes(cid))] = data
    except CarError:
        assert isinstance(fault, CarError)
    assert isinstance(store, SupportsList)
    assert {cids.multihash_of(bytes(cid)): store.get_raw(cid) for cid in store} == expected
    return fault


def test_archives_of_other_projects(archives: Path, tmp_path: Path) -> None:
    """Every fixture raises nothing but CarError and HashRefusedError, and every good block is put."""
    outcomes = {}
    for file in sorted(archives.rglob("*.car")):
        on_disk = file.parent.name == "go-car-cmd"  # not all, as thousands of files are slow to make and to remove
        store = FileSystemCAStore(tmp_path / file.stem, fsync=False) if on_disk else MappingCAStore()
        fault = check_import(file.read_bytes(), store)
        outcomes[file.name] = fault, len({cids.multihash_of(bytes(cid)) for cid in store})
    assert len(outcomes) > 20
    # Counts that MANIFEST.md states, without the blocks of identity CIDs.
    assert outcomes["sample-v1.car"] == (None, 1043)
    assert outcomes["sample-wrapped-v2.car"] == (None, 1043)
    assert outcomes["simple-unixfs.car"] == (None, 22)
    fault, kept = outcomes["sample-v1-tailing-corrupt-section.car"]
    assert isinstance(fault, CarError)
    assert (fault.offset, kept) == (479518, 1042)


def test_small_archives_of_other_projects(archives: Path) -> None:
    """The vectors of go-car and js-car are imported as their authors expect."""
    vectors = json.loads((archives / "hex-vectors.json").read_text())
    vectors = vectors["vectors"] if isinstance(vectors, dict) else vectors
    faults = [check_import(bytes.fromhex(vector["hex"]), MappingCAStore()) for vector in vectors]
    assert any(faults)
    assert not all(faults)


def test_incomplete_graphs_of_other_projects(archives: Path) -> None:
    """An archive may lack blocks: the others are put, and reading a missing one is an error."""
    store = MappingCAStore()
    (root,) = store.import_car((archives / "go-car-cmd" / "simple-unixfs-missing-blocks.car").read_bytes())
    assert len(list(store)) == 17
    with pytest.raises(BlockNotFoundError):
        store.to_car(root)
    with pytest.raises(BlockMalformedError, match="UnixFS file"):
        store.get(root)  # a folder


def test_strings_of_other_projects_that_are_no_utf_8(archives: Path) -> None:
    """The dag-cbor of Filecoin is not strict: its values are an error to read, its graphs are copied."""
    archive = (archives / "go-car-v2" / "sample-v1.car").read_bytes()
    store = MappingCAStore()
    (root,) = store.import_car(archive)
    again = MappingCAStore()
    assert again.import_car(store.to_car(root)) == [root]
    assert set(again) == set(store)


@pytest.mark.parametrize("verify", [True, False])
def test_a_reader_instead_of_a_source(small: bytes, *, verify: bool) -> None:
    """A CarReader is imported after its roots were read. Blocks are verified though the reader does not verify."""
    reader = CarReader(small, verify=verify)
    store = MappingCAStore()
    assert store.import_car(reader) == reader.roots
    assert store.to_car(reader.roots[0]) == small
    *_, (_, _, last) = read_car(small)[1]
    bad = small[:-1] + bytes([small[-1] ^ 1])
    store = MappingCAStore()
    with pytest.raises(HashMismatchError) as caught:
        store.import_car(CarReader(bad, verify=verify))
    assert caught.value.offset == last.offset
    assert len(list(store)) == 3


@pytest.fixture(scope="module")
def small() -> bytes:
    """Return an archive of four blocks, one of each codec, 500 bytes in all."""
    store = MappingCAStore()
    v0 = cids.from_bytes(b"\x12\x20" + hashes.digest_of(cids.SHA2_256, b"\x0a\x02\x08\x01"))
    store.put_block(v0, b"\x0a\x02\x08\x01")
    root = store.put({"leaf": store.put(b"leaf" * 10), "list": [store.put({"text": "x" * 40}), v0]})
    return store.to_car(root)


def test_every_truncation(small: bytes) -> None:
    """A cut at the end of a section is a shorter archive, any other cut an error. No bad block is put."""
    clean = [size for size in range(len(small)) if check_import(small[:size], MappingCAStore()) is None]
    sections = [location.offset for _, _, location in read_car(small)[1]]
    assert clean == sections


def test_every_flip_of_a_bit(small: bytes) -> None:
    """Each flipped bit is an error, but for roots and codecs, which no hash covers. No bad block is put."""
    silent = 0
    for position in range(len(small) * 8):
        bad = bytearray(small)
        bad[position // 8] ^= 1 << position % 8
        silent += check_import(bytes(bad), MappingCAStore()) is None
    assert silent < len(small) * 8 // 5


def test_noise_is_no_archive() -> None:
    """Noise is an error, alone and after the start of an archive."""
    noise = random.Random(3)
    for _ in range(500):
        head = noise.choice([b"", bytes.fromhex("11a265726f6f7473806776657273696f6e01"), b"\x0a\xa1gversion\x02"])
        check_import(head + noise.randbytes(noise.randrange(200)), MappingCAStore())


def test_a_pipe(tmp_path: Path) -> None:
    """An archive goes through a pipe into another process, without a file."""
    store = FileSystemCAStore(tmp_path / "source", fsync=False)
    root = store.put({"large": store.put(os.urandom(5_000_000)), "small": [store.put(b"%d" % i) for i in range(200)]})
    code = """if True:
        import sys
        from ipld_castore import FileSystemCAStore
        print(*FileSystemCAStore(sys.argv[1], fsync=False).import_car(sys.stdin.buffer))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "target")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        store.to_car(root, process.stdin)
        process.stdin.close()
        assert process.stdout is not None
        assert process.stdout.read().decode().strip() == str(root)
    assert process.returncode == 0
    assert FileSystemCAStore(tmp_path / "target").to_car(root) == store.to_car(root)


def test_an_archive_is_written_while_it_is_walked() -> None:
    """The first blocks are written before the last are read, so a graph need not fit in memory."""
    store = MappingCAStore()
    leaves = [store.put(bytes([i]) * 1000) for i in range(50)]
    root = store.put(leaves)
    events: list[str] = []

    class Stream:
        def write(self, data: bytes) -> int:
            events.append("write")
            return len(data)

    class Watched(MappingCAStore):
        def get_block(self, cid: CID) -> bytes:
            events.append("read")
            return super().get_block(cid)

    Watched(store.mapping).to_car(root, Stream())
    assert events == ["write"] + ["read", "write"] * 51


def test_an_archive_is_read_while_blocks_are_put() -> None:
    """A block is put before the next is read, so an archive need not fit in memory."""
    pieces = [b"%d" % number * 20_000 for number in range(20)]
    put: list[int] = []
    seen: list[int] = []

    class Stream:
        """A stream that returns one section at a time, and notes how many blocks are put by then."""

        def __init__(self) -> None:
            self.left = list(self.sections())
            self.rest = b""

        def sections(self) -> Iterator[bytes]:
            parts: list[bytes] = []
            writer = CarWriter(type("Sink", (), {"write": lambda _, data: parts.append(data)})(), [])
            for piece in pieces:
                writer.write(cids.make(cids.RAW, hashlib.sha256(piece).digest()), piece)
            yield from parts

        def read(self, size: int) -> bytes:
            if not self.rest and self.left:
                self.rest = self.left.pop(0)
                seen.append(len(put))
            data, self.rest = self.rest[:size], self.rest[size:]
            return data

    class Watched(MappingCAStore):
        def put_block(self, cid: CID, data: bytes) -> None:
            put.append(len(data))
            super().put_block(cid, data)

    Watched().import_car(Stream())
    assert len(put) == 20
    assert all(kept >= number - 3 for number, kept in enumerate(seen))


def test_several_imports_at_once(tmp_path: Path) -> None:
    """Threads import archives that share blocks into one store."""
    source = MappingCAStore()
    shared = [source.put(b"shared %d" % number) for number in range(50)]
    roots = [source.put({"own": source.put(b"own %d" % number), "shared": shared}) for number in range(6)]
    target = FileSystemCAStore(tmp_path, fsync=False)
    threads = [threading.Thread(target=target.import_car, args=(source.to_car(root),)) for root in roots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for root in roots:
        assert target.to_car(root) == source.to_car(root)


def test_archives_that_are_padded_with_zeros() -> None:
    """An archive that is padded with zeros is an error that names the argument, and is imported with it."""
    source = MappingCAStore()
    root = source.put({"a": source.put(b"leaf")})
    padded = source.to_car(root) + bytes(1000)
    with pytest.raises(CarError, match="zero_length_section_as_eof"):
        MappingCAStore().import_car(padded)
    store = MappingCAStore()
    assert store.import_car(padded, zero_length_section_as_eof=True) == [root]
    assert store.to_car(root) == source.to_car(root)
