"""A pinning service is asked as the API says, and its requests are read as they are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ipld_car import cids
from ipld_castore import (
    MappingCAStore,
    PinFailedError,
    PinningService,
    PinNotFoundError,
    PinStatus,
    PinTimeoutError,
)
from ipld_castore._core import pauses
from ipld_castore.testing import PinningServer
from multiformats import CID

CIDS = [MappingCAStore().put(str(number).encode()) for number in range(3)]

pytestmark = pytest.mark.usefixtures("short_pauses")


def test_a_pin_goes_through_its_statuses(service_server: PinningServer, service: PinningService) -> None:
    seen: list[PinStatus] = []
    origins = ["/dns4/node.example/tcp/4001/p2p/QmNode"]
    kept = service.pin(CIDS[0], name="air", origins=origins, meta={"app_id": "7"}, progress=seen.append)
    assert [each.status for each in seen] == ["queued", "pinning", "pinned"]
    assert kept == seen[-1]
    assert (kept.cid, kept.name, kept.origins, kept.meta) == (CIDS[0], "air", tuple(origins), {"app_id": "7"})
    assert kept.delegates == tuple(service_server.delegates)
    assert kept.created.tzinfo is not None
    sent = service_server.requests[0]
    assert (sent.method, sent.path) == ("POST", "/pins")
    assert sent.headers["authorization"] == f"Bearer {service_server.token}"
    assert json.loads(sent.body) == {
        "cid": str(CIDS[0]),
        "name": "air",
        "origins": origins,
        "meta": {"app_id": "7"},
    }
    assert len(service_server.requests) == 3, "a request for each status"


def test_nothing_is_waited_for_unless_it_is_asked_for(service_server: PinningServer, service: PinningService) -> None:
    assert service.pin(CIDS[0], wait=False).status == "queued"
    assert service.add(CIDS[1]).status == "queued"
    assert len(service_server.requests) == 2


def test_a_pin_that_fails_says_why(service_server: PinningServer, service: PinningService) -> None:
    service_server.steps, service_server.failure = ("queued", "failed"), "the graph is too big"
    with pytest.raises(PinFailedError, match=r"could not pin bafk.*: the graph is too big") as caught:
        service.pin(CIDS[0])
    assert caught.value.status.status == "failed"
    assert service.status(caught.value.status.request_id) == caught.value.status
    (listed,) = service.list(status=["failed"])
    assert listed == caught.value.status


def test_the_time_is_over(service_server: PinningServer, service: PinningService) -> None:
    """The request goes on at the service, and can be waited for again."""
    service_server.steps = ("queued",)
    with pytest.raises(TimeoutError, match=r"within 0 s, found it queued.*request/1") as caught:
        service.pin(CIDS[0], timeout=0)
    assert isinstance(caught.value, PinTimeoutError)
    service_server.steps = ("queued", "pinned")
    late = service.add(CIDS[1])
    assert service.wait(late.request_id).status == "pinned"


def test_pauses_grow_and_end_with_the_time(
    service_server: PinningServer, service: PinningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ipld_castore._pinning import calls

    slept: list[float] = []
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(calls, "sleep", slept.append)
    service_server.steps = ("queued",) * 2000 + ("pinned",)
    assert service.pin(CIDS[0]).status == "pinned"
    assert len(slept) == 2000
    assert slept[0] < slept[2] < slept[4] < slept[6]
    assert max(slept) <= pauses.MAX_PAUSE
    service_server.steps = ("queued",) * 3 + ("pinned",)
    slept.clear()
    service.pin(CIDS[0], timeout=100)
    assert all(each <= 100 for each in slept)


def test_status_replace_and_delete(service: PinningService) -> None:
    old = service.pin(CIDS[0], name="air")
    new = service.replace(old.request_id, CIDS[1], name="air")
    assert (new.status, new.cid) == ("pinned", CIDS[1])
    assert new.request_id != old.request_id
    with pytest.raises(PinNotFoundError, match="404"):
        service.status(old.request_id)
    service.delete(new.request_id)
    with pytest.raises(KeyError):
        service.delete(new.request_id)
    with pytest.raises(PinNotFoundError):
        service.replace(new.request_id, CIDS[2])
    assert list(service.list()) == []
    for bad in ("", ".", ".."):
        with pytest.raises(ValueError, match="request_id"):
            service.delete(bad)


def test_lists_have_filters(service: PinningService) -> None:
    first = service.pin(CIDS[0], name="Air", meta={"app": "x", "run": "1"})
    second = service.pin(CIDS[1], name="air pressure", meta={"app": "x"})
    third = service.add(CIDS[0], name="sea")
    assert [each.request_id for each in service.list()] == [each.request_id for each in (third, second, first)]

    def names(**filters: Any) -> list[str]:
        return [each.name for each in service.list(**filters)]

    assert names(cid=CIDS[0]) == ["sea", "Air"]
    assert names(name="air") == []
    assert names(name="air", match="iexact") == ["Air"]
    assert names(name="air", match="partial") == ["air pressure"]
    assert names(name="air", match="ipartial") == ["air pressure", "Air"]
    assert names(status=["pinned"]) == ["air pressure", "Air"]
    assert names(meta={"app": "x", "run": "1"}) == ["Air"]
    assert names(before=second.created) == ["Air"]
    assert names(after=second.created) == ["sea"]
    assert names(limit=1) == ["sea"]
    assert names(limit=0) == []
    with pytest.raises(ValueError, match="time zone"):
        service.list(before=datetime(2026, 1, 1))  # noqa: DTZ001  # that is the point
    with pytest.raises(ValueError, match="statuses"):
        service.list(status=["lost"])  # type: ignore[list-item]  # a wrong argument, on purpose
    with pytest.raises(ValueError, match="match"):
        service.list(match="like")  # type: ignore[arg-type]  # a wrong argument, on purpose


def test_long_lists_come_in_pages(service_server: PinningServer, service: PinningService) -> None:
    """Nothing is left out or twice, also with a time as filter; a page is asked for when it is needed."""
    made = [service.add(CIDS[0], name=str(number)) for number in range(250)]
    service_server.forget()
    assert [each.name for each in service.list()] == [str(number) for number in reversed(range(250))]
    assert len(service_server.requests) == 3
    service_server.forget()
    next(service.list())
    assert len(service_server.requests) == 1
    before = made[240].created
    assert [each.name for each in service.list(before=before)] == [str(number) for number in reversed(range(240))]
    assert len(list(service.list(limit=150))) == 150
    assert len(list(service.list(before=datetime.now(UTC) + timedelta(days=9999)))) == 250


def test_a_cid_of_version_0_is_pinned(service: PinningService) -> None:
    """A service may say it in version 1."""
    old = cids.from_bytes(cids.to_bytes("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"))
    assert isinstance(old, CID)
    assert service.pin(old).cid == old


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "x" * 256},
        {"origins": ["/ip4/127.0.0.1"] * 2},
        {"origins": [f"/ip4/127.0.0.{number}" for number in range(21)]},
        {"origins": ["127.0.0.1"]},
        {"meta": {"a": 1}},
    ],
)
def test_what_the_api_does_not_allow(service_server: PinningServer, service: PinningService, bad: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        service.pin(CIDS[0], **bad)
    assert service_server.requests == []
