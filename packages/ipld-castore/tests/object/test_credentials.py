"""Credentials: found where people have them, shown nowhere, and in no pickle that was asked to hold none."""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ipld_castore import BackendUnavailableError, CAStoreError, ObjectCAStore, SupportsJournal
from ipld_castore._object.recipe import _store_of
from ipld_castore._object.secrets import is_secret, redact

from ..support.fault_proxy import FaultProxy
from ..support.proxy_faults import status
from ..support.s3_server import S3Server

pytest.importorskip("obstore", reason="the extra object is not installed")

SECRET = "S3CR3T-aaaa-bbbb-cccc"  # noqa: S105  # of nothing
VARIABLES = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"]
VARIABLES += ["AWS_DEFAULT_REGION", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE", "AWS_ENDPOINT_URL"]


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine that the tests run on."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "boto3" else find_spec(name))


def public_options(s3: S3Server) -> dict[str, Any]:
    """Options without keys."""
    return {name: value for name, value in s3.options().items() if name not in ("access_key_id", "secret_access_key")}


# -- nothing shows --


def everything_that_is_said(action: Callable[[], object], caplog: pytest.LogCaptureFixture) -> str:
    """The traceback of an action with all that is chained to it, its pickle, and the log."""
    with caplog.at_level(logging.DEBUG):
        try:
            action()
        except (CAStoreError, ValueError) as error:
            chained: list[BaseException | None] = [error]
            text = "".join(traceback.format_exception(error)) + repr(pickle.dumps(error))
            while (last := chained.pop()) is not None:
                text += repr(last) + repr(last.args)
                chained += [last.__cause__ or last.__context__]
            return text + caplog.text
    raise AssertionError("expected an error")


def test_no_secret_of_options_shows(
    s3: S3Server, s3_proxy: FaultProxy, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in repr, address, hash, nor in an error whose text, from the server, has the secret in it."""
    options = s3.options(s3_proxy.url) | {"secret_access_key": SECRET, "session_token": f"token-{SECRET}"}
    store = ObjectCAStore.from_url(f"s3://{bucket}", **options, retry_config={"max_retries": 0})
    assert s3.access_key not in repr(store) + store.address
    assert SECRET not in repr(store) + store.address + str(store)
    body = f"<Error><Code>Wrong</Code><Message>{SECRET} of {s3.access_key}</Message></Error>"
    s3_proxy.inject_always(status(400, "Bad Request", body))
    cid = _cid()
    for action in (lambda: store.get_block(cid), lambda: store.head, lambda: store.swap_head(None, cid)):
        said = everything_that_is_said(action, caplog)
        assert "400 Bad Request" in said
        assert SECRET not in said
        assert s3.access_key not in said


def _cid() -> Any:
    from ipld_castore import MappingCAStore

    return MappingCAStore().put(b"x")


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{SECRET}@bucket/x",
        f"s3://bucket/x?X-Amz-Signature={SECRET}",
        f"https://bucket.s3.amazonaws.com/x?X-Amz-Credential={SECRET}",
        f"abfss://container:{SECRET}@account.dfs.core.windows.net/x",
        f"s3://bucket/x#{SECRET}",
    ],
)
def test_urls_with_credentials_are_refused(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """They would be in the shell's history and in everybody's log; the error does not repeat them."""
    said = everything_that_is_said(lambda: ObjectCAStore.from_url(url), caplog)
    assert "pass them as options" in said
    assert SECRET not in said.replace(f"from_url({url!r}", "")


@pytest.mark.parametrize(
    "userinfo", [f"me:{SECRET}", SECRET, f"me:p@{SECRET}", f"me:p%40{SECRET}"], ids=["usual", "token", "at", "quoted"]
)
def test_userinfo_of_an_endpoint_does_not_show(userinfo: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is it in the pickle that holds no secrets. A token has no colon, and passwords have an "@" in them."""
    options = {"endpoint": f"http://{userinfo}@127.0.0.1:1", "allow_http": True, "retry_config": {"max_retries": 0}}
    keys = {"access_key_id": "some key", "secret_access_key": "of nothing", "credentials": "worker"}
    store = ObjectCAStore.from_url("s3://bucket", **options, **keys)
    assert SECRET not in repr(store)
    assert SECRET.encode() not in pickle.dumps(store)
    said = everything_that_is_said(lambda: store.get_block(_cid()), caplog)
    assert "127.0.0.1:1" in said
    assert SECRET not in said


@pytest.mark.parametrize("endpoint", [f"http://me:p/{SECRET}@127.0.0.1:1", f"me:{SECRET}@127.0.0.1:1"])
def test_userinfo_of_an_endpoint_that_is_malformed_does_not_show(endpoint: str) -> None:
    store = ObjectCAStore.from_url("s3://bucket", endpoint=endpoint, access_key_id="k", secret_access_key="s")  # noqa: S106  # of nothing
    assert "127.0.0.1:1" in store.address
    assert SECRET not in repr(store)


def test_secrets_of_addresses_do_not_show() -> None:
    from obstore.store import AzureStore, HTTPStore

    for other in (
        ObjectCAStore(HTTPStore(f"https://me:{SECRET}@example.org/x?sig={SECRET}")),
        ObjectCAStore(AzureStore("container", account_name="account", sas_key=f"sv=1&sig={SECRET}")),
    ):
        assert SECRET not in repr(other) + other.address


def test_options_that_hold_secrets_are_known() -> None:
    """Under the names of all three clouds."""
    for name in (
        "aws_secret_access_key",
        "SECRET_ACCESS_KEY",
        "azure_storage_sas_token",
        "account_key",
        "bearer_token",
    ):
        assert is_secret(name)
    for name in ("bucket", "region", "endpoint", "web_identity_token_file", "aws_skip_signature", "account_name"):
        assert not is_secret(name)
    assert redact("at https://u:p@h/x?sig=1 and s3://b?y", {}) == "at https://h/x and s3://b"
    assert redact("GET http://h/air@v1/x of abfss://data@acc/x", {}) == "GET http://h/air@v1/x of abfss://data@acc/x"


def test_options_of_another_library_are_told_before_missing_credentials(s3: S3Server) -> None:
    with pytest.raises(ValueError, match="'key' is not valid"):
        ObjectCAStore.from_url("s3://bucket", **public_options(s3), key="some key")


# -- what travels --


def test_a_pickle_holds_the_secret_unless_it_is_told_not_to(s3: S3Server, bucket: str) -> None:
    """As the docs say."""
    options = s3.options()
    assert s3.secret_key.encode() in pickle.dumps(ObjectCAStore.from_url(f"s3://{bucket}", **options))
    pickled = pickle.dumps(ObjectCAStore.from_url(f"s3://{bucket}", **options, credentials="worker"))
    for secret in (s3.secret_key, s3.access_key):
        assert secret.encode() not in pickled


def test_a_worker_finds_its_own_credentials(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    """A process of another user, say; without any it says what was tried."""
    store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(), credentials="worker")
    cid = store.put(b"for the worker")
    (tmp_path / "pickle").write_bytes(pickle.dumps(store))
    script = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).get(sys.argv[2]))"
    command = [sys.executable, "-c", script, str(tmp_path / "pickle"), str(cid)]
    found = os.environ | {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    assert (
        subprocess.run(command, env=found, capture_output=True, text=True, check=True).stdout == "b'for the worker'\n"
    )
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "cannot find credentials; tried the options access_key_id" in done.stderr


def test_a_worker_without_credentials_fails_its_task(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pickle looks for none: an error of unpickling would end the process of a pool."""
    store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(), credentials="worker")
    cid = store.put(b"for the worker")
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # our own pickle
    assert (isinstance(copy, SupportsJournal), copy.local) == (True, False)
    assert "has not looked" in repr(copy)
    with pytest.raises(BackendUnavailableError, match="cannot find credentials"):
        copy.get(cid)
    copy = pickle.loads(pickle.dumps(copy))  # noqa: S301  # our own pickle
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(copy.get, [cid] * 8)) == [b"for the worker"] * 8
    assert copy == store
    assert repr(copy) == repr(store)


# -- what is found --


@pytest.fixture
def profile(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A profile of boto3 with the credentials of the server."""
    pytest.importorskip("boto3", reason="boto3 is not installed")
    file = tmp_path / "credentials"
    file.write_text(f"[mine]\naws_access_key_id = {s3.access_key}\naws_secret_access_key = {s3.secret_key}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    return "mine"


@pytest.mark.parametrize("credentials", ["pickle", "worker"])
def test_a_worker_without_the_profile_fails_its_task(
    s3: S3Server, bucket: str, profile: str, monkeypatch: pytest.MonkeyPatch, credentials: Any
) -> None:
    """The one that it names, or that of the environment."""
    options = public_options(s3) | {"credentials": credentials}
    if credentials == "pickle":
        monkeypatch.setenv("AWS_PROFILE", profile)
    else:
        options["profile"] = profile
    store = ObjectCAStore.from_url(f"s3://{bucket}", **options)
    cid = store.put(b"for the worker")
    pickled = pickle.dumps(store)
    file = Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    file.rename(file.with_name("aside"))
    _store_of.cache_clear()  # as in another process
    copy = pickle.loads(pickled)  # noqa: S301  # our own pickle
    with pytest.raises(BackendUnavailableError, match="mine"):
        copy.get(cid)
    file.with_name("aside").rename(file)
    assert copy.get(cid) == b"for the worker"


def test_profiles_of_boto3(s3: S3Server, bucket: str, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an option or by the environment; its pickle has the name of the profile alone."""
    store = ObjectCAStore.from_url(f"s3://{bucket}", **public_options(s3), profile=profile)
    cid = store.put(b"by a profile")
    pickled = pickle.dumps(store)
    assert s3.secret_key.encode() not in pickled
    assert pickle.loads(pickled).get(cid) == b"by a profile"  # noqa: S301  # made here
    monkeypatch.setenv("AWS_PROFILE", profile)
    assert ObjectCAStore.from_url(f"s3://{bucket}", **public_options(s3)).get(cid) == b"by a profile"
    with pytest.raises(BackendUnavailableError, match="absent"):
        ObjectCAStore.from_url(f"s3://{bucket}", **public_options(s3), profile="absent")


def test_the_region_of_a_profile(profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken, unless another is told."""
    (tmp_path / "config").write_text(f"[profile {profile}]\nregion = eu-central-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert ObjectCAStore.from_url("s3://bucket", profile=profile).store.config["region"] == "eu-central-1"
    store = ObjectCAStore.from_url("s3://bucket", profile=profile, region="us-west-2").store
    assert store.config["region"] == "us-west-2"


def test_credentials_of_the_environment(s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    store = ObjectCAStore.from_url(f"s3://{bucket}", **public_options(s3))
    assert store.get(store.put(b"x")) == b"x"
    store.flush()


def test_missing_credentials_say_what_was_tried_by_boto3(s3: S3Server) -> None:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    with pytest.raises(
        BackendUnavailableError, match=r"tried the options .*AWS_ACCESS_KEY_ID.*the profiles of boto3.*"
    ):
        ObjectCAStore.from_url("s3://bucket", **public_options(s3))
    ObjectCAStore.from_url("s3://bucket", **public_options(s3), skip_signature=True)


@pytest.mark.usefixtures("without_boto3")
def test_missing_credentials_without_boto3(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no machine of the cloud answers, obstore would ask for minutes."""

    def nobody(*_: object) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", nobody)
    with pytest.raises(BackendUnavailableError, match=r"boto3, which knows profiles and SSO, is not installed"):
        ObjectCAStore.from_url("s3://bucket", **public_options(s3))
    with pytest.raises(ValueError, match="expected boto3 for the profile 'mine'"):
        ObjectCAStore.from_url("s3://bucket", profile="mine")


@pytest.mark.usefixtures("without_boto3")
def test_a_metadata_service_that_has_none(s3: S3Server, s3_proxy: FaultProxy) -> None:
    """As on a machine of the cloud without a role."""
    s3_proxy.inject_always(status(404, "Not Found"))
    options = public_options(s3) | {"metadata_endpoint": s3_proxy.url, "retry_config": {"max_retries": 0}}
    store = ObjectCAStore.from_url("s3://bucket", **options)
    with pytest.raises(BackendUnavailableError, match=r"cannot find credentials; tried .* instance metadata service"):
        store.get_block(_cid())


def test_wrong_credentials_are_told_as_such(s3: S3Server, bucket: str) -> None:
    if not s3.checks_signatures:
        pytest.skip("moto takes any signature; versitygw (IPLD_BUILD_S3=1) does not")
    store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options() | {"secret_access_key": "wrong"})
    with pytest.raises(BackendUnavailableError, match=r"SignatureDoesNotMatch.*credentials are wrong or not enough"):
        store.get_block(_cid())


def test_an_unknown_key_is_no_absence(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> None:
    """versitygw answers 404: the head was absent then, and the dataset new."""
    body = "<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message></Error>"
    s3_proxy.inject_always(status(404, "Not Found", body))
    store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(s3_proxy.url))
    for action in (lambda: store.head, lambda: store.get_block(_cid()), lambda: list(store)):
        with pytest.raises(BackendUnavailableError, match=r"InvalidAccessKeyId.*credentials are wrong"):
            action()


def test_a_login_that_is_over_is_told_as_such(
    s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the hint that the bucket may have refused: it was not asked."""
    pytest.importorskip("boto3", reason="boto3 is not installed")
    lines = ["sso_start_url = https://sso.example/start", "sso_region = us-east-1", "sso_account_id = 123456789012"]
    (tmp_path / "config").write_text("\n".join(["[profile login]", *lines, "sso_role_name = reader"]))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    store = ObjectCAStore.from_url(f"s3://{bucket}", **public_options(s3), profile="login")
    with pytest.raises(BackendUnavailableError, match=r"SSO Token.*`aws sso login`") as refused:
        _ = store.head
    assert "wrong or not enough" not in str(refused.value)


def test_public_buckets(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> None:
    """skip_signature sends no credentials, and looks for none."""
    options = public_options(s3) | {"endpoint": s3_proxy.url}
    store = ObjectCAStore.from_url(f"s3://{bucket}", **options, skip_signature=True)
    with pytest.raises(CAStoreError):
        store.get_block(_cid())
    assert s3_proxy.requests
    assert not any("authorization" in request.headers for request in s3_proxy.requests)
