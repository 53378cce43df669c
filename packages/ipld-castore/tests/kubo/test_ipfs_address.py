"""Where IPFSStore looks for its node."""

from __future__ import annotations

from pathlib import Path

import pytest
from ipld_castore import IPFSStore
from ipld_castore.testing import BlockServer


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:5001", "http://127.0.0.1:5001"),
        ("http://127.0.0.1:5001/", "http://127.0.0.1:5001"),
        ("http://127.0.0.1:5001/api/v0/", "http://127.0.0.1:5001"),
        ("127.0.0.1:5001", "http://127.0.0.1:5001"),
        ("localhost:5001", "http://localhost:5001"),
        ("node.example", "http://node.example"),
        ("https://Node.Example/ipfs/", "https://node.example/ipfs"),
        ("http://[::1]:5001", "http://[::1]:5001"),
        ("https://me:pass@node.example:1234", "https://node.example:1234"),
        ("/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"),
        ("/ip4/0.0.0.0/tcp/5001", "http://127.0.0.1:5001"),
        ("/ip6/::1/tcp/5001", "http://[::1]:5001"),
        ("/ip6/::/tcp/5001/http", "http://[::1]:5001"),
        ("/dns4/node.example/tcp/443/https", "https://node.example:443"),
        ("/dns/node.example/tcp/443/tls/http", "https://node.example:443"),
    ],
)
def test_addresses(given: str, url: str) -> None:
    """In all forms that people have them in; stores of one address are equal, whatever its form."""
    store = IPFSStore(given)
    assert store.host == url
    assert store == IPFSStore(url)
    assert hash(store) == hash(IPFSStore(url))
    assert repr(store) == f"<IPFSStore: {url}>"
    assert store.address == url


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ftp://127.0.0.1:5001",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://host:5001/?x=1",
        "/ip4/127.0.0.1/udp/5001",
        "/ip4/127.0.0.1/tcp/5001/p2p/12D3KooWAjnftAAG6XQcVrK2wjpGs6anQDafA6eebJMXddz9U5cD",
        "/ip4/nonsense/tcp/5001",
        "/unix/tmp/socket",
        "/",
        "http://me:secret@[nonsense",
    ],
)
def test_what_is_no_address(given: str) -> None:
    """It is said at once, and not repeated, for there may be a password in it."""
    with pytest.raises(ValueError, match="expected the RPC address of an IPFS node as http://") as caught:
        IPFSStore(given)
    assert "secret" not in str(caught.value)


def test_the_file_of_a_running_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$IPFS_PATH before ~/.ipfs before the usual port; an argument before all."""
    home, repo = tmp_path / "home", tmp_path / "repo"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.delenv("IPFS_PATH", raising=False)
    assert IPFSStore().host == "http://127.0.0.1:5001"
    (home / ".ipfs").mkdir(parents=True)
    (home / ".ipfs" / "api").write_text("/ip4/127.0.0.1/tcp/1\n")
    assert IPFSStore().host == "http://127.0.0.1:1"
    monkeypatch.setenv("IPFS_PATH", str(repo))
    assert IPFSStore().host == "http://127.0.0.1:1"
    repo.mkdir()
    (repo / "api").write_text("/ip4/127.0.0.1/tcp/2")
    assert IPFSStore().host == "http://127.0.0.1:2"
    assert IPFSStore("127.0.0.1:3").host == "http://127.0.0.1:3"
    (repo / "api").write_text("")
    with pytest.raises(ValueError, match="api"):
        IPFSStore()


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_is_some_time(timeout: float) -> None:
    """Kubo would take 0 for no timeout, and a get for ever."""
    with pytest.raises(ValueError, match="more than 0 seconds"):
        IPFSStore(timeout=timeout)


@pytest.mark.parametrize(
    ("auth", "header"),
    [("bearer:to:ken", "Bearer to:ken"), ("basic:user:pass:word", "Basic dXNlcjpwYXNzOndvcmQ=")],
)
def test_credentials(auth: str, header: str) -> None:
    """Credentials are sent as ``ipfs --api-auth`` takes them, and are in neither the repr nor the address."""
    with BlockServer() as server, IPFSStore(server.url, auth=auth) as store:
        assert store.get(server.blocks.put(b"here")) == b"here"
        assert server.requests[-1].headers["authorization"] == header
        assert header not in repr(store) + store.address


@pytest.mark.parametrize("auth", ["", "secret", "basic:secret", "digest:secret:x", "bearer:", "bearer:sec\nret"])
def test_what_are_no_credentials(auth: str) -> None:
    """The text is not repeated."""
    with pytest.raises(ValueError, match="expected credentials as bearer:token or basic:user:password") as caught:
        IPFSStore("http://127.0.0.1:5001", auth=auth)
    assert "sec" not in str(caught.value)


def test_the_address_of_a_running_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``$IPFS_PATH/api`` comes first; a file with something else in it is named."""
    monkeypatch.setenv("IPFS_PATH", str(tmp_path))
    (tmp_path / "api").write_text("/ip4/127.0.0.1/tcp/5999\n")
    assert IPFSStore().host == "http://127.0.0.1:5999"
    (tmp_path / "api").write_text("/ip4/nonsense/tcp/5001")
    with pytest.raises(ValueError, match=str(tmp_path / "api")):
        IPFSStore()
