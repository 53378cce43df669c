"""Retry-After in both of its forms, and in forms that it does not have, from gateways and proxies."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ipld_castore import GatewayCAStore, IPFSStore
from ipld_castore._core import pauses
from ipld_castore._gateway import retry
from ipld_castore._http.response import Response
from ipld_castore._kubo import rpc
from ipld_castore.testing import BlockServer, faults
from urllib3 import HTTPResponse

ODD = [
    "Mon, 01 Jan 99999 00:00:00 GMT",
    "Thu, 99 Foo 2099 99:99:99 GMT",
    "9" * 5000,
    "-1",
    "1.5",
    "\N{SUPERSCRIPT TWO}",
    "",
]


@pytest.mark.parametrize("text", ODD)
def test_what_is_no_time_is_none(text: str) -> None:
    assert Response(HTTPResponse(headers={"Retry-After": text}), 1.0).retry_after is None


@pytest.mark.parametrize("text", ["Mon, 99999999999999999999 Jan 2026 00:00:00 GMT", "1 Jan 2026 00:00:00 +99999999"])
def test_dates_that_no_calendar_has(text: str) -> None:
    """Whatever urllib3 makes of them is no error, and no negative pause."""
    assert (Response(HTTPResponse(headers={"Retry-After": text}), 1.0).retry_after or 0) >= 0


def test_seconds_and_dates() -> None:
    for text, seconds in (("7", 7.0), (" 0 ", 0.0), ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0)):
        assert Response(HTTPResponse(headers={"Retry-After": text}), 1.0).retry_after == seconds
    assert Response(HTTPResponse(), 1.0).retry_after is None


@pytest.mark.parametrize("kind", [GatewayCAStore, IPFSStore])
@pytest.mark.parametrize("text", ODD[:4])
def test_a_server_that_names_no_time(kind: type[GatewayCAStore | IPFSStore], text: str) -> None:
    """It is asked again after the usual pause; whatever it sent is no error of its own."""
    with BlockServer() as server, kind(server.url) as store:
        cid = server.blocks.put(b"here")
        server.inject(faults.status(429, Retry_After=text))
        assert store.get(cid) == b"here"


@pytest.mark.parametrize("kind", [GatewayCAStore, IPFSStore])
def test_a_date_is_waited_for(kind: type[GatewayCAStore | IPFSStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds until the date pass before the second request."""
    slept: list[float] = []
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(rpc, "sleep", slept.append)
    monkeypatch.setattr(retry, "sleep", slept.append)
    monkeypatch.setattr(retry, "time", SimpleNamespace(monotonic=lambda: 0.0))
    with BlockServer() as server, kind(server.url) as store:
        cid = server.blocks.put(b"here")
        server.inject(faults.too_many_requests(1000, as_date=True))
        assert store.get(cid) == b"here"
        assert len(server.requests) == 2
    assert slept == [60.0]  # the most: how long ago the date was written does not matter
