"""Requests to a store of obstore. Its errors become those of this package, without secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum, auto
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

from ipld_castore.concurrency.dask_profiler import warn_of_dask_profiler
from ipld_castore.errors import BackendUnavailableError, CAStoreError

from . import credentials
from .fork_guard import check_process
from .secrets import redact, redact_url, redact_urls

T = TypeVar("T")

MAX_OBJECT_BYTES: Final = 64 << 20
"""Bytes of the longest object that is read at once."""

DELETED_AT_ONCE: Final = 1000
"""Objects that S3 deletes by one request."""
_LISTED_AT_ONCE: Final = 1000
_ENDPOINT_VARIABLES: Final = {
    "S3Store": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AWS_ENDPOINT_URL"),
    "GCSStore": ("GOOGLE_BASE_URL",),
    "AzureStore": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""By the class of a store, the variables that name its endpoint, in the order in which obstore looks at them."""
_ENDPOINT_OPTIONS: Final = ("aws_endpoint_url_s3", "endpoint", "base_url")
_ACCOUNT_VARIABLE: Final = "AZURE_STORAGE_ACCOUNT_NAME"


_NO_BUCKET: Final = re.compile(r"<Code>(NoSuchBucket|ContainerNotFound)</Code>")
"""What S3, GCS and Azure answer where the bucket itself is absent."""
_NO_ACCESS: Final = re.compile(
    r"<Code>(InvalidAccessKeyId|AccessDenied|SignatureDoesNotMatch|InvalidToken|ExpiredToken)<"
)
"""Refusals that some servers answer with 404: of an unknown key versitygw does."""
_REFUSALS: Final = ("PermissionDeniedError", "UnauthenticatedError", "NotSupportedError", "NotImplementedError")
_TEXT: Final = 500
"""Characters of an error that are repeated."""
_XML_ERROR: Final = re.compile(r"<\?xml.*|<Error>.*", re.DOTALL)
_XML_FIELD: Final = re.compile(r"<(Code|Message)>(.*?)</\1>", re.DOTALL)


class NoObjectError(Exception):
    """The store has no object of the name."""


class FailureKind(Enum):
    """How a request failed."""

    ABSENT = auto()
    """The store has no such object."""
    NOT_EXPECTED = auto()
    """The condition of a put does not hold: the object is there, or is another."""
    REFUSED = auto()
    """The store refused; nothing was changed."""
    UNKNOWN = auto()
    """The store could not be asked, or did not answer; it may have done what was asked."""


class Failure(NamedTuple):
    """The failure of a request.

    It has no exception. A frame that kept one while it is raised would be in a cycle with it, and would keep what its
    callers have until the garbage collector runs.
    """

    kind: FailureKind
    message: str

    def error(self) -> Exception:
        """Return a new error for the caller: :class:`NoObjectError`, or :class:`BackendUnavailableError`."""
        return NoObjectError() if self.kind is FailureKind.ABSENT else BackendUnavailableError(self.message)


class Client:
    """A store of obstore, asked by names of objects. Safe with threads.

    :param store: the store
    :param prefix: what the names of objects begin with; for messages, names are given whole
    :raises TypeError: if it is no store of obstore
    """

    def __init__(self, store: Any, prefix: str = "") -> None:
        if not callable(getattr(store, "put_async", None)):
            raise TypeError(
                f"expected a store of obstore, such as obstore.store.S3Store(...), found {type(store).__name__}: "
                f"ObjectCAStore.from_url(url) makes one of a URL"
            )
        warn_of_dask_profiler()
        self.store = store
        self.kind = type(store).__name__
        """The name of the store's class, such as ``S3Store``."""
        self.config: dict[str, Any] = dict(getattr(store, "config", None) or {})
        """The options that the store was made with. Secrets are among them."""
        self.url, self.endpoint = _address(self, prefix)
        """The URL of the store, and the server if it is not the default; without secrets."""
        self.where = f"{self.url} at {self.endpoint}" if self.endpoint else self.url
        """A text that identifies the store, without secrets."""

    def get(self, name: str, what: str, max_bytes: int = MAX_OBJECT_BYTES) -> tuple[bytes, dict[str, Any]]:
        """Return the bytes and the metadata of an object.

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

    def put(self, name: str, data: bytes, what: str) -> None:
        """Put an object whole.

        :param what: what it is, for messages
        :raises BackendUnavailableError: if it cannot be put, or it is unknown whether it was
        """
        result = self.try_put(name, data, what, "overwrite")
        if isinstance(result, Failure):
            raise result.error()

    def try_put(self, name: str, data: bytes, what: str, mode: Any) -> dict[str, Any] | Failure:
        """Put an object whole; return its ``e_tag`` and ``version``, or why it was not put.

        :param mode: ``overwrite``, ``create``, or the ``e_tag`` and ``version`` that the object has now
        """
        put, verb = self.store.put, f"put {what} into"
        result = self.attempt(verb, lambda: put(name, data, mode=mode, use_multipart=False))
        if isinstance(result, Failure) and result.kind is FailureKind.ABSENT:
            return Failure(FailureKind.REFUSED, self._no_bucket(verb))
        return result

    async def try_put_async(self, name: str, data: bytes, mode: Any) -> bool:
        """Put an object whole in the running event loop; return whether it is known to be there.

        Where it is not, :meth:`try_put` tells why.
        """
        try:
            check_process()
            await self.store.put_async(name, data, mode=mode, use_multipart=False)
        except Exception:  # noqa: BLE001  # see above
            return False
        return True

    def list(self, prefix: str | None, what: str, behind: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield ``path``, ``size`` and ``last_modified`` of the objects whose names begin with a prefix and "/".

        :param what: what they are, for messages
        :param behind: leave out names up to this one
        :raises BackendUnavailableError: if they cannot be listed
        """
        verb = f"list {what} in"
        pages = self.ask_bucket(verb, lambda: iter(self.store.list(prefix, offset=behind, chunk_size=_LISTED_AT_ONCE)))
        while (page := self.ask_bucket(verb, lambda: next(pages, None))) is not None:
            yield from page

    def delete(self, names: Iterable[str], what: str) -> None:
        """Delete objects, by one request for a thousand where the store allows it. Absent ones are no error.

        :param what: what they are, for messages
        :raises BackendUnavailableError: if they cannot all be deleted; some of them may be
        """
        left = iter(names)
        while batch := list(islice(left, DELETED_AT_ONCE)):
            self._delete(batch, what)

    def _delete(self, names: Sequence[str], what: str) -> None:
        try:
            self.ask(f"delete {what} from", lambda: self.store.delete(names))
        except NoObjectError:  # some stores stop at one that is absent
            if len(names) > 1:
                for name in names:
                    self._delete([name], what)

    def ask(self, verb: str, action: Callable[[], T]) -> T:
        """Return what an action on the store returns, and raise its errors as the package's.

        :param verb: what is done, for messages: ``"read block ... from"``
        :raises NoObjectError: if the object is absent
        :raises BackendUnavailableError: for all else
        """
        result = self.attempt(verb, action)
        if isinstance(result, Failure):
            raise result.error()
        return result

    def ask_bucket(self, verb: str, action: Callable[[], T]) -> T:
        """Return what an action on the whole bucket returns; see :meth:`ask`.

        :raises BackendUnavailableError: also if there is no such bucket
        """
        try:
            return self.ask(verb, action)
        except NoObjectError:
            raise BackendUnavailableError(self._no_bucket(verb)) from None

    def _no_bucket(self, verb: str) -> str:
        return f"cannot {verb} {self.where}: there is no such bucket or container"

    def attempt(self, verb: str, action: Callable[[], T]) -> T | Failure:
        """Return what an action on the store returns, or why it failed.

        The error of obstore, whose text may hold secrets, is not chained to that of the failure.
        """
        try:
            check_process()
            return action()
        except CAStoreError as error:
            return Failure(FailureKind.REFUSED, str(error))
        except Exception as error:  # noqa: BLE001  # obstore raises builtins too
            return self._failure(verb, error)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # how a defect in Rust arrives
                raise
            return self._failure(verb, error)

    def _failure(self, verb: str, error: BaseException) -> Failure:
        if _NO_BUCKET.search(str(error)):
            return Failure(FailureKind.REFUSED, self._no_bucket(verb))
        if isinstance(error, FileNotFoundError) and not _NO_ACCESS.search(str(error)):
            return Failure(FailureKind.ABSENT, f"cannot {verb} {self.where}: there is no such object")
        name = "PermissionDeniedError" if isinstance(error, FileNotFoundError) else type(error).__name__
        text = redact(str(error).split("\n\nDebug source")[0], self.config)
        hint = credentials.hint(self.kind, name, text)
        message = f"cannot {verb} {self.where}: {_shortened(text) or name}{hint}"
        if name in ("AlreadyExistsError", "PreconditionError"):
            return Failure(FailureKind.NOT_EXPECTED, message)
        return Failure(FailureKind.REFUSED if name in _REFUSALS else FailureKind.UNKNOWN, message)


def _shortened(text: str) -> str:
    """Return the text of an error on one line, with the code and the message of a document in it."""
    fields = _XML_FIELD.findall(text)
    if fields:
        text = _XML_ERROR.sub(lambda _: ": ".join(value for _, value in fields), text, count=1)
    return " ".join(text.split())[:_TEXT]


def _address(client: Client, prefix: str) -> tuple[str, str]:
    """Return the URL of a store, and the endpoint if it is not the default, else an empty text."""
    place, endpoint = _place(client)
    own = getattr(client.store, "prefix", None) if client.kind != "LocalStore" else None
    below = "".join(f"/{part}" for part in (own, prefix) if part)
    return f"{place}{below}", redact_url(endpoint).rstrip("/") if endpoint else ""


def _place(client: Client) -> tuple[str, str | None]:
    """Return the URL of the bucket, and the endpoint."""
    store, config = client.store, client.config
    told = [config[name] for name in _ENDPOINT_OPTIONS if config.get(name)]
    told += [os.environ[name] for name in _ENDPOINT_VARIABLES.get(client.kind, ()) if os.environ.get(name)]
    endpoint = next(iter(told), None)
    if client.kind == "S3Store":
        return f"s3://{config.get('bucket')}", endpoint
    if client.kind == "GCSStore":
        return f"gs://{config.get('bucket')}", endpoint
    if client.kind == "AzureStore":
        account = config.get("account_name") or os.environ.get(_ACCOUNT_VARIABLE)
        return f"az://{config.get('container_name')}", endpoint or f"https://{account}.blob.core.windows.net"
    if client.kind == "LocalStore":
        return str(store.prefix or "/").rstrip("/"), None
    if client.kind == "HTTPStore":
        return redact_urls(str(store.url)).rstrip("/"), None
    return f"{client.kind}-{id(store)}", None
