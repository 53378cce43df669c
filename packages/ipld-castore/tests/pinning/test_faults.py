"""Services that fail or lie: an error that says which and why, no second request to pin, and never a hang."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ipld_castore import (
    BackendUnavailableError,
    MappingCAStore,
    PinningService,
    PinNotFoundError,
    PinRefusedError,
)
from ipld_castore._pinning import calls
from ipld_castore.testing import Fault, PinningServer, faults
from ipld_castore.testing.server.replies import json_reply

CID = MappingCAStore().put(b"hello")

pytestmark = pytest.mark.usefixtures("short_pauses")


def test_refusals(service_server: PinningServer, service: PinningService) -> None:
    """They are not tried again, and say what the service said."""
    with (
        PinningService(service_server.url, "another") as wrong,
        pytest.raises(PinRefusedError, match="token") as caught,
    ):
        wrong.pin(CID)
    assert (caught.value.code, caught.value.reason) == (401, "UNAUTHORIZED")
    service_server.inject(faults.pinning_error(409, "INSUFFICIENT_FUNDS", "no lack of lacks"))
    with pytest.raises(PinRefusedError, match=r"409, INSUFFICIENT_FUNDS: no lack of lacks: .*no funds"):
        service.pin(CID)
    service_server.inject(faults.status(418, "a teapot, and no JSON"))
    with pytest.raises(PinRefusedError, match="418, a teapot"):
        service.pin(CID)
    service_server.inject(faults.pinning_error(404, "NOT_FOUND"))
    with pytest.raises(PinNotFoundError, match="404"):
        service.status("1")
    assert len(service_server.requests) == 4


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_busy_service_is_asked_again(service_server: PinningServer, service: PinningService, code: int) -> None:
    service_server.inject(faults.status(code, "later"), times=2, where="POST /pins")
    assert service.pin(CID).status == "pinned"
    assert len(list(service.list())) == 1
    service_server.inject(faults.status(code, "later"), times=None)
    service_server.forget()
    with pytest.raises(BackendUnavailableError, match=f"now: HTTP {code}, later"):
        service.status("request/1")
    assert len(service_server.requests) == 5


def test_retry_after_is_kept(
    service_server: PinningServer, service: PinningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(calls, "sleep", slept.append)
    service_server.inject(faults.too_many_requests(7))
    service_server.inject(faults.too_many_requests(10**6))
    service.add(CID)
    assert slept == [7, 60]


@pytest.mark.parametrize("fault", [faults.carried_out_but_reset, faults.reset(10)])
def test_a_request_whose_answer_is_lost_is_not_made_twice(
    service_server: PinningServer, service: PinningService, fault: Fault
) -> None:
    other = service.add(CID, name="other")
    service_server.inject(fault, where="POST /pins")
    made = service.add(CID, name="air")
    assert {each.request_id for each in service.list()} == {other.request_id, made.request_id}
    service_server.inject(fault, where="POST /pins")
    new = service.replace(made.request_id, CID, name="air", wait=False)
    assert new.request_id != made.request_id
    assert {each.request_id for each in service.list()} == {other.request_id, new.request_id}
    service_server.inject(fault, where="DELETE")
    service.delete(new.request_id)
    assert list(service.list()) == [other]


def test_a_request_that_did_not_arrive_is_made_again(service_server: PinningServer, service: PinningService) -> None:
    service_server.inject(faults.reset(), where="POST /pins")
    service_server.inject(faults.close_at_once, where="GET /pins")
    assert service.pin(CID).status == "pinned"
    assert len(list(service.list())) == 1


@pytest.mark.usefixtures("expiring")
def test_a_silent_service(service_server: PinningServer, service: PinningService) -> None:
    """It is not asked again, and the error says that the request may be there."""
    service_server.inject(faults.stall())
    with pytest.raises(BackendUnavailableError, match=r"silent for 20 s.*list\(\) tells"):
        service.add(CID)
    service_server.inject(faults.slow_drip())
    with pytest.raises(BackendUnavailableError, match="bytes in"):
        service.add(CID)
    assert len(service_server.requests) == 2


def test_no_service_there(service_server: PinningServer, service: PinningService) -> None:
    service_server.stop()
    with pytest.raises(BackendUnavailableError, match="no server accepts connections"):
        service.add(CID)


@pytest.mark.parametrize("fault", [faults.broken_json, faults.error_page(), faults.redirect("http://127.0.0.1:1/")])
def test_what_is_no_service(service_server: PinningServer, service: PinningService, fault: Fault) -> None:
    service_server.inject(fault)
    with pytest.raises(BackendUnavailableError, match="endpoint of a pinning service"):
        service.add(CID)
    assert len(service_server.requests) == 1


def test_a_response_without_end(service_server: PinningServer, service: PinningService) -> None:
    service_server.inject(faults.endless_body)
    with pytest.raises(BackendUnavailableError, match=f"more than {calls.MAX_BYTES} bytes"):
        service.add(CID)


@pytest.mark.parametrize("new", [False, True])
def test_pages_without_end(service_server: PinningServer, service: PinningService, new: bool) -> None:
    service.add(CID)
    service_server.inject(faults.endless_pages(new=new), times=None)
    with pytest.raises(BackendUnavailableError, match="lists pins without end"):
        list(service.list())
    assert len(service_server.requests) < 120


GOOD: dict[str, Any] = {
    "requestid": "7",
    "status": "pinned",
    "created": "2026-01-01T00:00:00.123456789Z",
    "pin": {"cid": str(CID), "name": None, "origins": None, "meta": None},
    "delegates": [],
    "info": {"dag_size": 7},
}


def answered(value: object) -> Fault:
    return Fault("a value", lambda exchange: exchange.send(json_reply(value, 202)))


def test_what_services_leave_out(service_server: PinningServer, service: PinningService) -> None:
    service_server.inject(answered(GOOD))
    kept = service.add(CID)
    assert (kept.name, kept.origins, kept.meta, kept.info) == ("", (), {}, {"dag_size": "7"})
    assert kept.created.microsecond == 123456
    service_server.inject(answered({key: value for key, value in GOOD.items() if key not in ("delegates", "info")}))
    assert service.add(CID).delegates == ()


@pytest.mark.parametrize(
    "change",
    [
        {"requestid": ".."},
        {"requestid": 7},
        {"status": "lost"},
        {"status": ["pinned"]},
        {"created": "yesterday"},
        {"pin": None},
        {"pin": {"cid": "nonsense"}},
        {"pin": {"cid": str(MappingCAStore().put(b"another"))}},
        {"pin": {"cid": str(CID), "name": 7}},
        {"pin": {"cid": str(CID), "meta": [7]}},
        {"delegates": "/ip4/127.0.0.1"},
        {"info": 7},
    ],
    ids=json.dumps,
)
def test_statuses_that_are_none(service_server: PinningServer, service: PinningService, change: Any) -> None:
    service_server.inject(answered(GOOD | change))
    with pytest.raises(BackendUnavailableError, match="with expected"):
        service.add(CID)


@pytest.mark.parametrize("page", [[], {"results": []}, {"count": -1, "results": []}, {"count": 1, "results": None}])
def test_pages_that_are_none(service_server: PinningServer, service: PinningService, page: Any) -> None:
    service_server.inject(answered(page))
    with pytest.raises(BackendUnavailableError, match="with expected"):
        list(service.list())


@pytest.mark.parametrize("body", [b"[" * 10**5, b"1" * 10**5, b"\xff", b""])
def test_hostile_json(service_server: PinningServer, service: PinningService, body: bytes) -> None:
    def send(exchange: Any) -> None:
        right = exchange.reply()
        right.body, right.headers["Content-Length"] = [body], str(len(body))
        exchange.send(right)

    service_server.inject(Fault("hostile", send))
    with pytest.raises(BackendUnavailableError, match="endpoint of a pinning service"):
        service.add(CID)
