"""The token is where it must be, in a header, and nowhere else."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from collections.abc import Iterator

import pytest
from ipld_castore import CAStoreError, MappingCAStore, PinningService
from ipld_castore.testing import PinningServer, faults

CID = MappingCAStore().put(b"hello")
TOKEN = "S3CR3T-aaaa-bbbb-cccc"  # noqa: S105  # of nothing


@pytest.fixture
def service_server() -> Iterator[PinningServer]:
    with PinningServer() as server:
        server.token = TOKEN
        yield server


@pytest.mark.usefixtures("short_pauses", "expiring")
def test_no_text_has_the_token(service_server: PinningServer, caplog: pytest.LogCaptureFixture) -> None:
    """Also where the service repeats it."""
    said = [repr(PinningService(service_server.url, TOKEN))]
    with caplog.at_level(logging.DEBUG), PinningService(service_server.url, TOKEN, timeout=60, retries=1) as service:
        said.append(repr(service.pin(CID)))
        for fault in (
            faults.pinning_error(401, f"no {TOKEN}", f"the token {TOKEN} is wrong"),
            faults.pinning_error(500, f"no {TOKEN}"),
            faults.status(400, f"the token {TOKEN} is wrong"),
            faults.error_page(),
            faults.redirect(f"http://127.0.0.1:1/{TOKEN}"),
            faults.reset(),
            faults.stall(),
        ):
            service_server.inject(fault, times=None)
            with pytest.raises(CAStoreError) as caught:
                service.pin(CID)
            said += [repr(caught.value), *traceback.format_exception(caught.value)]
            service_server.heal()
        service_server.steps, service_server.failure = ("failed",), f"the token {TOKEN} is poor"
        with pytest.raises(CAStoreError) as caught:
            service.pin(CID)
        said.append(str(caught.value))
    assert "<secret>" in "".join(said)
    assert TOKEN not in "".join(said)
    assert TOKEN not in caplog.text
    assert caplog.text, "requests are logged, by urllib3"


def test_no_pickle_has_the_token(service_server: PinningServer) -> None:
    service = PinningService(service_server.url, TOKEN)
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="token"):
            copied(service)


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX: y", "ü"])
def test_no_token(token: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        PinningService("https://pins.example", token)
    assert not token or token not in str(caught.value)


def test_endpoints() -> None:
    assert PinningService("https://pins.example/psa/", TOKEN).endpoint == "https://pins.example/psa"
    assert PinningService("https://pins.example/psa/pins", TOKEN).endpoint == "https://pins.example/psa"
    for bad in ("pins.example", "https://pins.example?key=7", "ftp://pins.example", "https://me:pass@pins.example"):
        with pytest.raises(ValueError, match="expected") as caught:
            PinningService(bad, TOKEN)
        assert "pass@" not in str(caught.value)
