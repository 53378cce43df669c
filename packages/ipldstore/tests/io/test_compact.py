"""Files and folders without what their root does not reach: nothing else is lost, whatever happens on the way."""

from __future__ import annotations

import random
import signal
import textwrap
from datetime import timedelta
from pathlib import Path

import ipldstore
import pytest
from ipld_car import CarFile, CarReader, CarWriter, cids, hashes
from ipld_castore import BackendUnavailableError, CarCAStore, FileSystemCAStore, MappingCAStore
from ipldstore import Compacted, IPLDStore, IPLDStoreError, compact
from multiformats import CID

from ..support.archive_samples import as_carv2
from ..support.processes import program, running
from ..support.store_samples import all_blocks, block_file, contents, written

SOME = {"a/c/0": b"zero", "a/c/1": b"one", "b/.zattrs": b'{"long":"%s"}' % (b"x" * 40_000), "big": bytes((1 << 20) + 1)}


@pytest.fixture(params=["data.car", "folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a store is: a file, or a folder."""
    return tmp_path / str(request.param)


def blocks_in(path: Path) -> set[bytes]:
    """Digests of all blocks."""
    castore = FileSystemCAStore(path) if path.is_dir() else CarCAStore(path, "r")
    with castore:
        return {cid.raw_digest for cid in castore}


def reached(path: Path) -> set[bytes]:
    with ipldstore.open(path) as store:
        return {cid.raw_digest for cid, _ in store.castore.get_dag(store.freeze())}


def contents_of(path: Path) -> dict[str, bytes]:
    with ipldstore.open(path) as store:
        return contents(store)


def with_history(path: Path) -> tuple[CID, CID]:
    """Contents with chunks that were overwritten and a root before; returns both roots."""
    with ipldstore.open(path, "a", fsync=False) as store:
        store.mapping.update({key: data + b"!" for key, data in SOME.items() if "." not in key})
        store["gone"] = b"gone"
        first = store.freeze()
        store.mapping.update(SOME)
        del store["gone"]
        return first, store.freeze()


def test_what_is_not_reached_is_forgotten(path: Path) -> None:
    first, root = with_history(path)
    before = blocks_in(path)
    assert before > reached(path)
    done = compact(path)
    kept = reached(path)
    assert blocks_in(path) == kept
    assert done[:2] == (len(kept), len(before) - len(kept))
    assert contents_of(path) == SOME
    with ipldstore.open(path) as store:
        assert store.root_cid == root
        assert first not in store.castore
    again = compact(path)
    assert again == Compacted(len(kept), 0, 0)
    with ipldstore.open(path, "a") as store:  # and it can go on
        store["more"] = b"more"
    assert contents_of(path) == SOME | {"more": b"more"}


def test_bytes_that_are_freed(path: Path) -> None:
    def size() -> int:
        return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.rglob("*.data"))

    with_history(path)
    before = size()
    assert compact(path).freed_bytes == before - size()


def test_a_file_is_as_if_written_at_once(tmp_path: Path) -> None:
    """In the order of the graph; under its name, with its rights, also where a link leads to it."""
    file = tmp_path / "data.car"
    with_history(file)
    file.chmod(0o640)
    (tmp_path / "link.car").symlink_to(file)
    compact(tmp_path / "link.car")
    assert (tmp_path / "link.car").is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data.car", "link.car"]
    archive = written(SOME).to_car()
    assert [block.cid for block in CarReader(file.read_bytes())] == [block.cid for block in CarReader(archive)]
    with CarFile.open(file) as opened:
        assert opened.version == 2
        assert opened.scan_reason is None


@pytest.mark.parametrize("v2", [False, True], ids=["CARv1", "CARv2"])
def test_archives_of_others(tmp_path: Path, *, v2: bool) -> None:
    file = tmp_path / "other.car"
    store = written(SOME)
    store.castore.put(b"nobody's")
    root = store.freeze()
    with file.open("wb") as stream, CarWriter(stream, [root]) as writer:
        for cid in all_blocks(store.castore):
            writer.write(cid, store.castore.get_raw(cid))
    if v2:
        file.write_bytes(as_carv2(file.read_bytes()))
    assert compact(file).freed_blocks == 1
    assert contents_of(file) == SOME


@pytest.mark.parametrize("hash_code", [hashes.SHA2_512, hashes.BLAKE2B_256], ids=["sha2-512", "blake2b-256"])
def test_roots_of_another_length(tmp_path: Path, hash_code: int) -> None:
    file = tmp_path / "other.car"
    store = written(SOME)
    node = store.castore.get_raw(store.freeze())
    root = cids.make(cids.DAG_CBOR, hashes.digest_of(hash_code, node), hash_code)
    store.castore.put_block(cids.from_bytes(root), node)
    with file.open("wb") as stream, CarWriter(stream, [root]) as writer:
        for cid in all_blocks(store.castore):
            writer.write(cid, store.castore.get_raw(cid))
    assert compact(file).freed_blocks == 1  # the node under its other name
    assert contents_of(file) == SOME
    with ipldstore.open(file) as found:
        assert bytes(found.freeze()) == root


def test_nothing_written(path: Path) -> None:
    with ipldstore.open(path, "a", fsync=False):
        pass
    assert compact(path).freed_blocks == 0
    assert contents_of(path) == {}
    if path.is_file():
        path.unlink()
        CarFile.open(path, "x").close()  # without a root that anybody set
        assert compact(path) == (0, 0, 0)
        assert contents_of(path) == {}


def test_readers_go_on(tmp_path: Path) -> None:
    """Readers of a file go on with the old file."""
    file = tmp_path / "data.car"
    first, _ = with_history(file)
    with CarCAStore(file, "r") as castore:
        old = ipldstore.IPLDStore(castore, root=first, read_only=True)
        compact(file)
        assert old["gone"] == b"gone"


def test_what_cannot_be_compacted(path: Path) -> None:
    """A file that cannot be compacted is unchanged."""
    for older_than in (None, timedelta(days=1)):
        with pytest.raises(FileNotFoundError):
            compact(path, older_than)
    assert not path.exists()
    with_history(path)
    before = blocks_in(path)
    with ipldstore.open(path, "a"), pytest.raises(OSError, match="writer"):
        compact(path)
    assert blocks_in(path) == before


def test_folders_of_others(tmp_path: Path) -> None:
    """A folder without a head is not compacted, as any block may be in use."""
    castore = FileSystemCAStore(tmp_path / "blocks", fsync=False)
    written(SOME, castore).freeze()
    before = blocks_in(tmp_path / "blocks")
    with pytest.raises(ValueError, match="HEAD"):
        compact(tmp_path / "blocks")
    assert blocks_in(tmp_path / "blocks") == before
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"meow")
    with pytest.raises(ValueError, match="SHARDING"):
        compact(tmp_path / "photos")
    assert [file.name for file in (tmp_path / "photos").iterdir()] == ["cat.png"]


def test_what_lacks_a_block_is_left_alone(path: Path) -> None:
    """If a block is missing nothing is deleted: good copies of it may be among the blocks that would be."""
    _, root = with_history(path)
    with ipldstore.open(path) as store:
        lost = next(cid for cid, data in store.castore.get_dag(root) if data == b"one")
    if path.is_dir():
        block_file(FileSystemCAStore(path), lost).unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b"one", b"eno"))
    before = blocks_in(path)
    with pytest.raises(IPLDStoreError, match=str(lost)):
        compact(path)
    assert blocks_in(path) == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    with ipldstore.open(path) as store:
        others = [key for key in SOME if key != "a/c/1"]
        assert [store[key] for key in others] == [SOME[key] for key in others]


def test_damage_between_what_is_kept_is_an_error_of_a_dataset(tmp_path: Path) -> None:
    """Counting the blocks found it, and raised the ValueError of an archive."""
    path, old = tmp_path / "data.car", b"old" * 100
    with ipldstore.open(path, "a", fsync=False) as store:
        store.mapping["a/c/0"] = old
        store.freeze()
        store.mapping["a/c/0"] = b"new" * 100
    data = bytearray(path.read_bytes())
    at = data.index(old) - cids.CIDV1_SHA256_SIZE - 2
    data[at : at + 2] = b"\xff\xff"
    path.write_bytes(data)
    with pytest.raises(IPLDStoreError, match="compacting"):
        compact(path)
    assert path.read_bytes() == data
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("v2", [False, True], ids=["CARv1", "CARv2"])
def test_archives_that_cannot_be_compacted_are_not_tidied_up(tmp_path: Path, *, v2: bool) -> None:
    file = tmp_path / "other.car"
    store = written(SOME)
    root, lost = store.freeze(), MappingCAStore().put({"lost": 1})
    for roots in ([lost], [root, lost]):
        with file.open("wb") as stream, CarWriter(stream, roots) as writer:
            writer.write(root, store.castore.get_raw(root))
        before = as_carv2(file.read_bytes()) if v2 else file.read_bytes() + bytes(6)
        file.write_bytes(before)
        with pytest.raises((ValueError, IPLDStoreError)):
            compact(file)
        assert file.read_bytes() == before
        assert list(tmp_path.iterdir()) == [file]


COMPACT = """
    import os, signal, sys, ipldstore
    path, last = sys.argv[1], int(sys.argv[2])
    step = 0

    def count(event, arguments):
        global step
        if event in CHANGES and (event != "open" or isinstance(arguments[2], int) and arguments[2] & WRITES):
            step += 1
            if step == last:
                os.kill(os.getpid(), signal.SIGKILL)

    CHANGES = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}
    WRITES = os.O_WRONLY | os.O_RDWR
    sys.addaudithook(count)
    ipldstore.compact(path)
    print(step)
"""
"""Compacts, and dies before so many changes of files; else prints how many there were."""


def compact_until(path: Path, step: int) -> int | None:
    """Compact in a process that is killed before a step, 0 for none; return how many steps it took, None if killed."""
    with running(program.run, textwrap.dedent(COMPACT), str(path), str(step)) as done:
        out, err = done.out.read(), done.err.read()
        done.process.join()
        assert done.process.exitcode == (0 if out else -signal.SIGKILL), err
    return int(out) if out else None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal there")
@pytest.mark.parametrize("kills", [pytest.param(6, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.soak)])
def test_compacting_that_is_killed(path: Path, kills: int) -> None:
    """A kill before any change of a file loses no contents, and the next compaction completes."""
    noise = {f"a/c/{number}": random.Random(number).randbytes(5_000) for number in range(100)}

    def write(number: int) -> None:
        with ipldstore.open(path, "a", fsync=False) as store:
            store.mapping.update({key: data + b"%d" % number for key, data in noise.items()})
            store.freeze()
            store.mapping.update(noise)

    write(0)
    steps = compact_until(path, 0)
    assert steps is not None
    assert contents_of(path) == noise
    last = sorted({1, steps, *(1 + number * steps // kills for number in range(kills))})
    for number, step in enumerate(last, 1):
        write(number)
        assert compact_until(path, step) is None
        assert contents_of(path) == noise
    compact(path)
    assert blocks_in(path) == reached(path)
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]


def test_a_full_disk(path: Path) -> None:
    """On a full disk a file is not compacted: an error, and the file is unchanged. A folder needs no space."""
    resource = pytest.importorskip("resource", reason="no resource limits there")
    with_history(path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        if path.is_dir():
            compact(path)
        else:
            with pytest.raises(OSError, match="large"):
                compact(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert contents_of(path) == SOME


def test_what_killed_writers_left_in_a_folder(tmp_path: Path) -> None:
    """Files that they had not finished; others may have names of their own."""
    path = tmp_path / "folder"
    with_history(path)
    shard = next(each for each in path.iterdir() if each.is_dir())
    left = [path / "put-0123456789abcdef", shard / "put-fedcba9876543210"]
    others = [path / "put-1", shard / "put-fedcba9876543210.txt", shard / "output-fedcba9876543210"]
    compact(path)
    for file in left + others:
        file.write_bytes(bytes(1000))
    assert compact(path)[1:] == (0, 2000)
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in others)
    assert contents_of(path) == SOME


def test_the_lock_is_let_go(path: Path) -> None:
    with_history(path)
    compact(path)
    try:
        ipldstore.open(path, "a").close()
    except BackendUnavailableError as error:  # pragma: no cover
        pytest.fail(str(error))


@pytest.mark.parametrize("older_than", [None, timedelta(0)])
def test_a_store_over_a_file_says_that_its_path_is_wanted(tmp_path: Path, older_than: timedelta | None) -> None:
    """An age was asked for, and given one, an age of blocks, which a file has not."""
    path = tmp_path / "a.car"
    with CarCAStore(path, fsync=False) as castore:
        store = IPLDStore(castore)
        store["a"] = b"1"
        store.freeze()
        with pytest.raises(IPLDStoreError, match=r"found <CarCAStore.*: close it, and call compact\('.*a.car'\)$"):
            compact(castore, older_than)
