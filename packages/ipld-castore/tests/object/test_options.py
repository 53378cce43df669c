"""Options of buckets: by which names, in which types, and what is said of wrong ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from ipld_castore import BackendUnavailableError, ObjectCAStore

from ..support.s3_server import S3Server

pytest.importorskip("obstore", reason="the extra object is not installed")

SECRET = "S3CR3T-aaaa-bbbb-cccc"  # noqa: S105  # of nothing


def test_an_endpoint_without_tls_is_allowed_by_an_option(s3: S3Server, bucket: str) -> None:
    options = {name: value for name, value in s3.options().items() if name != "allow_http"}
    store = ObjectCAStore.from_url(f"s3://{bucket}", **options, retry_config={"max_retries": 0})
    with pytest.raises(BackendUnavailableError, match="allow_http=True"):
        _ = store.head


@pytest.mark.parametrize("seconds", [20, 20.5, "20s", timedelta(seconds=20)])
def test_durations_are_seconds_too(s3: S3Server, bucket: str, seconds: Any) -> None:
    """As the timeout of an archive at a URL is."""
    options = s3.options() | {"timeout": seconds, "client_options": {"connect_timeout": seconds}}
    assert ObjectCAStore.from_url(f"s3://{bucket}", **options).head is None


@pytest.mark.parametrize(
    "where", [{"aws_allow_http": True}, {"AWS_ALLOW_HTTP": "true"}, {"config": {"allow_http": True}}], ids=str
)
def test_options_of_the_client_are_taken_by_all_their_names(s3: S3Server, bucket: str, where: Any) -> None:
    """obstore panics, with a trace of Rust, where they are among those of the store. None is an option not given."""
    options = {name: value for name, value in s3.options().items() if name != "allow_http"}
    assert ObjectCAStore.from_url(f"s3://{bucket}", **options, **where, session_token=None).head is None


def test_errors_of_options() -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("s3://bucket", {"bogus": "1", "access_key_id": "k"}, "bogus"),
        ("ftp://host/x", {}, "expected a URL that begins with s3://"),
        ("memory:///", {}, "expected a URL that begins with s3://"),
        ("s3:/key:pw@b", {}, r"names a bucket, such as s3://bucket/prefix; found .b.$"),
        ("s3://", {}, r"names a bucket, such as s3://bucket/prefix; found .s3://.$"),
        ("gs:///prefix", {}, "names a bucket"),
        ("gs://bucket", {"profile": "x"}, "'profile' with s3://"),
        ("file:///tmp/x", {"region": "x"}, "expected no options"),
        (
            "s3://bucket",
            {"secret_access_key": [SECRET], "access_key_id": 12},
            "one of the options secret_access_key is",
        ),
        (
            "s3://bucket",
            {"timeout": -1, "access_key_id": 12, "secret_access_key": "x"},
            "one of the options timeout is",
        ),
    ]
    for url, options, message in cases:
        with pytest.raises(ValueError, match=message) as refused:
            ObjectCAStore.from_url(url, **options)
        assert SECRET not in str(refused.value)
    with pytest.raises(ValueError, match="'pickle' or 'worker'"):
        ObjectCAStore.from_url("gs://bucket", credentials="none")
