"""Names without a node: records from gateways and domains from the DNS, the newest right one counts."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from ipld_castore import (
    BackendUnavailableError,
    BlockNotFoundError,
    GatewayCAStore,
    IPFSStore,
    NameRefusedError,
    find_ipfs,
    resolve_name,
)

pytest.importorskip("cryptography", reason="the extra ipns is not installed")
pytest.importorskip("dns.message", reason="the extra ipns is not installed")

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
from ipld_castore._network import ipns_record, resolve

from ..support.ipns_records import VALUE, Owner, record, said
from ..support.kubo_node import Node

CID = VALUE.decode().removeprefix("/ipfs/")
RECORD_TYPE = "application/vnd.ipfs.ipns-record"


class Server(ThreadingHTTPServer):
    """Answers of an HTTP server by path, and how often each was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, str, bytes]] = {}
        self.other: Callable[[str], tuple[int, str, bytes]] = lambda _: (404, "text/plain", b"not found")
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def has(self, owner: Owner, data: bytes, *, status: int = 200, kind: str = RECORD_TYPE) -> None:
        self.answers[f"/ipns/{owner.name}?format=ipns-record"] = (status, kind, data)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, kind, data = self.server.answers.get(self.path) or self.server.other(self.path)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    """Two gateways."""
    made = [Server(), Server()]
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}) for server in made]
    for thread in threads:
        thread.start()
    yield made
    for server, thread in zip(made, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def resolved(servers: list[Server], name: str, **options: Any) -> Any:
    return resolve_name(name, gateways=[server.url for server in servers], retries=0, **options)


def test_a_record_of_a_gateway(servers: list[Server]) -> None:
    owner = Owner()
    servers[1].has(owner, record(owner, said(Value=VALUE + b"/a/b")))
    found = resolved(servers, owner.name)
    assert (str(found.cid), found.path, found.name) == (CID, ("a", "b"), owner.name)
    assert found.steps == (f"/ipns/{owner.name}", f"/ipfs/{CID}/a/b")


def test_the_newest_record_counts(servers: list[Server]) -> None:
    """Also beside one that another gateway has, and one that was seen before: no gateway can go back."""
    owner = Owner()
    old, new = (record(owner, said(Sequence=number, Value=VALUE + b"/%d" % number)) for number in (7, 8))
    servers[0].has(owner, new)
    servers[1].has(owner, old)
    assert resolved(servers, owner.name).path == ("8",)
    servers[0].has(owner, old)
    assert resolved(servers, owner.name).path == ("8",)
    servers[0].answers.clear()
    servers[1].answers.clear()
    assert resolved(servers, owner.name).path == ("8",)


def test_a_name_of_a_name(servers: list[Server]) -> None:
    first, second = Owner(), Owner("rsa")
    servers[0].has(first, record(first, said(Value=f"/ipns/{second.name}/b".encode())))
    servers[1].has(second, record(second, said(Value=VALUE + b"/a"), key=second.public))
    assert resolved(servers, first.name).path == ("a", "b")


def test_names_in_a_circle(servers: list[Server]) -> None:
    first, second = Owner(), Owner()
    servers[0].has(first, record(first, said(Value=f"/ipns/{second.name}".encode())))
    servers[0].has(second, record(second, said(Value=f"/ipns/{first.name}".encode())))
    with pytest.raises(NameRefusedError, match="more than 32 names"):
        resolved(servers[:1], first.name)


def test_records_that_are_not_right(servers: list[Server]) -> None:
    owner, other = Owner(), Owner()
    over = said(Validity=b"2020-01-01T00:00:00Z")
    for wrong in (record(other, said()), record(owner, over), b"", b"\xff" * 100):
        servers[0].has(owner, wrong)
        with pytest.raises(NameRefusedError, match=r"no gateway has a right record of k51.*127.0.0.1"):
            resolved(servers, owner.name)
    servers[1].has(owner, record(owner, said()))
    assert str(resolved(servers, owner.name).cid) == CID


def test_answers_that_are_no_records(servers: list[Server]) -> None:
    owner = Owner()
    servers[0].has(owner, record(owner, said()), kind="text/html")
    with pytest.raises(BackendUnavailableError, match="text/html"):
        resolved(servers, owner.name)
    servers[0].has(owner, b"\0" * ((10 << 10) + 1))
    with pytest.raises(BackendUnavailableError, match="at most 10240 bytes"):
        resolved(servers, owner.name)
    servers[0].has(owner, record(owner, said()), status=500)
    with pytest.raises(BackendUnavailableError, match="HTTP 500"):
        resolved(servers, owner.name)
    servers[0].answers.clear()
    with pytest.raises(BlockNotFoundError, match="no gateway has a record"):
        resolved(servers, owner.name)


@pytest.mark.parametrize("value", ["/ipfs/", "/ipfs/nothing", "bafkqaaa", "/other/bafkqaaa", "/ipfs/bafkqaaa/../b", ""])
def test_records_that_point_nowhere(value: str, servers: list[Server]) -> None:
    owner = Owner()
    servers[0].has(owner, record(owner, said(Value=value.encode())))
    with pytest.raises(NameRefusedError, match="to point to"):
        resolved(servers, owner.name)


def test_a_record_that_ends_is_forgotten(servers: list[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        ahead = timedelta(0)

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + cls.ahead

    monkeypatch.setattr(resolve, "datetime", Clock)
    monkeypatch.setattr(ipns_record, "datetime", Clock)
    owner = Owner()
    soon = datetime.now(UTC) + timedelta(hours=1)
    text = soon.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
    servers[0].has(owner, record(owner, said(Validity=text, Sequence=9)))
    servers[1].has(owner, record(owner, said(Sequence=1, Value=VALUE + b"/old")))
    assert resolved(servers, owner.name).path == ()
    Clock.ahead = timedelta(hours=2)
    assert resolved(servers, owner.name).path == ("old",)


# -- domains --


class NameServer:
    """A DNS server on loopback, which has TXT records."""

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.aliases: dict[str, str] = {}
        self.code = dns.rcode.NOERROR
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def answer(self, wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        name = query.question[0].name
        while (alias := self.aliases.get(name.to_text())) is not None:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", alias))
            name = reply.answer[-1][0].target
        texts = self.records.get(name.to_text())
        reply.set_rcode(dns.rcode.NXDOMAIN if texts is None and not self.code else self.code)
        if texts:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *[f'"{text}"' for text in texts]))
        return bytes(reply.to_wire())

    def _serve(self) -> None:
        while True:
            wire, address = self.socket.recvfrom(4096)
            if wire == b"end":
                return
            self.socket.sendto(self.answer(wire), address)

    def close(self) -> None:
        self.socket.sendto(b"end", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """A DNS server that this process asks."""
    made = NameServer()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = made.socket.getsockname()[1]
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    monkeypatch.delenv("IPLD_DOH", raising=False)
    yield made
    made.close()


@pytest.fixture(params=["system", "argument", "variable"])
def ask(
    request: pytest.FixtureRequest, servers: list[Server], name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Any]:
    """Resolve a name by this machine's resolver, and by DNS over HTTPS."""

    def over_https(path: str) -> tuple[int, str, bytes]:
        text = path.partition("dns=")[2]
        return (
            200,
            "application/dns-message",
            name_server.answer(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))),
        )

    servers[1].other = over_https
    doh = f"{servers[1].url}/dns-query"
    if request.param == "variable":
        monkeypatch.setenv("IPLD_DOH", doh)

    def resolve(name: str) -> Any:
        return resolved(servers[:1], name, **({"doh": doh} if request.param == "argument" else {}))

    return resolve


def test_a_domain(ask: Callable[[str], Any], name_server: NameServer) -> None:
    name_server.records["_dnslink.data.example."] = ["v=spf1 -all", f"dnslink=/ipfs/{CID}/a", "dnslink=/zzz/x"]
    found = ask("data.example")
    assert (str(found.cid), found.path) == (CID, ("a",))
    assert found.steps == ("/ipns/data.example", f"/ipfs/{CID}/a")


def test_a_domain_with_an_alias(ask: Callable[[str], Any], name_server: NameServer) -> None:
    name_server.aliases["_dnslink.www.example."] = "_dnslink.data.example."
    name_server.records["_dnslink.data.example."] = [f"dnslink=/ipfs/{CID}"]
    assert str(ask("www.example").cid) == CID


def test_a_domain_of_a_key(ask: Callable[[str], Any], name_server: NameServer, servers: list[Server]) -> None:
    owner = Owner()
    name_server.records["_dnslink.data.example."] = [f"dnslink=/ipns/{owner.name}/b"]
    servers[0].has(owner, record(owner, said(Value=VALUE + b"/a")))
    assert ask("data.example").path == ("a", "b")


def test_of_several_links_the_first_as_text(ask: Callable[[str], Any], name_server: NameServer) -> None:
    name_server.records["_dnslink.data.example."] = [f"dnslink=/ipfs/{CID}/b", f"dnslink=/ipfs/{CID}/a"]
    assert ask("data.example").path == ("a",)


def test_a_domain_without_a_link(ask: Callable[[str], Any], name_server: NameServer) -> None:
    name_server.records["_dnslink.data.example."] = ["dnslink=bafkqaaa", "other"]
    for domain in ("data.example", "gone.example"):
        with pytest.raises(BlockNotFoundError, match=r"expected a TXT record dnslink=/ipfs/CID at _dnslink\."):
            ask(domain)


def test_a_name_server_that_cannot(ask: Callable[[str], Any], name_server: NameServer) -> None:
    name_server.code = dns.rcode.SERVFAIL
    with pytest.raises(BackendUnavailableError, match=r"cannot look up the domain 'data\.example'"):
        ask("data.example")


def test_what_is_no_name(ask: Callable[[str], Any]) -> None:
    for text in ("a" * 64 + ".example", "a..b", "x" * 300):
        with pytest.raises(NameRefusedError, match="an IPNS name or a domain"):
            ask(text)


# -- where blocks are asked for --


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """A machine without a node or gateways."""
    for variable in ("IPFS_PATH", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.delenv("IPFS_GATEWAY", raising=False)
    monkeypatch.setattr("ipld_castore._kubo.address.DEFAULT_URL", "http://127.0.0.1:9")
    return tmp_path


@pytest.mark.usefixtures("nowhere")
def test_without_a_node_gateways_are_asked(monkeypatch: pytest.MonkeyPatch, nowhere: Any) -> None:
    found = find_ipfs()
    assert isinstance(found, GatewayCAStore)
    assert found.urls == ["https://trustless-gateway.link", "https://ipfs.io", "https://dweb.link"]
    (nowhere / "HOME" / ".ipfs").mkdir(parents=True)
    (nowhere / "HOME" / ".ipfs" / "gateway").write_text("http://10.0.0.1:8080\n")
    assert find_ipfs().address == "http://10.0.0.1:8080"
    monkeypatch.setenv("IPFS_GATEWAY", "http://10.0.0.2")
    assert find_ipfs().address == "http://10.0.0.2"
    assert find_ipfs(gateways=["http://10.0.0.3"]).address == "http://10.0.0.3"
    with pytest.raises(BackendUnavailableError, match="no IPFS node answers"):
        find_ipfs(node=True)
    with pytest.raises(ValueError, match="a node or gateways"):
        find_ipfs(node=True, gateways="http://10.0.0.3")
    monkeypatch.setenv("IPFS_GATEWAY", "no url")
    with pytest.raises(ValueError, match=r"\$IPFS_GATEWAY"):
        find_ipfs()


# -- a real node --


@pytest.fixture
def offline_kubo(kubo_binary: str, tmp_path: Path) -> Iterator[Node]:
    """A node whose gateway serves the records that it has itself, as it asks nobody else."""
    node = Node(kubo_binary, tmp_path / "kubo")
    node.start("--offline")
    yield node
    node.stop()


@pytest.mark.kubo
def test_records_of_a_real_node(offline_kubo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of the node, and of its gateway by signed records, for keys of both kinds that it makes."""
    kubo = offline_kubo
    store = IPFSStore(kubo.url, pin=False, timeout=10)
    root = store.put({"a": 1})
    store.flush()
    gateway = (kubo.repo / "gateway").read_text().strip()
    monkeypatch.setenv("IPFS_PATH", str(kubo.repo))
    for kind in ("ed25519", "rsa"):
        kubo.run("key", "gen", f"--type={kind}", f"records-{kind}")
        name = store.publish(f"records-{kind}", root)
        by_node, by_record = resolve_name(name), resolve_name(name, gateways=gateway)
        assert by_node.cid == by_record.cid == root
        other = store.put({"a": kind})
        store.publish(f"records-{kind}", other)
        assert resolve_name(name, gateways=gateway).cid == other
    with pytest.raises(BlockNotFoundError, match="no gateway has a record"):
        resolve_name(Owner().name, gateways=gateway)
    assert isinstance(find_ipfs(), IPFSStore)
    assert find_ipfs(node=False).address.rstrip("/") == gateway.rstrip("/")
