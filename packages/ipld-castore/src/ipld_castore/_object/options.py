"""Make a store of obstore from a URL and options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ipld_castore.errors import BackendUnavailableError

from . import credentials
from .secrets import redact, redact_url, redact_urls

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES: Final = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "file", "http", "https")
"""Schemes of the URLs of object stores."""

_STORES: Final = {"s3": "S3Store", "s3a": "S3Store"}
_CONTAINER_AS_USER: Final = ("abfs", "abfss")
"""Schemes whose URLs have the container before an "@"."""

_CLIENT_OPTIONS: Final = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "default_content_type",
        "default_headers",
        "http1_only",
        "http2_keep_alive_interval",
        "http2_keep_alive_timeout",
        "http2_keep_alive_while_idle",
        "http2_only",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_ca_certificate",
        "proxy_excludes",
        "proxy_url",
        "randomize_addresses",
        "read_timeout",
        "root_certificate",
        "timeout",
        "user_agent",
    }
)
"""Options that obstore wants apart from those of the store."""

_CLOUD: Final = re.compile(r"^(aws|azure_storage|azure|google)_")

_DURATIONS: Final = frozenset(name for name in _CLIENT_OPTIONS if name.endswith(("timeout", "interval")))
"""Those of them that are durations: obstore wants a timedelta or a text, and a number is one of seconds elsewhere."""


def open_store(url: str, options: Mapping[str, Any]) -> ObjectStore:
    """Return the store of a URL.

    :param url: ``s3://bucket/prefix`` and the like, without credentials
    :param options: obstore's, of the store and of its HTTP client, and ``profile`` for boto3
    :raises ValueError: if the URL is no URL of an object store, has credentials in it, or an option is unknown
    :raises BackendUnavailableError: if no credentials are found
    :raises ImportError: if obstore is not installed
    """
    scheme = check_url(url)
    obstore = _import_obstore()
    kwargs = {name: value for name, value in options.items() if value is not None}
    profile = kwargs.pop("profile", None)
    own = {name: kwargs.pop(name) for name in ("retry_config", "credential_provider") if name in kwargs}
    client, config = _sorted(kwargs)
    if scheme == "file":
        if client or config or own:
            raise ValueError(f"expected no options for {url!r}, found {', '.join(sorted(options))}")
        local: ObjectStore = obstore.store.LocalStore.from_url(url, mkdir=True)
        return local
    if "credential_provider" not in own and scheme in _STORES:
        named = {name.lower().removeprefix("aws_"): value for name, value in config.items()}
        try:
            provider = credentials.find(_STORES[scheme], named, profile)
        except BackendUnavailableError:
            # An option of another library, such as s3fs's key and secret, is told as such.
            _made(url, obstore, config=config | {"skip_signature": "true"}, client_options=client or None)
            raise
        if provider is not None:
            own["credential_provider"] = provider
            if "region" in named or "default_region" in named:
                provider.config.clear()
    elif profile is not None:
        raise ValueError(f"expected the option 'profile' with s3:// alone, found it with {scheme}://")
    return _made(url, obstore, config=config, client_options=client or None, **own)


def _made(url: str, obstore: Any, config: dict[str, Any], **keywords: Any) -> ObjectStore:
    try:
        store: ObjectStore = obstore.store.from_url(url, config=config, **keywords)
    except obstore.exceptions.BaseError as error:
        problem = redact(str(error).split("\n\nDebug source")[0], config)
    except (TypeError, OverflowError) as error:  # which does not say of which option
        given = config | (keywords.get("client_options") or {}) | keywords
        odd = [name for name, value in given.items() if not isinstance(value, (str, bool)) and name != "client_options"]
        problem = f"one of the options {', '.join(sorted(odd))} is of a wrong type ({error})"
    else:
        return store
    raise ValueError(f"cannot open {redact_urls(url)}: {problem}")


def _sorted(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the HTTP client, and those of the store. obstore panics where it finds one in the other."""
    named = dict(options)
    client = {_client_name(name): value for name, value in (named.pop("client_options", None) or {}).items()}
    config = dict(named.pop("config", None) or {}) | named
    for name in list(config):
        if _client_name(name) in _CLIENT_OPTIONS:
            client[_client_name(name)] = config.pop(name)
    client = {name: _duration(value) if name in _DURATIONS else _text(value) for name, value in client.items()}
    return client, {name: _text(value) for name, value in config.items()}


def _client_name(option: str) -> str:
    """Return the name that obstore's client has for an option, which may be named as its variable, AWS_ALLOW_HTTP."""
    return _CLOUD.sub("", option.lower())


def _text(value: Any) -> Any:
    """Return a number as text, as obstore wants it: a key may have digits alone."""
    return str(value) if type(value) in (int, float) else value


def _duration(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return timedelta(seconds=value) if is_number else value


def check_url(url: str) -> str:
    """Return the scheme of a URL of an object store.

    :raises ValueError: if it is none, or names no bucket, or has credentials in it; they are not repeated
    :raises TypeError: if it is no text
    """
    if not isinstance(url, str):
        raise TypeError(f"expected a URL as text, found {type(url).__name__}")
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"expected a URL that begins with {'://, '.join(SCHEMES)}://; found {redact_urls(url)!r}")
    has_user = "@" in parts.netloc and not (parts.scheme in _CONTAINER_AS_USER and parts.password is None)
    if has_user or parts.query or parts.fragment:
        raise ValueError(
            f"expected a URL without credentials and without a query (they would show in errors and logs); found some "
            f"before or behind {parts.scheme}://{parts.netloc.rpartition(chr(64))[2]}{parts.path}: pass them as options"
        )
    if not parts.netloc and parts.scheme != "file":
        found = redact_url(url)
        raise ValueError(f"expected a URL that names a bucket, such as {parts.scheme}://bucket/prefix; found {found!r}")
    return parts.scheme


def _import_obstore() -> Any:
    try:
        import obstore.exceptions
        import obstore.store
    except ImportError as error:
        raise ImportError(
            "obstore is needed for object stores: pip install 'ipld-castore[object]'", name="obstore"
        ) from error
    return obstore
