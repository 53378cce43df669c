"""What the tests of this package share: the fixtures of others, a real IPFS node and real servers of buckets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ipld_castore._core import pauses
from ipld_castore.testing import BlockServer, expiring_timeouts

from .support.bucket_fixtures import atomic_s3, bucket, gcs, s3, s3_proxy
from .support.kubo_fixtures import kubo, kubo_binary

__all__ = ["atomic_s3", "bucket", "gcs", "kubo", "kubo_binary", "s3", "s3_proxy"]

HERE = Path(__file__).parent

collect_ignore_glob = ["support/*", "peers/*"]


@pytest.fixture(scope="session")
def archives() -> Path:
    """The folder of archives that other projects made; not part of this one."""
    folder = Path(os.environ.get("IPLD_FIXTURES") or HERE.parents[3] / "shared" / "fixtures")
    if not folder.is_dir():
        message = f"no archives of other projects at {folder} (IPLD_FIXTURES names another folder)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture
def server() -> Iterator[BlockServer]:
    """A server of blocks, with none yet, which misbehaves when it is told to."""
    with BlockServer() as server:
        yield server


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before another attempt, where no gateway asks for one."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.01)


@pytest.fixture
def expiring() -> Iterator[None]:
    """A server that stalls ends the timeouts of its clients; nothing else does."""
    with expiring_timeouts():
        yield
