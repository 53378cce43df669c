"""ObjectCAStore passes the suite of backends: over memory, a folder, and a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ipld_castore import ContentAddressableStore, ObjectCAStore

from ..support.s3_server import S3Server
from .suite import ObjectTests

pytest.importorskip("obstore", reason="the extra object is not installed")


class TestMemory(ObjectTests):
    depth = width = 100

    @pytest.fixture
    def castore(self) -> Iterator[ContentAddressableStore]:
        from obstore.store import MemoryStore

        with ObjectCAStore(MemoryStore()) as store:
            yield store


class TestLocalStore(ObjectTests):
    depth = width = 100

    @pytest.fixture
    def castore(self, tmp_path: Path) -> Iterator[ContentAddressableStore]:
        from obstore.store import LocalStore

        with ObjectCAStore(LocalStore(tmp_path), prefix="below/here") as store:
            yield store


class TestS3(ObjectTests):
    depth = width = 100  # as each block is a request

    @pytest.fixture
    def castore(self, s3: S3Server, bucket: str) -> Iterator[ContentAddressableStore]:
        with ObjectCAStore.from_url(f"s3://{bucket}/some/where", **s3.options()) as store:
            yield store


@pytest.mark.slow
class TestS3WithWorkersCredentials(ObjectTests):
    """A pickle has no secret: the copy finds its own."""

    depth = width = 30

    @pytest.fixture
    def castore(self, s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ContentAddressableStore]:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
        with ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(), credentials="worker") as store:
            yield store
