"""Pins, names and what is kept, on a real Kubo node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ipld_car import cids, hashes
from ipld_castore import (
    BackendUnavailableError,
    BlockNotFoundError,
    IPFSStore,
    SupportsDelete,
    SupportsHead,
    SupportsList,
    SupportsNames,
    SupportsPin,
)
from ipld_castore._kubo import pins
from multiformats import CID

pytestmark = pytest.mark.kubo


@pytest.fixture
def node(kubo: Any) -> Iterator[Any]:
    yield kubo
    kubo.empty()


def store_at(node: Any, pin: bool | str = True, timeout: float = 10) -> IPFSStore:
    return IPFSStore(node.url, pin=pin, timeout=timeout, offline=True)


def absent(data: bytes) -> CID:
    return cids.from_bytes(cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, data)))


def versions(store: IPFSStore, count: int = 3) -> list[CID]:
    """Roots that share most of what is below them."""
    same = [store.put([store.put(b"%d of %d" % (leaf, node)) for leaf in range(20)]) for node in range(5)]
    return [store.put({"same": same, "new": store.put(b"version %d" % number)}) for number in range(count)]


def test_keeping_pins_the_root(node: Any) -> None:
    """Garbage collection on the node keeps all that the root reaches, and deletes what no pin reaches."""
    with store_at(node) as store:
        other = store.put(b"nobody keeps this")
        (root,) = versions(store, 1)
        store.persist(root)
        assert dict(store.pins()) == {root: ""}
        archive = store.to_car(root)
        node.run("repo", "gc", "--quiet")
        assert store.to_car(root) == archive
        assert other not in store
        store.unpin(root)
        store.unpin(root)
        assert dict(store.pins()) == {}
        node.run("repo", "gc", "--quiet")
        assert root not in store


def test_every_root_without_a_name_stays(node: Any) -> None:
    """Older roots stay pinned, and persisting a root again changes nothing."""
    with store_at(node) as store:
        first, second, third = versions(store)
        store.persist(first)
        store.persist(second, first)
        store.persist(second, first)
        store.persist(third, second)
        store.persist(first, third)
        assert set(store.pins()) == {(first, ""), (second, ""), (third, "")}


def test_a_name_moves_from_root_to_root(node: Any) -> None:
    with store_at(node, pin="weather") as store:
        first, second, third = versions(store)
        store.persist(first)
        assert set(store.pins()) == {(first, "weather")}
        store.persist(second, first)
        assert set(store.pins()) == {(second, "weather")}
        store.persist(second, first)
        assert set(store.pins()) == {(second, "weather")}
        store.persist(third)  # without the root before
        assert set(store.pins()) == {(second, "weather"), (third, "weather")}
        store.persist(third, second)
        assert set(store.pins()) == {(third, "weather")}


def test_pins_of_others_are_left_alone(node: Any) -> None:
    """A pin of another name neither moves nor lends its name."""
    with store_at(node) as store, store_at(node, pin="mine") as mine:
        first, second, third = versions(store)
        store.flush()
        store.pin(first, "theirs")
        store.persist(second, first)
        assert set(store.pins()) == {(first, "theirs"), (second, "")}
        mine.persist(third, first)
        assert set(store.pins()) == {(first, "theirs"), (second, ""), (third, "mine")}


def test_without_pins_nothing_is_pinned(node: Any) -> None:
    with store_at(node, pin=False) as store:
        (root,) = versions(store, 1)
        store.persist(root)
        assert dict(store.pins()) == {}
        assert root in store_at(node)


def test_the_next_root_is_pinned_by_what_differs(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """pin/update: after an append the node does not walk through everything again."""

    def never(*_: object) -> None:
        raise AssertionError("pin/add")

    with store_at(node) as store:
        first, second, _ = versions(store)
        store.persist(first)
        monkeypatch.setattr(pins, "add", never)
        store.persist(second, first)
        assert set(store.pins()) == {(first, ""), (second, "")}


@pytest.mark.parametrize("with_previous", [False, True])
def test_a_root_above_a_lost_block_is_not_kept(node: Any, *, with_previous: bool) -> None:
    """It is an error within the timeout, not a hang nor a pin, and when the block is there the next call works."""
    with store_at(node) as store, store_at(node, timeout=0.3) as hasty:
        (first,) = versions(store, 1)
        store.persist(first)
        root = store.put({"lost": absent(b"found again"), "same": first})
        store.flush()
        with pytest.raises(BackendUnavailableError, match=f"did not pin {root}: after \\d+ blocks it found no more"):
            hasty.persist(root, first if with_previous else None)
        assert set(store.pins()) == {(first, "")}
        with pytest.raises(BlockNotFoundError, match=f"lacks a block below {root}"):
            hasty.check_dag(root)
        store.put(b"found again")
        store.persist(root, first if with_previous else None)
        assert set(store.pins()) == {(first, ""), (root, "")}
        store.check_dag(root)


def test_a_root_that_is_not_there_is_not_kept(node: Any) -> None:
    with store_at(node) as store, store_at(node, timeout=0.3) as hasty:
        with pytest.raises(BackendUnavailableError):
            hasty.persist(absent(b"nobody has this"))
        with pytest.raises(BlockNotFoundError):
            hasty.check_dag(absent(b"nobody has this"))
        assert dict(store.pins()) == {}


def test_a_pin_name_that_the_node_refuses(node: Any) -> None:
    with store_at(node, pin="x" * 300) as store, pytest.raises(BackendUnavailableError, match="pin"):
        store.persist(store.put(b"x"))


# -- names --


def test_a_name_points_to_what_was_published_last(node: Any) -> None:
    """By the key's name at the node, and by the name that others know."""
    with store_at(node) as store:
        first, second, _ = versions(store)
        told = store.publish("weather", first)
        assert told.startswith("k51")
        assert store.resolve("weather") == store.resolve(told) == store.resolve(f"/ipns/{told}") == first
        assert store.publish("weather", str(second)) == told
        assert store.resolve("weather") == second
        assert store.publish("other", first) != told
        assert store.resolve("other") == first


def test_names_that_point_to_nothing(node: Any) -> None:
    """A key that never published, an unknown name and an invalid name are errors within the timeout."""
    node.run("key", "gen", "unused")
    with store_at(node, timeout=2) as store:
        for name in ("unused", "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8", "no such name"):
            with pytest.raises(BlockNotFoundError, match=f"no root at the name '{name}'"):
                store.resolve(name)


def test_what_a_node_can_do() -> None:
    """A node has pins and names and no head."""
    store = IPFSStore()
    for capability in (SupportsList, SupportsDelete, SupportsPin, SupportsNames):
        assert isinstance(store, capability)
    assert not isinstance(store, SupportsHead)


def test_a_node_has_addresses_and_peers(node: Any) -> None:
    """A service for pins is told the ones and connected to the others; a peer that is not there is an error."""
    with store_at(node) as store:
        assert all(each.startswith("/") for each in store.peer_addresses())
        store.connect([])
        nobody = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWJvw3wPcmFcUPQxLQNu1m1xqGmQRLXYGyVHRYhNDYGGJB"
        with pytest.raises(BackendUnavailableError, match="swarm/connect"):
            store.connect([nobody])
