"""ObjectCAStore: what is in the bucket, how much it asks, and what goes wrong on the way."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ipld_castore import (
    BackendUnavailableError,
    BlockNotFoundError,
    FileSystemCAStore,
    MappingCAStore,
    ObjectCAStore,
    SupportsDelete,
    SupportsHead,
    SupportsList,
    transfer,
)
from multiformats import CID

from ..support.fault_proxy import FaultProxy, Request, right
from ..support.proxy_faults import (
    held,
    lost_request,
)
from ..support.s3_server import S3Server

obstore = pytest.importorskip("obstore", reason="the extra object is not installed")

DATA = bytes(range(256)) * 40


@pytest.fixture
def store(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> ObjectCAStore:
    return ObjectCAStore.from_url(f"s3://{bucket}/x", **s3.options(s3_proxy.url), timeout="2s")


def is_data(request: Request) -> bool:
    return request.path.endswith(".data")


# -- a folder and a bucket are the same --


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "HEAD.swap"
    }


def objects_of(store: ObjectCAStore) -> dict[str, bytes]:
    below = f"{store.prefix}/" if store.prefix else ""
    names = [meta["path"] for page in store.store.list(store.prefix or None) for meta in page]
    return {name.removeprefix(below): bytes(store.store.get(name).bytes()) for name in names}


@pytest.mark.parametrize("rule", ["", "/repo/flatfs/shard/v1/prefix/3\n"], ids=["usual sharding", "another sharding"])
def test_a_folder_that_is_synced_into_a_bucket_is_its_store(
    s3: S3Server, bucket: str, tmp_path: Path, rule: str
) -> None:
    """File by file: blocks, the sharding rule and the head."""
    if rule:
        (tmp_path / "SHARDING").write_text(rule)
    folder = FileSystemCAStore(tmp_path, fsync=False)
    root = folder.put({"big": folder.put(bytes(3 << 20)), "small": [folder.put(b"%d" % n) for n in range(20)]})
    folder.swap_head(None, root)
    store = ObjectCAStore.from_url(f"s3://{bucket}/a/b", **s3.options())
    for name, data in files_of(tmp_path).items():
        store.store.put(name, data)
    assert store.head == root
    assert store.to_car(root) == folder.to_car(root)
    assert set(store) == set(folder)
    new = store.put({"now": root})
    store.swap_head(root, new)
    (tmp_path / "back").mkdir()
    for name, data in objects_of(store).items():
        (tmp_path / "back" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "back" / name).write_bytes(data)
    back = FileSystemCAStore(tmp_path / "back")
    assert back.head == new
    assert back.to_car(new) == store.to_car(new)


def test_a_bucket_has_the_files_that_a_folder_would_have(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    stores = [ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(), prefix="p"), FileSystemCAStore(tmp_path)]
    for store in stores:
        root = store.put({"leaf": store.put(DATA)})
        assert isinstance(store, SupportsHead)
        store.swap_head(None, root)
    assert isinstance(stores[0], ObjectCAStore)
    assert objects_of(stores[0]) == files_of(tmp_path)


def test_objects_of_others_are_left_alone(s3: S3Server, bucket: str) -> None:
    """A bucket has more than blocks: beside the prefix, and below it."""
    store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(), prefix="p/q")
    cid = store.put(DATA)
    store.flush()
    (block,) = (name for name in objects_of(store) if name.endswith(".data"))
    for name in ("p/q2/x.data", "p/q/thesis.tex", "p/q/AA/nonsense.data", f"p/q/ZZ/{block[3:]}", "p/q/a/b/c", "other"):
        store.store.put(name, b"mine")
    assert list(store) == [cid]
    store.delete_block(cid)
    assert list(store) == []
    assert len(objects_of(store)) == 5


@pytest.mark.parametrize("prefix", ["a//b", "../a", "a/./b"])
def test_prefixes_that_are_none(prefix: str) -> None:
    with pytest.raises(ValueError, match="expected a prefix like"):
        ObjectCAStore(obstore.store.MemoryStore(), prefix=prefix)


@pytest.mark.parametrize("wrong", ["s3://bucket/x", None, MappingCAStore()], ids=str)
def test_what_is_no_store_of_obstore(wrong: Any) -> None:
    """A URL was taken for one: its blocks were put, and could not be sent later."""
    with pytest.raises(TypeError, match=r"expected a store of obstore, .*ObjectCAStore.from_url\(url\)"):
        ObjectCAStore(wrong)
    with pytest.raises(TypeError, match="expected a URL as text"):
        ObjectCAStore.from_url(Path("/bucket"))  # type: ignore[arg-type]  # as a caller without types


# -- what it asks --


def test_writing_is_one_put_a_block_and_no_look(store: ObjectCAStore, s3_proxy: FaultProxy) -> None:
    """No HEAD, no LIST; the rule is looked for and written once."""
    store.put_blocks((store_cid, data) for store_cid, data in some_blocks(200))
    store.flush()
    assert s3_proxy.count("PUT") == 201
    assert s3_proxy.count("GET", "/SHARDING") == 1
    assert len(s3_proxy.requests) == 202
    s3_proxy.requests.clear()
    store.put_blocks(some_blocks(50, 1000))
    store.flush()
    assert [request.method for request in s3_proxy.requests] == ["PUT"] * 50


@pytest.mark.parametrize("rule", ["next-to-last/2", "prefix/3", None])
def test_the_first_block_where_there_is_no_head(
    s3: S3Server, s3_proxy: FaultProxy, bucket: str, rule: str | None
) -> None:
    """Most likely there is no rule either: it is put before it is looked for. One that is there stays, and holds."""
    plain = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options())
    if rule is not None:
        plain.store.put("SHARDING", f"/repo/flatfs/shard/v1/{rule}\n".encode())
    store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(s3_proxy.url))
    assert store.head is None
    s3_proxy.clear()
    cid = store.put(b"data")
    store.flush()
    looks = [] if rule is None else ["GET"]
    assert [request.method for request in s3_proxy.requests] == ["PUT", *looks, "PUT"]
    assert bytes(plain.store.get("SHARDING").bytes()) == f"/repo/flatfs/shard/v1/{rule or 'next-to-last/2'}\n".encode()
    assert plain.get(cid) == b"data"


def test_opening_by_the_head_or_by_a_root_is_one_request(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> None:
    """The sharding rule is asked for where the usual one does not find a block, and before the first block is put."""
    writer = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options())
    root = writer.put("root")
    writer.swap_head(None, root)
    reads: list[Callable[[ObjectCAStore], object]] = [lambda store: store.head, lambda store: store.get(root)]
    for read in reads:
        store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(s3_proxy.url))
        s3_proxy.clear()
        assert read(store) is not None
        assert len(s3_proxy.requests) == 1
    store.put("more")
    store.flush()
    assert [request.method for request in s3_proxy.requests] == ["GET", "PUT"], "the rule is known by the block"
    store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(s3_proxy.url))
    s3_proxy.clear()
    with pytest.raises(BlockNotFoundError):
        store.get_block(next(some_blocks(1))[0])
    assert [request.path.rpartition("/")[2] for request in s3_proxy.requests][1:] == ["SHARDING"]


def some_blocks(count: int, first: int = 0) -> Iterator[tuple[CID, bytes]]:
    from ipld_castore import MappingCAStore

    maker = MappingCAStore()
    for number in range(first, first + count):
        data = b"block %d" % number
        yield maker.put_raw(data), data


@pytest.mark.parametrize("verb", ["put", "get", "has", "dag"])
def test_many_requests_are_under_way(s3: S3Server, s3_proxy: FaultProxy, bucket: str, verb: str) -> None:
    """As many as the store was told; answers are held until so many wait."""
    options = s3.options(s3_proxy.url)
    store = ObjectCAStore.from_url(f"s3://{bucket}", **options, in_flight=12)
    pairs = list(some_blocks(48))
    if verb != "put":
        store.put_blocks(pairs)
        root = store.put([cid for cid, _ in pairs])
        store.flush()
        root_data = store.get_block(root)
    else:
        store.put("the sharding rule is there")
        store.flush()
    s3_proxy.clear()
    s3_proxy.inject(held(12), 48, when=is_data)
    if verb == "put":
        store.put_blocks(pairs)
        store.flush()
    elif verb == "get":
        assert list(store.get_blocks(cid for cid, _ in pairs)) == pairs
    elif verb == "has":
        assert list(store.has_blocks(cid for cid, _ in pairs)) == [True] * 48
    else:
        s3_proxy.clear()
        s3_proxy.inject(right, when=is_data)
        s3_proxy.inject(held(12), 48, when=is_data)
        assert [data for _, data in store.get_dag(root)] == [root_data, *(data for _, data in pairs)]
    assert s3_proxy.most_in_flight == 12


def test_blocks_on_their_way_are_there(store: ObjectCAStore, s3_proxy: FaultProxy) -> None:
    """A reader in the same process sees them; nothing is asked for them."""
    s3_proxy.inject_always(lost_request)
    cid = store.put(DATA)
    assert store.get(cid) == DATA
    assert store.has_block(cid)
    assert store.block_size(cid) == len(DATA)
    assert not s3_proxy.count("HEAD")
    s3_proxy.clear()
    store.flush()
    assert s3_proxy.count("PUT", ".data") == 1


def test_a_transfer_asks_and_sends_what_is_missing(store: ObjectCAStore, s3_proxy: FaultProxy, tmp_path: Path) -> None:
    source = FileSystemCAStore(tmp_path, fsync=False)
    root = source.put({str(n): source.put(b"leaf %d" % n) for n in range(40)})
    assert transfer(root, source, store).blocks == 41
    s3_proxy.requests.clear()
    new = source.put({"more": root, "leaf": source.put(b"new")})
    assert transfer(new, source, store).blocks == 2
    assert s3_proxy.count("PUT") == 2


def test_deleting_many_is_few_requests(store: ObjectCAStore, s3_proxy: FaultProxy) -> None:
    assert isinstance(store, SupportsDelete)
    assert isinstance(store, SupportsList)
    pairs = list(some_blocks(300))
    store.put_blocks(pairs)
    store.flush()
    s3_proxy.requests.clear()
    absent = [cid for cid, _ in some_blocks(20, 5000)]
    store.delete_blocks([*absent[:10], *(cid for cid, _ in pairs[:299]), *absent[10:]])
    assert [request.method for request in s3_proxy.requests] == ["POST"]
    assert list(store) == [pairs[299][0]]


def test_absent_blocks_do_not_end_a_deletion(tmp_path: Path) -> None:
    """Where the store stops at the first one."""
    store = ObjectCAStore(obstore.store.LocalStore(tmp_path))
    pairs = list(some_blocks(20))
    store.put_blocks(pairs[1::2])
    store.delete_blocks(cid for cid, _ in pairs)
    assert list(store) == []


# -- processes --


def read_in_another_process(pickled: bytes, cid: str) -> bytes:
    store: ObjectCAStore = pickle.loads(pickled)  # noqa: S301  # made here
    store.put(b"by the other")
    store.flush()
    return store.get_raw(cid)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_processes_use_a_pickled_store(s3: S3Server, bucket: str, method: str) -> None:
    """What was put before is in the bucket by then."""
    store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options())
    cid = store.put(DATA)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        pickled = pickle.dumps(store)
        assert pool.submit(read_in_another_process, pickled, str(cid)).result() == DATA
    assert len(list(store)) == 2


def test_copies_of_one_pickle_share_connections(s3: S3Server, bucket: str) -> None:
    """dask unpickles a store once a task."""
    pickled = pickle.dumps(ObjectCAStore.from_url(f"s3://{bucket}", **s3.options()))
    one, two = pickle.loads(pickled), pickle.loads(pickled)  # noqa: S301  # made here
    assert one == two
    assert one.store is two.store


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_process_is_told_that_it_cannot(s3: S3Server, bucket: str) -> None:
    """obstore would wait for ever: its threads are not in the child. Blocks on their way are sent by the parent."""
    store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options())
    cid = store.put(DATA)
    store.flush()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        try:
            store.get(cid)
        except BackendUnavailableError as error:
            sender.send(str(error))
        except BaseException as error:  # noqa: BLE001  # the parent shows it
            sender.send(repr(error))
        os._exit(0)
    try:
        assert receiver.poll(30), "the child waits for ever"
        assert "obstore's threads do not survive a fork" in receiver.recv()
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert store.get(cid) == DATA


def test_a_copy_of_a_memory_store_has_blocks_of_its_own() -> None:
    store = ObjectCAStore(obstore.store.MemoryStore(), prefix="below")
    cid = store.put(b"before")
    copies = [pickle.loads(pickle.dumps(store)) for _ in range(2)]  # noqa: S301  # our own
    late = store.put(b"after")
    for copy in copies:
        assert copy.get(cid) == b"before"
        assert late not in copy
        assert copy != store
    assert copies[0].put(b"own") not in copies[1]


def test_stores_of_one_bucket_are_equal(s3: S3Server, bucket: str) -> None:
    store = ObjectCAStore.from_url(f"s3://{bucket}/a/b", **s3.options())
    same = ObjectCAStore.from_url(f"s3://{bucket}/a", **s3.options(), prefix="b")
    assert store == same
    assert hash(store) == hash(same)
    assert store != ObjectCAStore.from_url(f"s3://{bucket}/a", **s3.options())
    assert repr(store) == f"<ObjectCAStore: s3://{bucket}/a/b at {s3.endpoint}>"
    assert store.blocking
    assert not store.local
    with pytest.raises(BlockNotFoundError, match="a/b"):
        store.get_block(next(some_blocks(1))[0])


def test_the_account_of_a_container_is_part_of_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the environment names it. The URL before it is one that opens it."""
    one = ObjectCAStore.from_url("az://box/air", account_name="mine", account_key="a2V5")
    assert one.address == "az://box/air at https://mine.blob.core.windows.net"
    for account, is_same in (("mine", True), ("other", False)):
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", account)
        assert (ObjectCAStore.from_url("az://box/air", account_key="a2V5") == one) is is_same
