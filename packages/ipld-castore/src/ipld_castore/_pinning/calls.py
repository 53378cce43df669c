"""Calls of a pinning service: each with the token, within bounds, tried again where that may help."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from ipld_car.messages import Message, Term

from ipld_castore._core.pauses import pause_before_retry
from ipld_castore._http.address import Address
from ipld_castore._http.client import HTTPClient
from ipld_castore._http.errors import BodyTooLongError, ConnectionBrokenError, SilenceError, TransportError
from ipld_castore._http.response import Response
from ipld_castore.errors import BackendUnavailableError

from .errors import PinNotFoundError, PinRefusedError
from .pin_status import MalformedError

T = TypeVar("T")

MAX_BYTES: Final = 8 << 20
"""The longest response. One of a hundred requests to pin has some 100 KiB."""

_MAX_ERROR_BYTES: Final = 64 << 10
_TEXT: Final = 500
"""The most characters of what a service says that an error repeats."""

_BUSY: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses after which another try may succeed."""

_HINTS: Final = {
    401: ": the token is missing at the service, has expired, or is for another service",
    403: ": the token has no permission for this",
    409: ": the account has no funds or no space left",
}

sleep = time.sleep

Query = Sequence[tuple[str, str]]


class Calls:
    """The calls of one service. Threads may share them; a fork has connections of its own.

    :param service: the address of the service, with the token
    :param timeout: the seconds that the service may be silent
    :param retries: how often a call is tried again that was broken off, or that a busy service refused
    """

    def __init__(self, service: Address, timeout: float, retries: int) -> None:
        self._service = service
        self._retries = retries
        self._client = HTTPClient(timeout)

    @property
    def url(self) -> str:
        """The URL of the service, without secrets."""
        return self._service.url

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], T],
        *,
        query: Query = (),
        body: Any = None,
        done: Callable[[], T | None] | None = None,
    ) -> T:
        """Make a call and return its parsed response.

        :param path: below the endpoint, from a slash on
        :param parse: makes a value of the JSON of the response; gets None for an empty body
        :param body: what is sent as JSON
        :param done: where a call must not be made twice: asked after a try that the service may have carried out,
            though it did not say so; returns the result of that try, or None if there is none
        :raises PinNotFoundError: if the service has no such request
        :raises PinRefusedError: if the service refuses the call
        :raises BackendUnavailableError: if there is no response, or none that the API has
        """
        what = f"{method} {path}"
        target = path + ("?" + urlencode(query) if query else "")
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Length": str(len(data))}
        headers |= {"Content-Type": "application/json"} if data else {}
        for tries in range(self._retries + 1):
            last = tries == self._retries
            asked = None
            try:
                with self._client.request(method, self._service, target, headers, body=[data]) as response:
                    if response.status not in _BUSY or last:
                        return self._result(what, response, parse)
                    asked = response.retry_after
                    may_be_done = response.status != 429
                    response.drain()
            except TransportError as error:
                if last or not isinstance(error, ConnectionBrokenError):
                    raise self._no_response(what, error, changes=method != "GET") from error
                may_be_done = True
            sleep(pause_before_retry(tries, asked))
            if may_be_done and done is not None and (result := done()) is not None:
                return result
        raise AssertionError("the last try returns or raises")

    def _result(self, what: str, response: Response, parse: Callable[[Any], T]) -> T:
        """Return the parsed response.

        :raises CAStoreError: if the status or the body is another than expected
        """
        if response.is_redirect:
            raise self._unexpected(what, "a redirect, which is not followed, as it would get the token")
        if response.status not in {200, 202, 204}:
            raise self._refusal(what, response)
        try:
            data = response.read_all(MAX_BYTES)
        except BodyTooLongError as error:
            raise self._unexpected(what, f"a response of more than {MAX_BYTES} bytes") from error
        try:
            return parse(json.loads(data) if data.strip() else None)
        except MalformedError as error:
            raise self._unexpected(what, self.shown(str(error))) from None
        except (ValueError, RecursionError):
            raise self._unexpected(what, f"{self.shown(data[:100].decode(errors='replace'))!r}, no JSON") from None

    def _refusal(self, what: str, response: Response) -> Exception:
        """Return the error for a status that is an error."""
        status = response.status
        reason, details = self._failure(response)
        said = ": ".join(filter(None, (reason, details))) or "nothing more"
        if status >= 500 or status == 429:
            text = f"the pinning service at {self.url} cannot do {what} now: HTTP {status}, {said}"
            return BackendUnavailableError(text)
        kind = PinNotFoundError if status == 404 else PinRefusedError
        text = f"the pinning service at {self.url} refuses {what}: HTTP {status}, {said}{_HINTS.get(status, '')}"
        return kind(text, status, reason)

    def _failure(self, response: Response) -> tuple[str, str]:
        """Return the reason and the details of a response that is an error; of another body, its beginning."""
        try:
            data = response.read_all(_MAX_ERROR_BYTES)
        except TransportError:
            return "", ""  # the status says enough
        try:
            error = json.loads(data)["error"]
            return self.shown(str(error["reason"])), self.shown(str(error.get("details") or ""))
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return self.shown(data[: 4 * _TEXT].decode(errors="replace")), ""

    def _no_response(self, what: str, error: TransportError, *, changes: bool) -> BackendUnavailableError:
        """Return the error for a call that has no response."""
        text = f"no response from the pinning service at {self.url} to {what}: {self.shown(str(error))}"
        if changes and isinstance(error, (SilenceError, ConnectionBrokenError)):
            text = Message(text, "; the service may have carried it out: ", Term("list()"), " tells")
        return BackendUnavailableError(text)

    def _unexpected(self, what: str, found: str) -> BackendUnavailableError:
        return BackendUnavailableError(
            f"{self.url} answered {what} with {found}: is that the endpoint of a pinning service, without /pins?"
        )

    def shown(self, text: str) -> str:
        """Return the text of a service, shortened, and without the token, which a service may repeat."""
        secret = self._service.secret
        token = secret.reveal().removeprefix("Bearer ") if secret is not None else ""
        return (text.replace(token, "<secret>") if token else text)[:_TEXT]
