"""Secrets of object stores: keep them out of texts and pickles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_SECRET_OPTION: Final = re.compile(r"key|secret|token|password|signature|sas|authorization", re.IGNORECASE)
_PUBLIC_OPTIONS: Final = frozenset(
    {
        "container_authorization_token_file",
        "federated_token_file",
        "skip_signature",
        "sse_bucket_key_enabled",
        "sse_kms_key_id",
        "web_identity_token_file",
    }
)
"""Options whose names look as if they held a secret."""

_URL_OPTION: Final = re.compile(r"endpoint|url", re.IGNORECASE)
_USERINFO: Final = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*)://(?P<user>[^/\s?#\"'<>]*)@", re.IGNORECASE)
_CONTAINER_AS_USER: Final = ("abfs", "abfss")
"""Schemes whose URLs have the container before an "@"."""
_QUERY: Final = re.compile(r"(?P<url>\b[a-z][a-z0-9+.-]*://[^\s?\"'<>]*)\?[^\s\"'<>]*", re.IGNORECASE)
_SHORTEST: Final = 4
"""Characters of a secret that is looked for in texts; shorter ones would be found everywhere."""


def is_secret(option: str) -> bool:
    """Return whether an option of a store, by its name, holds a secret.

    >>> [name for name in ("aws_secret_access_key", "sas_token", "region", "skip_signature") if is_secret(name)]
    ['aws_secret_access_key', 'sas_token']
    """
    name = option.lower()
    for scheme in ("aws_", "azure_", "azure_storage_", "google_"):
        name = name.removeprefix(scheme)
    return _SECRET_OPTION.search(name) is not None and name not in _PUBLIC_OPTIONS


def redact(text: str, options: Mapping[str, Any]) -> str:
    """Return a text without the secrets of a store: those of its options, and userinfo and queries of URLs.

    >>> redact("PUT http://me:pw@host/x?sig=abc with KEY12", {"access_key_id": "KEY12"})
    'PUT http://host/x with ...'
    """
    for option, value in options.items():
        if not isinstance(value, str):
            continue
        if is_secret(option) and len(value) >= _SHORTEST:
            text = text.replace(value, "...")
        if _is_url(option, value):
            text = text.replace(value, redact_url(value))
    return redact_urls(text)


def redact_urls(text: str) -> str:
    """Return a text whose URLs have no userinfo and no query."""
    return _QUERY.sub(r"\g<url>", _USERINFO.sub(_without_userinfo, text))


def _without_userinfo(found: re.Match[str]) -> str:
    is_container = found["scheme"].lower() in _CONTAINER_AS_USER and ":" not in found["user"]
    return found[0] if is_container else f"{found['scheme']}://"


def redact_url(url: str) -> str:
    """Return the URL of a server without userinfo and query, also where it is malformed.

    >>> redact_url("http://me:p/w@host"), redact_url("me:pw@host:80")
    ('http://host', 'host:80')
    """
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    return scheme + mark + rest.rpartition("@")[2].partition("?")[0]


def _is_url(option: str, value: str) -> bool:
    return "://" in value or _URL_OPTION.search(option) is not None


def without_secrets(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that make a store of obstore, without those that hold secrets.

    :param kwargs: ``config``, ``client_options``, ``credential_provider`` and the like, as obstore pickles them
    """
    public = {name: value for name, value in kwargs.items() if name != "credential_provider"}
    for name in ("config", "client_options"):
        if name in public:
            public[name] = {
                option: redact_url(value) if isinstance(value, str) and _is_url(option, value) else value
                for option, value in public[name].items()
                if not is_secret(option) and option != "default_headers"
            }
    return public
