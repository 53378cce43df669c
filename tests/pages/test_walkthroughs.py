"""The four pages for a newcomer with a CID, a CAR file, a bucket or a cluster work word for word."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from .fences import ROOT
from .follow import follow

START = ROOT / "docs" / "start"


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


@pytest.fixture
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, which the reader is in."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("_here")
def test_a_reader_with_a_cid(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    # Without a node: the page asks gateways.
    environ = {"IPFS_PATH": "no-node-here"}
    assert follow(START / "cid.md", {"8017": free_port()}, environ, monkeypatch) > 8


@pytest.mark.slow
@pytest.mark.usefixtures("_here")
def test_a_reader_with_a_car_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert follow(START / "car.md", {}, {}, monkeypatch) > 8


@pytest.mark.slow
@pytest.mark.usefixtures("_here")
def test_a_reader_with_a_bucket(s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"AWS_EC2_METADATA_DISABLED": "true"}
    replaced = {
        "https://minio.example.org": s3.endpoint,
        "my-bucket": bucket,
        "MY-KEY": s3.access_key,
        "MY-SECRET": s3.secret_key,
    }
    assert follow(START / "bucket.md", replaced, environ, monkeypatch) > 8


@pytest.mark.slow
@pytest.mark.usefixtures("_here")
def test_a_reader_with_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="dask's distributed is not installed")
    assert follow(START / "cluster.md", {}, {}, monkeypatch) > 8
