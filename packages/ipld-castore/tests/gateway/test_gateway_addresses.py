"""GatewayCAStore: which gateways it asks, given or found, and what it refuses to take for one."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest
from ipld_castore import BackendUnavailableError, BlockNotFoundError, GatewayCAStore
from ipld_castore.testing import BlockServer, faults

from ..support.remote import ABSENT


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any gateway."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("IPFS_GATEWAY", "IPFS_PATH", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.usefixtures("home")
def test_no_gateway_is_asked_unless_it_is_named() -> None:
    """Least of all a public one."""
    if Path("/etc/ipfs/gateway").exists():
        pytest.skip("this machine has a gateway of its own")
    with pytest.raises(ValueError, match="No public gateway is asked"):
        GatewayCAStore()


def test_the_places_in_their_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store looks for gateways where https://specs.ipfs.tech/ipips/ipip-0280/ says."""

    def write(folder: Path, text: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gateway").write_text(text)

    write(home / ".config" / "ipfs", "http://config.example\n")
    assert GatewayCAStore().urls == ["http://config.example"]
    write(home / "xdg" / "ipfs", "# two of them\nhttp://xdg.example/\n\nhttps://second.example\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert GatewayCAStore().urls == ["http://xdg.example", "https://second.example"]
    write(home / ".ipfs", "http://home.example")
    assert GatewayCAStore().urls == ["http://home.example"]
    write(home / "repo", "http://127.0.0.1:8080\n")
    monkeypatch.setenv("IPFS_PATH", str(home / "repo"))
    assert GatewayCAStore().urls == ["http://127.0.0.1:8080"]
    monkeypatch.setenv("IPFS_GATEWAY", "https://environment.example")
    assert GatewayCAStore().urls == ["https://environment.example"]
    assert GatewayCAStore("https://argument.example").urls == ["https://argument.example"]
    write(home / "repo", "/ip4/127.0.0.1/tcp/8080")
    monkeypatch.delenv("IPFS_GATEWAY")
    with pytest.raises(ValueError, match=r"found something else in .*gateway"):
        GatewayCAStore()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway.example",
        "ftp://gateway.example",
        "/ip4/127.0.0.1/tcp/8080",
        "http://",
        "http://a:b@h:x",
        "http://h?q",
    ],
)
def test_what_is_no_url(url: str) -> None:
    """The error does not repeat it: there may be a password in it."""
    with pytest.raises(ValueError, match="expected the URL of a gateway") as caught:
        GatewayCAStore(url)
    assert "a:b" not in str(caught.value)


def test_the_url_of_a_block_is_not_that_of_a_gateway() -> None:
    """As a browser shows it; every block was then "not found". What the text holds of secrets is not repeated."""
    with pytest.raises(ValueError, match=r"a gateway, https://host\.example/base, found") as caught:
        GatewayCAStore("https://me:secret@host.example/base/ipfs/bafkqaaa/a")
    assert "secret" not in str(caught.value)
    assert GatewayCAStore("https://host.example/ipfs/v1").urls == ["https://host.example/ipfs/v1"]


def test_numbers_that_make_no_sense() -> None:
    for bad in ({"timeout": 0}, {"timeout": -1}, {"retries": -1}, {"token": "a b"}, {"token": "a\nb"}, {"token": ""}):
        with pytest.raises(ValueError, match="expected"):
            GatewayCAStore("http://gateway.example", **bad)
    with pytest.raises(ValueError, match="empty list"):
        GatewayCAStore([])
    with pytest.raises(ValueError, match="one gateway to send the token to"):
        GatewayCAStore(["http://a.example", "http://b.example"], token="secret")  # noqa: S106  # of nobody


def test_a_gateway_below_a_path(server: BlockServer) -> None:
    with GatewayCAStore(f"{server.url}/some/where/ipfs/") as store:
        assert store.urls == [f"{server.url}/some/where"]
        with pytest.raises(BlockNotFoundError):
            store.get(ABSENT)
    assert server.requests[0].path == f"/some/where/ipfs/{ABSENT}"


def test_secrets_go_into_requests_and_no_text(server: BlockServer, caplog: pytest.LogCaptureFixture) -> None:
    """A token, and user and password of the URL; also where it fails, and through a pickle."""
    cid = server.blocks.put(b"block")
    caplog.set_level(logging.DEBUG)
    with_password = server.url.replace("//", "//me:s3cr%2Ft@")
    told = ""
    for store, header in (
        (GatewayCAStore(server.url, token="s3cr/t"), "Bearer s3cr/t"),  # noqa: S106  # of nobody
        (GatewayCAStore(with_password), "Basic bWU6czNjci90"),
    ):
        with store, pickle.loads(pickle.dumps(store)) as copy:  # noqa: S301  # our own
            assert copy == store
            assert hash(copy) == hash(store)
            for each in (store, copy):
                assert each.get(cid) == b"block"
                assert server.requests[-1].headers["authorization"] == header
                server.inject(faults.status(403, "forbidden"))
                with pytest.raises(BackendUnavailableError, match="credentials") as caught:
                    each.get(cid)
                told += f"{each!r} {each.address} {each.urls} {caught.value!r} {caught.value.__cause__!r}"
    assert "s3cr" not in told + caplog.text
    assert "bWU6" not in told + caplog.text


def test_a_proxy_is_for_what_is_not_on_this_machine(server: BlockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway elsewhere is reached through the one that the environment names; one here is not."""
    cid = server.blocks.put(b"block")
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with GatewayCAStore(server.url) as store:
        assert store.get(cid) == b"block"
    with GatewayCAStore("http://gateway.invalid", timeout=5) as store:
        assert store.get(cid) == b"block"
    assert server.requests[-1].headers["host"] == "gateway.invalid"
