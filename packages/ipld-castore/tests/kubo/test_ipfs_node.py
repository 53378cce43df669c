"""IPFSStore against a real Kubo node, and its blocks folder read and written as a FileSystemCAStore."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from ipld_car import cids, hashes
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockNotFoundError,
    ContentAddressableStore,
    FileSystemCAStore,
    HashRefusedError,
    IPFSStore,
    MappingCAStore,
)
from ipld_castore.testing import CAStoreTests
from multiformats import CID

from ..support.remote import ABSENT

pytestmark = pytest.mark.kubo


LARGE = random.Random(1).randbytes(5_300_000)


@pytest.fixture
def store(kubo: Any) -> Iterator[IPFSStore]:
    """A store over the node, which is asked for what it has; afterwards the node has no block again."""
    with IPFSStore(kubo.url, offline=True) as store:
        yield store
        for cid in store:
            store.delete_block(cid)


class TestIPFSStore(CAStoreTests):
    keeps_codecs = False
    depth = width = 100  # as each block is a call

    @pytest.fixture
    def castore(self, store: IPFSStore, kubo: Any) -> ContentAddressableStore:
        self.blocks = kubo.repo / "blocks"
        return store

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        castore.flush()
        assert bytes(cid)[:2] == b"\x01\x55"
        key = base64.b32encode(bytes(cid)[2:]).decode().rstrip("=")
        file = self.blocks / key[-3:-1] / f"{key}.data"
        assert file.exists()
        if data is None:
            file.unlink()
        else:
            file.write_bytes(data)


# -- what the node makes of it --


def test_values_are_what_ipfs_shows(store: IPFSStore, kubo: Any) -> None:
    """Codec, links and UnixFS arrive as they were put."""
    large = store.put(LARGE)
    root = store.put({"title": "ünïcödé", "large": large})
    store.flush()
    assert kubo.run("dag", "get", f"{root}/title").decode() == '"ünïcödé"'
    assert kubo.run("cat", str(large)) == LARGE


def test_large_bytes_have_the_cid_of_ipfs_add(store: IPFSStore, kubo: Any) -> None:
    """The promise of design.md, at sizes around its edges; the node keeps nothing of it."""
    flags = ["--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024", "--only-hash", "-Q"]
    for size in (0, 1, 1 << 20, (1 << 20) + 1, len(LARGE)):
        assert kubo.run("add", *flags, data=LARGE[:size]).decode().strip() == str(store.put(LARGE[:size]))


def test_large_blocks(store: IPFSStore) -> None:
    """Threads send blocks of several sizes; an absent block is still an error."""
    sizes = [1 << 20, 1 << 20, 600_000, (1 << 20) - 1, 600_000, 1 << 20] * 5
    blocks = {store.put_raw(random.Random(at).randbytes(size), "raw"): size for at, size in enumerate(sizes)}
    store.flush()
    with ThreadPoolExecutor(6) as pool:
        assert [len(data) for data in pool.map(store.get_raw, blocks)] == sizes
    with pytest.raises(BlockNotFoundError):
        store.get_raw(ABSENT)


def test_ipfs_takes_and_gives_archives(store: IPFSStore, kubo: Any) -> None:
    """`ipfs dag import` takes to_car, import_car takes `ipfs dag export`, and both are the same bytes."""
    here = MappingCAStore()
    root = here.put({"large": here.put(LARGE), "list": [here.put({"a": None}), here.put(b"x")] * 2})
    archive = here.to_car(root)
    kubo.run("dag", "import", "--pin-roots=false", data=archive)
    assert store.to_car(root) == archive
    exported = kubo.run("dag", "export", "--progress=false", str(root))
    assert MappingCAStore().import_car(BytesIO(exported)) == [root]
    assert exported == archive


@pytest.mark.parametrize("code", [cids.SHA2_256, hashes.SHA2_512, hashes.BLAKE2B_256, hashes.BLAKE3], ids=hex)
@pytest.mark.parametrize("size", [None, 20])
def test_every_trusted_hash_function(store: IPFSStore, code: int, size: int | None) -> None:
    """The node works out the same digests, whole and cut."""
    if code == hashes.BLAKE3:
        pytest.importorskip("blake3", reason="the extra blake3 is not installed")
    cid = cids.from_bytes(cids.make(cids.DAG_CBOR, hashes.digest_of(code, b"\xa0")[:size], code))
    store.put_block(cid, b"\xa0")
    assert store.get_raw(cid) == b"\xa0"


def test_weak_hashes_are_not_even_sent(store: IPFSStore) -> None:
    cid = cids.from_bytes(cids.make(cids.RAW, hashes.digest_of(hashes.MD5, b""), hashes.MD5))
    with pytest.raises(HashRefusedError):
        store.put_block(cid, b"")
    assert not store.has_block(cid)


def test_other_bytes_than_the_cid_names(store: IPFSStore) -> None:
    """The node hashes what it is sent: bytes that were damaged on the way are found, and do not hold others up."""
    cid = cids.from_bytes(cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, b"right")))
    good = [store.put(b"before"), store.put(b"after")]
    store.put_block(cid, b"wrong")
    with pytest.raises(BlockCorruptError, match=str(cid)):
        store.flush()
    assert cid not in store
    store.flush()
    with IPFSStore(store.host, offline=True) as other:
        assert all(each in other for each in good)
        assert cid not in other


def test_too_large_to_travel(store: IPFSStore, kubo: Any) -> None:
    """A block over 2 MiB is refused before it is sent, and one that the node has while it comes in."""
    data = bytes((2 << 20) + 1)
    with pytest.raises(BackendUnavailableError, match="at most 2097152 bytes"):
        store.put_raw(data)
    assert list(store) == []
    cid = kubo.run("block", "put", "--allow-big-block", data=data).decode().strip()
    with pytest.raises(BackendUnavailableError, match="at most 2097152 bytes"):
        store.get_raw(cid)


def test_pinned_blocks_stay(store: IPFSStore, kubo: Any) -> None:
    """Deleting says why not; the RPC answers 200 all the same."""
    cid = store.put(b"pinned")
    store.flush()
    kubo.post("pin/add", arg=str(cid))
    with pytest.raises(BackendUnavailableError, match="pinned"):
        store.delete_block(cid)
    assert store.get(cid) == b"pinned"
    kubo.post("pin/rm", arg=str(cid))


def test_a_block_that_nobody_has_ends_with_the_timeout(kubo: Any) -> None:
    """Online, a node would search for ever."""
    with IPFSStore(kubo.url, timeout=0.3) as store:
        with pytest.raises(BlockNotFoundError, match=f"{ABSENT}.*nor in the network within 0.3 s"):
            store.get(ABSENT)
        assert ABSENT not in store


# -- processes and threads --


def test_another_process_reads_through_a_pickle(store: IPFSStore) -> None:
    """A copy in another process, as dask makes it, has connections of its own."""
    cid = store.put(b"for the other")
    code = "import pickle, sys; store, cid = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(store.get(cid))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps((store, cid)), capture_output=True, check=True
    )
    assert done.stdout == b"for the other"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_has_connections_of_its_own(store: IPFSStore) -> None:
    """Parent and child on one connection would read each other's answers."""
    code = """
        import os, sys
        from ipld_castore import IPFSStore
        with IPFSStore(sys.argv[1], offline=True) as store:
            cids = [store.put(b"%d" % i) for i in range(20)]
            child = os.fork()
            for _ in range(5):
                for i, cid in enumerate(cids):
                    assert store.get_block(cid) == b"%d" % i
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), store.host], check=True, timeout=60)


def test_a_closed_store_can_be_used_again(store: IPFSStore) -> None:
    """Closing while threads read costs them connections, not blocks."""
    cid = store.put(LARGE[:100_000])

    def read(number: int) -> bytes:
        if number % 10 == 0:
            store.close()
        return store.get_raw(cid)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(100))) == {LARGE[:100_000]}


# -- addresses --


def test_a_running_node_is_found(store: IPFSStore, kubo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the file that it writes, past any proxy of the environment."""
    cid = store.put(b"found")
    store.flush()
    monkeypatch.setenv("IPFS_PATH", str(kubo.repo))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with IPFSStore() as found:
        assert found == store
        assert hash(found) == hash(store)
        assert repr(found) == f"<IPFSStore: {kubo.url}>"
        assert found.get(cid) == b"found"


def test_the_gateway_is_not_the_rpc(kubo: Any) -> None:
    """The other port of the node is what people take for it."""
    gateway = (kubo.repo / "gateway").read_text().strip()
    store = IPFSStore(gateway)
    store.put(b"")
    for verb in (store.flush, lambda: store.get(ABSENT), lambda: list(store)):
        with pytest.raises(BackendUnavailableError, match="not the gateway"):
            verb()


@pytest.fixture
def other(kubo_binary: str, tmp_path: Path, kubo: Any) -> Iterator[Any]:
    """A node that does not run yet."""
    node = type(kubo)(kubo_binary, tmp_path / "repo")
    try:
        yield node
    finally:
        node.stop()


def test_a_node_that_asks_for_credentials(other: Any) -> None:
    """Credentials in the URL are in no text; without them the error says what the node asks for."""
    door = {"me": {"AuthSecret": "basic:me:s3cr/t", "AllowedPaths": ["/api/v0"]}}
    other.run("config", "--json", "API.Authorizations", json.dumps(door))
    other.start()
    with IPFSStore(other.url.replace("//", "//me:s3cr%2Ft@")) as store:
        cid = store.put(b"behind a door")
        with pickle.loads(pickle.dumps(store)) as copy:  # noqa: S301  # our own
            assert copy.get(cid) == b"behind a door"
        assert "s3cr" not in repr(store) + store.host
    for url in (other.url, other.url.replace("//", "//me:wrong@")):
        with IPFSStore(url) as store, pytest.raises(BackendUnavailableError, match="user:password@host") as caught:
            store.get(cid)
        assert "wrong" not in str(caught.value)


def test_a_node_that_comes_and_goes(other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence on what to do while it is away; the next call after it is back works."""
    monkeypatch.setenv("IPFS_PATH", str(other.repo))
    other.start()
    other.run("config", "Addresses.API", (other.repo / "api").read_text().strip())  # the same port again
    with IPFSStore() as store:
        cid = store.put(b"x")
        store.flush()
        other.stop()
        told = f"no IPFS node answers at {store.host} .the address is from .*, which may be stale"
        with pytest.raises(BackendUnavailableError, match=told):
            store.get(cid)
        other.start()
        assert store.get(cid) == b"x"


# -- its folder --


def test_the_folder_of_a_running_node_is_a_store(store: IPFSStore, kubo: Any) -> None:
    """Read-only use beside the daemon: the same blocks, listed and read."""
    root = store.put({"large": store.put(LARGE)})
    store.flush()
    folder = FileSystemCAStore(kubo.repo / "blocks")
    assert folder.to_car(root) == store.to_car(root)
    assert set(folder) == set(store)


def test_a_node_runs_on_a_folder_of_ours(other: Any) -> None:
    """Blocks that were put into it while no daemon runs are blocks of the node; what a crash left there is not."""
    folder = FileSystemCAStore(other.repo / "blocks")
    blocks = [folder.put(b"%d" % number) for number in range(50)]
    root = folder.put({"large": folder.put(LARGE), "small": blocks})
    for shard in (other.repo / "blocks").glob("??"):
        (shard / "put-0123456789abcdef").write_bytes(b"half a block")
    other.start()
    with IPFSStore(other.url, offline=True) as store:
        assert store.to_car(root) == folder.to_car(root)
        assert set(store) == set(folder)
