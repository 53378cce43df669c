"""Kubo's client of the pinning service API and ours agree on what a service is: both ask the server of the tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ipld_castore import IPFSStore, PinningService
from ipld_castore.testing import PinningServer

pytestmark = [pytest.mark.kubo, pytest.mark.usefixtures("short_pauses")]


@pytest.fixture
def server_of_both(kubo: Any) -> Iterator[PinningServer]:
    with PinningServer() as server:
        kubo.run("pin", "remote", "service", "add", "ours", server.url, server.token)
        yield server
        kubo.run("pin", "remote", "service", "rm", "ours")
    kubo.empty()


def listed(kubo: Any) -> list[dict[str, Any]]:
    statuses = "queued,pinning,pinned,failed"
    text = kubo.run("pin", "remote", "ls", "--service=ours", f"--status={statuses}", "--enc=json").decode()
    return [json.loads(line) for line in text.splitlines()]


def test_each_sees_the_pins_of_the_other(kubo: Any, server_of_both: PinningServer) -> None:
    with IPFSStore(kubo.url, offline=True) as store:
        cids = [store.put(b"one"), store.put(b"two")]
    with PinningService(server_of_both.url, server_of_both.token) as service:
        kept = service.pin(cids[0], name="of ours", meta={"app_id": "7"})
        kubo.run("pin", "remote", "add", "--service=ours", "--name=of kubo", "--background", str(cids[1]))
        assert {(each["Cid"], each["Name"]) for each in listed(kubo)} == {
            (str(cids[0]), "of ours"),
            (str(cids[1]), "of kubo"),
        }
        (other,) = service.list(name="of kubo")
        assert other.cid == cids[1]
        assert service.wait(other.request_id).status == "pinned"
        kubo.run("pin", "remote", "rm", "--service=ours", "--name=of ours")
        assert [each.name for each in service.list()] == ["of kubo"]
        assert kept.request_id not in {each.request_id for each in service.list()}
        many = [service.add(cids[0], name=str(number)) for number in range(25)]
        assert len(listed(kubo)) == 26
        service.delete(many[0].request_id)
        assert len(listed(kubo)) == 25
