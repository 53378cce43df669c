"""A pinning service that runs, and our client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ipld_castore import PinningService
from ipld_castore.testing import PinningServer


@pytest.fixture
def service_server() -> Iterator[PinningServer]:
    with PinningServer() as server:
        yield server


@pytest.fixture
def service(service_server: PinningServer) -> Iterator[PinningService]:
    with PinningService(service_server.url, service_server.token, timeout=20) as service:
        yield service
