"""Requests to a store of obstore: errors are the package's, and tell no secret."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ipld_castore.errors import BackendUnavailableError, CAStoreError

from . import credentials
from .fork_guard import check_process
from .secrets import redact, redact_urls

T = TypeVar("T")

MAX_OBJECT_BYTES: Final = 64 << 20
"""Bytes of the longest object that is read at once."""

_ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AWS_ENDPOINT_URL")


class NoObjectError(Exception):
    """There is no object of this name."""


class NotExpectedError(Exception):
    """The condition of a put does not hold: the object is there, or is another."""


class RequestRefusedError(BackendUnavailableError):
    """The store has answered that it does not do this; nothing was changed."""


_REFUSALS: Final = ("PermissionDeniedError", "UnauthenticatedError", "NotSupportedError", "NotImplementedError")


class Client:
    """A store of obstore, asked by names of objects. Safe with threads.

    :param store: the store
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self.kind = type(store).__name__
        """The name of the store's class, such as ``S3Store``."""
        self.config: dict[str, Any] = dict(getattr(store, "config", None) or {})
        """The options that the store was made with. Secrets are among them."""
        self.where = _address(self)
        """What tells the store from others, without secrets."""

    def get(self, name: str, what: str, max_bytes: int = MAX_OBJECT_BYTES) -> tuple[bytes, dict[str, Any]]:
        """Return the bytes of an object and what the store says of it.

        :param what: what the object is, for messages
        :param max_bytes: the longest object that is read
        :raises NoObjectError: if there is none
        :raises BackendUnavailableError: if it cannot be read, or is longer
        """

        def read() -> tuple[bytes, dict[str, Any]]:
            answer = self.store.get(name)
            size = answer.meta["size"]
            if size > max_bytes:
                raise BackendUnavailableError(
                    f"cannot read {what} from {self.where}: expected at most {max_bytes} bytes, found {size}"
                )
            return bytes(answer.bytes()), answer.meta

        return self.ask(f"read {what} from", read)

    def put(self, name: str, data: bytes, what: str, mode: Any = "overwrite") -> dict[str, Any]:
        """Put an object whole; return its ``e_tag`` and ``version``.

        :param mode: ``overwrite``, ``create``, or the ``e_tag`` and ``version`` that it has now
        :raises NotExpectedError: if the object is not as ``mode`` says
        :raises BackendUnavailableError: if it cannot be put, or nobody knows whether it was
        """
        put = self.store.put
        result: dict[str, Any] = self.ask(f"put {what} into", lambda: put(name, data, mode=mode, use_multipart=False))
        return result

    def ask(self, verb: str, action: Callable[[], T]) -> T:
        """Return what an action on the store returns, and raise its errors as the package's.

        :param verb: what is done, for messages: ``"read block ... from"``
        :raises NoObjectError: if the object is absent
        :raises NotExpectedError: if the condition of a put does not hold
        :raises BackendUnavailableError: for all else
        """
        check_process()
        try:
            return action()
        except CAStoreError:
            raise
        except Exception as error:  # noqa: BLE001  # obstore raises builtins too
            problem = self._translated(verb, error)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # how a defect in Rust arrives
                raise
            problem = self._translated(verb, error)
        raise problem  # outside, so that the text of the original, which may hold secrets, is not chained to it

    def _translated(self, verb: str, error: BaseException) -> Exception:
        name = type(error).__name__
        if isinstance(error, FileNotFoundError):
            return NoObjectError()
        if name in ("AlreadyExistsError", "PreconditionError"):
            return NotExpectedError()
        text = redact(str(error).split("\n\nDebug source")[0], self.config)
        hint = credentials.hint(self.kind, name, text)
        kind = RequestRefusedError if name in _REFUSALS else BackendUnavailableError
        return kind(f"cannot {verb} {self.where}: {text.strip() or name}{hint}")


def _address(client: Client) -> str:
    """Return what tells a store from others: a URL, with the endpoint if it is not the usual one."""
    store, config = client.store, client.config
    prefix = getattr(store, "prefix", None)
    below = f"/{prefix}" if prefix else ""
    if client.kind == "S3Store":
        endpoint = config.get("aws_endpoint_url_s3") or config.get("endpoint")
        endpoint = endpoint or next((os.environ[name] for name in _ENDPOINT_VARIABLES if os.environ.get(name)), None)
        where = f"s3://{config.get('bucket')}{below}"
        return f"{where} at {redact_urls(endpoint)}" if endpoint else where
    if client.kind == "GCSStore":
        return f"gs://{config.get('bucket')}{below}"
    if client.kind == "AzureStore":
        where = f"az://{config.get('account_name')}/{config.get('container_name')}{below}"
        endpoint = config.get("endpoint")
        return f"{where} at {redact_urls(endpoint)}" if endpoint else where
    if client.kind == "LocalStore":
        return str(prefix) if prefix else "/"
    if client.kind == "HTTPStore":
        return redact_urls(str(store.url))
    return f"{client.kind}-{id(store)}"
