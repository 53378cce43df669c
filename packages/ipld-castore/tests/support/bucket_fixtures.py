"""Fixtures of real servers of buckets, S3 and Google's, for the tests of this package and those across packages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import gcs_server, s3_server
from .fault_proxy import FaultProxy
from .gcs_server import GCSServer
from .peer_binary import NoBinaryError
from .s3_server import S3Server, check_one_winner


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that runs."""
    pytest.importorskip("obstore", reason="the extra object is not installed")
    try:
        server = s3_server.start(tmp_path_factory.mktemp("s3"))
    except NoBinaryError as error:
        pytest.skip(f"{error}, or IPLD_TEST_S3 names an endpoint, or moto[server] is installed")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def atomic_s3(s3: S3Server) -> S3Server:
    """An S3 server whose conditional puts have one winner: before the first test that relies on it, it is probed."""
    if not s3.is_atomic:
        pytest.skip(
            "this server checks conditions without atomicity; versitygw (IPLD_BUILD_S3=1) on a file system with "
            "extended attributes does not"
        )
    check_one_winner(s3, s3.new_bucket(), "probe")
    return s3


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """The name of a new bucket."""
    return s3.new_bucket()


@pytest.fixture
def s3_proxy(s3: S3Server) -> Iterator[FaultProxy]:
    """A proxy before the server, which does what it is told."""
    with FaultProxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCSServer]:
    """A server of Google Cloud Storage that runs; its conditional puts have one winner, as ``test_gcs`` probes."""
    pytest.importorskip("obstore", reason="the extra object is not installed")
    try:
        binary = gcs_server.find_binary()
    except NoBinaryError as error:
        pytest.skip(str(error))
    server = GCSServer(binary, tmp_path_factory.mktemp("gcs"))
    try:
        yield server
    finally:
        server.stop()
