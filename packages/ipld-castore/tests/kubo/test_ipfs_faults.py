"""IPFSStore on a node that does what it should not.

The right error or a successful retry, never wrong data, never a hang.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from ipld_car import CarReader, CarWriter, cids, dagcbor
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockNotFoundError,
    CAStoreError,
    FileSystemCAStore,
    IPFSStore,
)
from ipld_castore._core import pauses
from ipld_castore._kubo import export
from ipld_castore.testing import BlockServer, Fault, faults
from ipld_castore.testing.server.replies import reply
from multiformats import CID

pytestmark = pytest.mark.usefixtures("expiring")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BlockServer]:
    """A node over a folder, which keeps blocks by multihash as nodes do."""
    with BlockServer(FileSystemCAStore(tmp_path, fsync=False)) as server:
        yield server


@pytest.fixture
def store(server: BlockServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[IPFSStore]:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.0)
    store = IPFSStore(server.url, timeout=60)
    yield store
    server.heal()
    with suppress(CAStoreError):
        store.close()


def graph(store: Any, leaves: int = 40, size: int = 100) -> tuple[CID, dict[CID, bytes]]:
    """A root over two nodes over leaves; and all blocks in the order of the walk."""
    half = leaves // 2
    below = [store.put(b"%d" % number * size) for number in range(leaves)]
    middle = [store.put(below[:half]), store.put(below[half:])]
    root = store.put(middle)
    return root, dict(store.get_dag(root))


# -- graphs --

EXPORT = [
    faults.wrong_bytes,
    faults.wrong_length(10),
    faults.wrong_length(-10),
    faults.truncated_car,
    faults.missing_child,
    faults.unknown_block(),
    faults.error_page(),
    faults.error_page(None),
    faults.endless_body,
    faults.stall(),
    faults.stall(0),
    faults.stall(700),
    faults.reset(),
    faults.reset(700),
    faults.status(404, "404 page not found"),
    faults.status(502),
    faults.too_many_requests(0),
    faults.too_many_requests(0, as_date=True),
    faults.error_with_message("context deadline exceeded"),
    faults.redirect("http://127.0.0.1:9/"),
]


@pytest.mark.parametrize("fault", EXPORT, ids=str)
def test_a_graph_is_whole_whatever_the_answer_was(server: BlockServer, store: IPFSStore, fault: Fault) -> None:
    """Blocks that the CAR lacks, or has with wrong bytes, are requested one by one."""
    root, blocks = graph(server.blocks)
    server.inject(fault, times=None, where="dag/export")
    assert dict(store.get_dag(root)) == blocks
    assert list(dict(store.get_dag(root))) == list(blocks)


@pytest.mark.parametrize("fault", [None, faults.missing_child, faults.reset(700)], ids=str)
def test_a_graph_that_lacks_a_block(server: BlockServer, store: IPFSStore, fault: Fault | None) -> None:
    """The walk ends with an error that names it, in whatever way the answer ended."""
    root, blocks = graph(server.blocks)
    lost = list(blocks)[30]
    server.blocks.delete_block(lost)
    if fault is not None:
        server.inject(fault, where="dag/export")
    seen: list[CID] = []
    with pytest.raises(BlockNotFoundError, match=str(lost)):
        seen.extend(cid for cid, _ in store.get_dag(root))
    assert seen == list(blocks)[:30]


def test_a_graph_that_comes_in_another_order(server: BlockServer, store: IPFSStore) -> None:
    """Blocks wait for the walk, within a bound; the walk is the same."""
    root, blocks = graph(server.blocks)

    def shuffled(exchange: Any) -> None:
        right = exchange.reply()
        reader = CarReader(right.data())
        archive = archive_of(root, [(block.cid_bytes, block.data) for block in reader][::-1])
        exchange.send(reply(200, archive, "application/vnd.ipld.car"))

    server.inject(Fault("shuffled", shuffled), where="dag/export")
    assert list(store.get_dag(root)) == list(blocks.items())
    assert len(server.requests) == 1


def archive_of(root: CID, pairs: list[tuple[bytes, bytes]]) -> bytes:
    stream = BytesIO()
    with CarWriter(stream, [root], verify=False) as writer:
        for cid, data in pairs:
            writer.write(cid, data)
    return stream.getvalue()


def test_what_nobody_asked_for_is_not_hoarded(
    server: BlockServer, store: IPFSStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that sends other blocks than those of the graph fills no memory, and its blocks go nowhere."""
    monkeypatch.setattr(export, "_MAX_STASH", 5000)
    root, blocks = graph(server.blocks)
    junk = [server.blocks.put(b"junk %d" % number * 100) for number in range(100)]
    pairs = [(bytes(cid), server.blocks.get_raw(cid)) for cid in junk] + [(bytes(c), d) for c, d in blocks.items()]

    def junky(exchange: Any) -> None:
        exchange.send(reply(200, archive_of(root, pairs), "application/vnd.ipld.car"))

    server.inject(Fault("junk", junky), where="dag/export")
    with export.GraphReader(store._rpc, bytes(root), store.get_raw, offline=True) as reader:
        assert [reader.get(bytes(cid)) for cid in blocks] == list(blocks.values())
        assert reader._stash.size <= 5000
    assert not set(junk) & {cid for cid, _ in store.get_dag(root)}


def test_large_blocks_come_one_by_one(server: BlockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several at a time: the node sends those faster than a CAR. Small ones are one call for all."""
    store = IPFSStore(server.url)
    monkeypatch.setattr(export, "_SAMPLE", 1000)
    monkeypatch.setattr(export, "_LARGE", 500)
    root, blocks = graph(server.blocks, size=1000)
    server.inject(faults.held(1), where="block/get?arg=bafkrei")  # the leaf at which the walk leaves the CAR
    server.inject(faults.held(3), times=3, where="block/get?arg=bafkrei")
    assert list(store.get_dag(root)) == list(blocks.items())
    assert len([request for request in server.requests if "block/get" in str(request)]) > 30
    assert server.most_in_flight > 2
    server.forget()
    monkeypatch.setattr(export, "_LARGE", 50_000)
    assert list(store.get_dag(root)) == list(blocks.items())
    assert len(server.requests) == 1
    store.close()


def test_inline_blocks_of_a_graph(server: BlockServer, store: IPFSStore) -> None:
    """Inline blocks are in no response and in every walk."""
    inline = cids.make(cids.DAG_CBOR, dagcbor.encode_node([bytes(server.blocks.put(b"below"))]), cids.IDENTITY)
    root = server.blocks.put_raw(dagcbor.encode_node([inline, bytes(server.blocks.put(b"beside"))]), "dag-cbor")
    assert list(store.get_dag(root)) == list(server.blocks.get_dag(root))


# -- single blocks --


@pytest.mark.parametrize(
    "fault", [faults.wrong_bytes, faults.wrong_length(-1), faults.error_page("application/octet-stream")], ids=str
)
def test_wrong_bytes_are_an_error(server: BlockServer, store: IPFSStore, fault: Fault) -> None:
    cid = server.blocks.put(b"right" * 100)
    server.inject(fault)
    with pytest.raises(BlockCorruptError, match=str(cid)):
        store.get(cid)
    assert store.get(cid) == b"right" * 100


@pytest.mark.parametrize("fault", [faults.reset(), faults.close_at_once, faults.too_many_requests(0)], ids=str)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_call_is_tried_three_times(server: BlockServer, store: IPFSStore, fault: Fault, times: int) -> None:
    cid = server.blocks.put(b"right")
    server.inject(fault, times=times)
    if times < 3:
        assert store.get(cid) == b"right"
    else:
        with pytest.raises(BackendUnavailableError, match=server.url):
            store.get(cid)
    assert len(server.requests) == min(times + 1, 3)


@pytest.mark.parametrize("fault", [faults.stall(), faults.stall(3), faults.slow_drip(0.02)], ids=str)
def test_no_call_hangs(server: BlockServer, store: IPFSStore, fault: Fault) -> None:
    """Silence ends; what comes slowly but comes is waited for."""
    cid = server.blocks.put(b"01234")
    server.inject(fault)
    if fault.name == "slow drip":
        assert store.get(cid) == b"01234"
    else:
        with pytest.raises(BackendUnavailableError, match=r"silent for 70 s|broke off"):
            store.get(cid)


@pytest.mark.parametrize("size", [20_000, 2_000_000])
def test_a_block_that_never_ends(server: BlockServer, store: IPFSStore, size: int) -> None:
    """A server that sends a byte now and then is given up."""
    cid = server.blocks.put_raw(bytes(size))
    server.inject(faults.slow_drip(0.02))
    with pytest.raises(BackendUnavailableError, match=r"broke off its answer to block/get: it sent only \d+ bytes"):
        store.get(cid)


def test_a_graph_that_drips(server: BlockServer, store: IPFSStore) -> None:
    """Blocks that do not come with the CAR are requested one by one."""
    root, blocks = graph(server.blocks)
    server.inject(faults.slow_drip(0.02), where="dag/export")
    assert dict(store.get_dag(root)) == blocks
    assert sum("block/get" in str(request) for request in server.requests) == len(blocks)


def test_a_line_that_drips(server: BlockServer, store: IPFSStore) -> None:
    """A response to an upload that comes too slowly is an error; the next flush sends the blocks again."""
    cid = store.put(b"sent")
    server.inject(faults.slow_drip(0.2), where="dag/import", times=None)
    with pytest.raises(BackendUnavailableError, match="broke off its answer to dag/import: it sent only"):
        store.flush()
    server.heal()
    store.flush()
    assert server.blocks.get(cid) == b"sent"


def test_a_node_that_is_restarted_between_calls(server: BlockServer, store: IPFSStore) -> None:
    cid = server.blocks.put(b"still there")
    for _ in range(3):
        assert store.get(cid) == b"still there"
        server.restart()


def test_redirects_are_not_followed(server: BlockServer, store: IPFSStore) -> None:
    cid = server.blocks.put(b"right")
    with BlockServer(server.blocks) as other:
        server.inject(faults.redirect(f"{other.url}/api/v0/block/get?arg={cid}"))
        with pytest.raises(BackendUnavailableError, match="redirect, which is not followed"):
            store.get(cid)
        assert other.requests == []


# -- writing --


def _fail_to_pin(exchange: Any) -> None:
    """Take the blocks, and fail to pin a root that was not to be pinned. Kubo reports that with HTTP 200."""
    right = exchange.reply()
    failed = {"Root": {"Cid": {"/": "bafkqaaa"}, "PinErrorMsg": "pin: block was not found locally"}}
    exchange.send(reply(200, json.dumps(failed).encode() + b"\n" + right.data(), "application/json"))


IMPORT = [
    Fault("pin fails", _fail_to_pin),
    faults.reset(),
    faults.reset_upload(1000),
    faults.close_at_once,
    faults.stall(),
    faults.stall(3),
    faults.truncated_car,
    faults.error_page(),
    faults.status(502),
    faults.status(404, "404 page not found"),
    faults.too_many_requests(0),
    faults.error_with_message("disk is full"),
    faults.error_with_message("context deadline exceeded"),
    faults.redirect("http://127.0.0.1:9/"),
]


@pytest.mark.parametrize("fault", IMPORT, ids=str)
def test_what_could_not_be_sent_is_sent_later(server: BlockServer, store: IPFSStore, fault: Fault) -> None:
    """Nothing is lost, whatever happened to the CAR; until then it is read from here."""
    server.inject(fault, times=None, where="dag/import")
    values = [b"%d" % number * 1000 for number in range(30)]
    sent = [store.put(value) for value in values]
    for _ in range(2):
        with pytest.raises(BackendUnavailableError, match=server.url):
            store.flush()
        assert [store.get(cid) for cid in sent] == values
        assert all(cid in store for cid in sent)
    server.heal()
    store.flush()
    assert [server.blocks.get(cid) for cid in sent] == values
    assert len(store._queue) == 0


@pytest.mark.parametrize("fault", [faults.reset(), faults.reset_upload(1000), faults.status(503)], ids=str)
def test_a_car_is_sent_again_at_once(server: BlockServer, store: IPFSStore, fault: Fault) -> None:
    """A call that is safe to repeat is repeated after a broken connection, without an error."""
    server.inject(fault, where="dag/import")
    cid = store.put(bytes(100_000))
    store.flush()
    assert server.blocks.get(cid) == bytes(100_000)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "fault",
    [
        faults.error_with_message("pin: context deadline exceeded"),
        faults.truncated_car,
        faults.stall(),
        faults.reset(),
        faults.status(502),
    ],
    ids=str,
)
def test_a_root_is_kept_only_when_the_node_says_so(server: BlockServer, store: IPFSStore, fault: Fault) -> None:
    """The next call goes on."""
    root, _ = graph(store)
    server.inject(fault, times=3, where="pin/add")
    with pytest.raises(BackendUnavailableError, match=server.url):
        store.persist(root)
    server.heal()
    store.persist(root)
    assert dict(store.pins()) == {root: ""}
