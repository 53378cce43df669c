"""ObjectCAStore passes the suite of backends: over memory, a folder, and a real server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from ipld_castore import ContentAddressableStore, ObjectCAStore
from ipld_castore.testing import CAStoreTests
from multiformats import CID

from ..support.s3_server import S3Server

pytest.importorskip("obstore", reason="the extra object is not installed")


class ObjectTests(CAStoreTests):
    keeps_codecs = False

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        assert isinstance(castore, ObjectCAStore)
        castore.flush()
        below = f"{castore.prefix}/" if castore.prefix else ""
        key = base64.b32encode(bytes(cid)[2:]).decode().rstrip("=")
        assert bytes(cid)[:2] == b"\x01\x55"
        name = f"{below}{key[-3:-1]}/{key}.data"
        castore.store.head(name)  # it is there
        if data is None:
            castore.store.delete(name)
        else:
            castore.store.put(name, data)


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
