"""Writing to a real Kubo node: what goes where, a node that dies meanwhile, and memory."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ipld_castore import BackendUnavailableError, IPFSStore
from ipld_castore._core import pauses
from ipld_castore._kubo import store as _ipfs

pytestmark = pytest.mark.kubo

RANDOM = random.Random(2)
LARGE = [RANDOM.randbytes(1 << 20) for _ in range(24)]


@pytest.fixture
def own(kubo_binary: str, tmp_path: Path, kubo: Any) -> Iterator[Any]:
    """A node of the test's own, on the same port whenever it starts."""
    node = type(kubo)(kubo_binary, tmp_path / "repo")
    node.start()
    node.run("config", "Addresses.API", (node.repo / "api").read_text().strip())
    try:
        yield node
    finally:
        node.kill()


def test_more_than_a_car(kubo: Any) -> None:
    """Blocks arrive in several CARs, whatever their sizes, from many threads."""
    sizes = [RANDOM.choice([0, 1, 40, 5000, 300_000, 1 << 20, 2 << 20]) for _ in range(80)]
    values = [RANDOM.randbytes(size) for size in sizes]
    with IPFSStore(kubo.url, offline=True) as store, IPFSStore(kubo.url, offline=True) as other:
        with ThreadPoolExecutor(4) as pool:
            sent = list(pool.map(store.put_raw, values))
        store.flush()
        assert [data for _, data in other.get_blocks(sent)] == values
        assert list(other.has_blocks(sent)) == [True] * len(sent)
        assert [other.block_size(cid) for cid in sent[:20]] == sizes[:20]
    kubo.empty()


def test_a_node_that_dies_while_it_is_written_to(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes soon, nothing is lost, and when the node is back a second flush finishes the work."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.0)
    store = IPFSStore(own.url, offline=True, timeout=60)
    sent = [store.put_raw(data) for data in LARGE[:12]]
    own.kill()
    taken: list[Any] = []
    for data in LARGE[12:]:
        try:
            taken.append(store.put_raw(data))
        except BackendUnavailableError as error:
            assert "start one with `ipfs daemon`" in str(error) or "did not reach" in str(error)  # noqa: PT017  # one of two good ends
    for _ in range(2):
        with pytest.raises(BackendUnavailableError):
            store.flush()
    own.start()
    root = store.put([*sent, *taken])
    store.persist(root)
    own.kill()
    own.start()
    with IPFSStore(own.url, offline=True) as other:
        assert [data for _, data in other.get_blocks(sent)] == LARGE[:12]
        assert all(other.has_blocks(taken))
        assert (root, "") in set(other.pins())


def test_memory_is_bounded(kubo: Any) -> None:
    """160 MiB go through a process that holds a few CARs at most."""
    code = """
        import os, resource, sys
        from ipld_castore import IPFSStore
        with IPFSStore(sys.argv[1], offline=True, in_flight=2) as store:
            store.put_raw(b"warm")
            store.flush()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for number in range(160):
                store.put_raw(os.urandom(1 << 20))
            store.flush()
            print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
    """
    pytest.importorskip("resource", reason="no such figures here")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), kubo.url], capture_output=True, text=True, check=True
    )
    kubo.empty()
    # Three CARs of 16 MiB, and what the interpreter and the sockets make of them.
    assert int(done.stdout) < 3 * 16 + 32, done.stdout


def test_what_is_not_flushed_is_not_there(kubo: Any) -> None:
    """Until then it is only here: another store does not have it."""
    store, other = IPFSStore(kubo.url, offline=True), IPFSStore(kubo.url, offline=True)
    cid = store.put(b"not yet")
    assert cid in store
    assert cid not in other
    store.close()
    assert other.get(cid) == b"not yet"
    assert [bytes(each)[2:] for each in store] == [bytes(cid)[2:]]  # listing sends, too
    kubo.empty()


def test_a_deleted_block_does_not_come_back(kubo: Any) -> None:
    """A block that was on its way to the node stays deleted too."""
    with IPFSStore(kubo.url, offline=True) as store:
        cid = store.put(b"gone")
        store.delete_block(cid)
        store.flush()
        assert cid not in store


@pytest.mark.parametrize("in_flight", [0, -1])
def test_at_least_one_car_is_under_way(in_flight: int) -> None:
    with pytest.raises(ValueError, match="at least 1 CAR in flight"):
        IPFSStore(in_flight=in_flight)


def test_connections_are_kept(kubo: Any) -> None:
    """A call does not open one of its own, so the node's ports last."""
    with IPFSStore(kubo.url, offline=True) as store:
        cid = store.put(b"x" * 5000)
        root = store.put([cid])
        store.flush()
        for _ in range(20):
            store.get(cid)
            assert cid in store
            assert len(list(store.get_dag(root))) == 2
        assert _ipfs.CAR_BYTES == 16 << 20
        assert store._rpc._client._connections.value.routes[kubo.url, False].pool.num_connections <= 3
    kubo.empty()
