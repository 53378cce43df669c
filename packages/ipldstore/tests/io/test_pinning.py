"""A dataset, or a repository with its history, is pinned at a service, by whatever names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ipldstore
import pytest
from ipld_castore import PinFailedError, PinRefusedError, PinTimeoutError
from ipld_castore.testing import PinningServer, faults
from ipldstore import IPLDStore, IPLDStoreError, PinningService, Repository


@pytest.fixture
def server() -> Iterator[PinningServer]:
    with PinningServer() as server:
        yield server


@pytest.fixture
def service(server: PinningServer) -> Iterator[PinningService]:
    with PinningService(server.url, server.token, retries=0) as service:
        yield service


def test_datasets(service: PinningService, tmp_path: Path) -> None:
    """By store, file, folder, CID and text: what is pinned is the root; a store's changes are frozen first."""
    store = IPLDStore()
    store["a/0"] = b"chunk"
    kept = ipldstore.pin(store, service, name="air", meta={"app_id": "7"}, origins=["/ip4/192.0.2.1/tcp/4001"])
    assert not store.has_changes
    root = store.freeze()
    assert (kept.status, kept.cid, kept.name, kept.meta) == ("pinned", root, "air", {"app_id": "7"})
    assert kept.origins == ("/ip4/192.0.2.1/tcp/4001",)
    assert kept.delegates
    for place in (tmp_path / "air.car", tmp_path / "folder"):
        with ipldstore.open(place, "a") as opened:
            opened["a/0"] = b"chunk"
        assert ipldstore.pin(place, service).cid == root
        assert ipldstore.pin(str(place), service, wait=False).status == "queued"
    for named in (root, str(root), f"ipfs://{root}"):
        assert ipldstore.pin(named, service).cid == root
    with ipldstore.open(tmp_path / "air.car", "a") as opened:
        opened["g/b/0"] = b"in a group"
        group = opened.subtree("g")
    with pytest.raises(ValueError, match=r"the group 'g' of one: IPLDStore\.subtree"):
        ipldstore.pin(f"{tmp_path / 'air.car'}#g", service)
    assert ipldstore.pin(group, service).cid == group


def test_repositories(service: PinningService, tmp_path: Path) -> None:
    """Without a version the state is pinned, which has all of the history; with one, the dataset."""
    with Repository.create(tmp_path / "repo") as repo:
        with repo.transaction(message="one") as store:
            store["a/0"] = b"chunk"
        repo.create_tag("v1")
        with repo.transaction(message="two") as store:
            store["a/0"] = b"another"
        assert ipldstore.pin(repo, service).cid == repo.cid
        state = repo.cid
    assert ipldstore.pin(tmp_path / "repo", service).cid == state
    tagged = ipldstore.pin(f"{tmp_path / 'repo'}@v1", service).cid
    with ipldstore.open(tmp_path / "repo", tag="v1") as store:
        assert tagged == store.root_cid


def test_errors(server: PinningServer, service: PinningService, tmp_path: Path) -> None:
    """All are the package's own, which zarr takes for no absent key; the request is in the cause."""
    root = IPLDStore().freeze()
    server.steps = ("failed",)
    with pytest.raises(IPLDStoreError, match=f"pinning {root}.*no peer has the blocks") as caught:
        ipldstore.pin(root, service)
    assert isinstance(caught.value.__cause__, PinFailedError)
    server.steps = ("pinning",)
    with pytest.raises(IPLDStoreError, match="found it pinning") as caught:
        ipldstore.pin(root, service, timeout=0)
    assert isinstance(caught.value.__cause__, PinTimeoutError)
    assert not isinstance(caught.value, OSError)
    server.inject(faults.pinning_error(409, "INSUFFICIENT_FUNDS"))
    with pytest.raises(IPLDStoreError, match="INSUFFICIENT_FUNDS") as caught:
        ipldstore.pin(root, service)
    assert isinstance(caught.value.__cause__, PinRefusedError)
    server.inject(faults.status(503, "later"))
    with pytest.raises(ipldstore.StoreUnavailableError, match="503"):
        ipldstore.pin(root, service)
    with pytest.raises(ValueError, match="255"):
        ipldstore.pin(root, service, name="x" * 256)
    with pytest.raises(FileNotFoundError):
        ipldstore.pin(tmp_path / "none.car", service)


def test_the_bar(service: PinningService, capsys: pytest.CaptureFixture[str]) -> None:
    root = IPLDStore().freeze()
    ipldstore.pin(root, service)
    assert capsys.readouterr().err == "", "no terminal"
    ipldstore.pin(root, service, progress=True)
    shown = capsys.readouterr().err
    assert shown.index("0/2") < shown.index("1/2") < shown.index("2/2")
    assert "queued" in shown
    assert "pinned" in shown


def test_a_node_is_told_and_connected(server: PinningServer, service: PinningService) -> None:
    """The service gets the addresses of the node that has the blocks, and the node those of the service."""
    store = IPLDStore(ipldstore.IPFSStore(server.url))
    store["a/0"] = b"chunk"
    store.freeze()
    server.forget()
    kept = ipldstore.pin(store, service)
    assert kept.status == "pinned"
    assert [each.rpartition("/p2p/")[0] for each in kept.origins] == [
        "/ip4/192.0.2.1/tcp/4001",
        "/ip4/192.0.2.2/tcp/4001",
    ]
    (connected,) = [each for each in server.requests if each.path.endswith("swarm/connect")]
    assert connected.query["arg"] == server.delegates
    assert ipldstore.pin(store, service, origins=[]).origins == ()
    server.inject(faults.error_with_message("failure: dial backoff"), where="swarm/connect")
    assert ipldstore.pin(store, service).status == "pinned", "the service may reach the node all the same"
