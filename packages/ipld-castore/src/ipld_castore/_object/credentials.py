"""Credentials of buckets: find them, and say where they were looked for if there are none."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ipld_castore.errors import BackendUnavailableError

if TYPE_CHECKING:
    from obstore.store import S3Credential

_LIFETIME: Final = timedelta(minutes=10)
"""Credentials that expire are asked for again after this time; botocore gives none that has less left."""
_METADATA: Final = "http://169.254.169.254"
_METADATA_SECONDS: Final = 1.0
"""How long a machine of the cloud may take to accept a connection; boto3 waits as long."""

_ELSEWHERE: Final = {
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "a container's role",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "a container's role",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "a web identity",
}
"""Variables that name another source of credentials to obstore."""

_TRIED: Final = {
    "S3Store": "the options access_key_id and secret_access_key, the environment (AWS_ACCESS_KEY_ID), {boto3}a web "
    "identity, a container's role, and the instance metadata service; for a public bucket set the option "
    "skip_signature",
    "GCSStore": "the options service_account_path and service_account_key, the environment "
    "(GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT), gcloud's application default credentials, and the "
    "metadata service; for a public bucket set the option skip_signature",
    "AzureStore": "the options account_key, sas_key, bearer_token and client_secret, the environment "
    "(AZURE_STORAGE_ACCOUNT_KEY and the like), a workload identity, and the managed identity service; for a public "
    "container set the option skip_signature",
}
_METADATA_SIGNS: Final = ("169.254.169.254", "metadata.google.internal", "latest/api/token", "identity/oauth2/token")
_OF_PROVIDER: Final = "External AWS credential provider"
"""What obstore writes before the error of :class:`BotoCredentials`."""
_REFUSALS: Final = ("PermissionDeniedError", "UnauthenticatedError")


class BotoCredentials:
    """Credentials that boto3 finds: profiles, SSO, roles. A pickle has the name of the profile, and no secret.

    :param profile: the name of a profile; None for the one that boto3 takes
    :raises BackendUnavailableError: if boto3 finds none
    """

    def __init__(self, profile: str | None = None) -> None:
        self._profile = profile
        self._find()

    def _find(self) -> None:
        import boto3  # type: ignore[import-untyped]  # as is all of botocore
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]  # as above

        try:
            session = boto3.Session(profile_name=self._profile)
            found = session.get_credentials()
        except BotoCoreError as error:
            raise BackendUnavailableError(f"cannot find credentials by boto3: {error}") from error
        if found is None:
            raise BackendUnavailableError(_missing("S3Store", self._profile))
        self.config: dict[str, Any] = {} if session.region_name is None else {"region": session.region_name}
        """The region of the profile, which obstore takes if no other is given."""
        self._found = found

    def __call__(self) -> S3Credential:
        """Return credentials as obstore wants them."""
        from botocore.credentials import RefreshableCredentials  # type: ignore[import-untyped]  # as above
        from botocore.exceptions import BotoCoreError

        try:
            frozen = self._found.get_frozen_credentials()
        except BotoCoreError as error:
            advice = " (`aws sso login` makes a new one)" if "SSO" in type(error).__name__ else ""
            raise BackendUnavailableError(
                f"cannot refresh the credentials that boto3 found: {error}{advice}"
            ) from error
        expires = isinstance(self._found, RefreshableCredentials)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _LIFETIME if expires else None,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BotoCredentials) and self._profile == other._profile

    def __hash__(self) -> int:
        return hash(self._profile)

    def __getstate__(self) -> tuple[str | None]:
        return (self._profile,)

    def __setstate__(self, state: tuple[str | None]) -> None:
        (self._profile,) = state

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Find credentials where a copy in another process is used, and not where it is unpickled."""
            if name in ("_found", "config") and "_found" not in self.__dict__:
                self._find()
                return self.__dict__[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'default profile' if self._profile is None else self._profile}>"


def find(kind: str, config: Mapping[str, Any], profile: str | None = None) -> BotoCredentials | None:
    """Return where an S3 store finds its credentials by boto3; None if obstore finds them itself.

    :param kind: the class of the store
    :param config: its options
    :param profile: the name of a profile for boto3
    :raises BackendUnavailableError: if there are none
    :raises ValueError: if there is a profile, but no boto3
    """
    if kind != "S3Store":
        return None
    has_boto3 = importlib.util.find_spec("boto3") is not None
    if profile is not None:
        if not has_boto3:
            raise ValueError(f"expected boto3 for the profile {profile!r}; found no boto3 (pip install boto3)")
        return BotoCredentials(profile)
    if _is_unsigned(config) or _are_given(config):
        return None
    if has_boto3:
        return BotoCredentials()
    if not any(os.environ.get(name) or config.get(name.lower().removeprefix("aws_")) for name in _ELSEWHERE):
        _check_metadata(config)
    return None


def _is_unsigned(config: Mapping[str, Any]) -> bool:
    told = config.get("skip_signature", os.environ.get("AWS_SKIP_SIGNATURE", ""))
    return str(told).lower() in ("true", "1", "yes", "y", "on")


def _are_given(config: Mapping[str, Any]) -> bool:
    """Return whether key and region are options or in the environment, where boto3 would find no others."""
    if config.get("access_key_id"):
        return True
    environ = os.environ
    region = config.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    return bool(environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY") and region)


def _check_metadata(config: Mapping[str, Any]) -> None:
    """Require that the metadata service of a cloud answers. Elsewhere obstore would ask it for minutes.

    :raises BackendUnavailableError: if nothing answers there
    """
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return
    url = urlsplit(config.get("metadata_endpoint") or os.environ.get("AWS_METADATA_ENDPOINT") or _METADATA)
    try:
        socket.create_connection((url.hostname or "", url.port or 80), _METADATA_SECONDS).close()
    except OSError:
        raise BackendUnavailableError(_missing("S3Store", None)) from None


def _missing(kind: str, profile: str | None) -> str:
    has_boto3 = importlib.util.find_spec("boto3") is not None
    which = "the profiles of boto3, " if profile is None else f"the profile {profile!r} of boto3, "
    tried = _TRIED[kind].format(
        boto3=which if has_boto3 else "(boto3, which knows profiles and SSO, is not installed) "
    )
    return f"cannot find credentials; tried {tried}"


def hint(kind: str, error: str, text: str) -> str:
    """Return a hint for the text of an error: what was tried, or what may be wrong.

    :param kind: the class of the store
    :param error: the class of obstore's error
    :param text: its text
    """
    if _OF_PROVIDER in text:
        return ""  # it says what is wrong, and the store was not asked
    if kind in _TRIED and any(sign in text for sign in _METADATA_SIGNS):
        return f" ({_missing(kind, None)})"
    if "HTTP error: builder error" in text and "http://" in text:
        return " (an endpoint without TLS needs the option allow_http=True)"
    if error in _REFUSALS and kind == "S3Store":
        return (
            " (the credentials are wrong or not enough; S3 answers the same for an object that is absent where they "
            "may not list the bucket)"
        )
    return ""
