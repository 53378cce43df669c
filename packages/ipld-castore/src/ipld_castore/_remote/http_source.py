"""Ranges of a file on an HTTP server: https://www.rfc-editor.org/rfc/rfc9110#name-range-requests."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

from ipld_castore._core.pauses import pause_before_retry
from ipld_castore._http.client import HTTPClient
from ipld_castore._http.errors import ConnectionBrokenError, TransportError
from ipld_castore._http.response import Response
from ipld_castore.errors import BackendUnavailableError

from .file_url import FileURL
from .version import FileVersion, bare_etag
from .versioned_source import VersionedSource

_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_EXPIRED: Final = frozenset({400, 401, 403, 404, 410})
"""Statuses of a place that a redirect named some time ago, whose signature may have expired."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_EMPTY: Final = re.compile(r"bytes \*/0+")

sleep = time.sleep


class _BusyError(Exception):
    """The server may answer later.

    :param pause: the seconds after which it wants to be asked again, if it says so
    """

    def __init__(self, message: str, pause: float | None) -> None:
        super().__init__(message)
        self.pause = pause


class HTTPRangeSource(VersionedSource):
    """A file on an HTTP server as a :class:`ipld_car.RangeSource`.

    Every answer is compared with the range that was asked for, and with what the server said of the file at first: its
    size, ETag and time. Redirects are followed, at most 5, and credentials are sent to the first server only. A server
    that is busy, or breaks the connection, is asked again. Threads may share a source; a fork and a pickle have
    connections of their own. The pickle holds the credentials.

    :param url: the file
    :param timeout: the seconds that the server may be silent
    :param retries: how often a request is sent again
    :param version: what is known of the file; None asks the server when it is needed
    :param client: the connections, by default new ones. A pickle has connections of its own
    :param check_redirect: raises an error for a redirect that may not be followed
    """

    def __init__(
        self,
        url: FileURL,
        timeout: float,
        retries: int,
        version: FileVersion | None = None,
        *,
        client: HTTPClient | None = None,
        check_redirect: Callable[[FileURL], None] | None = None,
    ) -> None:
        super().__init__(version)
        self._url = url
        self._retries = retries
        self._client = HTTPClient(timeout) if client is None else client
        self._check_redirect = check_redirect
        self._place = url
        """Where the redirects of the last request have led to."""

    @property
    def where(self) -> str:
        """The URL, without credentials and query."""
        return self._url.shown

    @property
    def url(self) -> str:
        """The URL, without credentials and query."""
        return self._url.shown

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._client.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return HTTPRangeSource, (self._url, self._client.timeout, self._retries, self._version)

    # -- requests --

    def _read(self, offset: int, size: int) -> bytes:
        for attempt in range(self._retries + 1):
            try:
                return self._ask(offset, size)
            except (ConnectionBrokenError, _BusyError) as error:
                if attempt == self._retries:
                    raise self._error(f"{error} (asked {attempt + 1} times)") from None
                asked = error.pause if isinstance(error, _BusyError) else None
            except TransportError as error:
                raise self._error(str(error)) from None
            sleep(pause_before_retry(attempt, asked))
        raise AssertionError  # the last attempt returns or raises

    def _ask(self, offset: int, size: int) -> bytes:
        """Send one request for a range, and return its bytes."""
        with self._follow({"Range": f"bytes={offset}-{offset + size - 1}"}) as response:
            status = response.status
            if status == 416 and offset == 0 and _EMPTY.fullmatch(response.headers.get("Content-Range", "")):
                self._note(FileVersion(0))
                return b""
            if status != 206:
                raise self._refusal(response)
            encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding != "identity":
                raise self._error(f"expected bytes as they are, found them encoded as {encoding[:100]!r}")
            text = response.headers.get("Content-Range", "")
            found = _CONTENT_RANGE.fullmatch(text.strip())
            if found is None:
                raise self._error(f"expected a Content-Range with the size of the file, found {text[:100]!r}")
            start, last, total = map(int, found.groups())
            self._note(
                FileVersion(total, bare_etag(response.headers.get("ETag")), response.headers.get("Last-Modified"))
            )
            expected = min(size, total - offset)
            if (start, last) != (offset, offset + expected - 1):
                raise self._error(f"expected the bytes {offset} to {offset + expected - 1}, found {text[:100]!r}")
            data = response.read_all(expected, expected)
        if len(data) != expected:
            raise ConnectionBrokenError(f"expected {expected} bytes at {offset}, found {len(data)}")
        return data

    def _note(self, found: FileVersion) -> None:
        if self._version is None:
            self._version = found
        else:
            self._version.check(found, self.where)

    def _follow(self, headers: dict[str, str]) -> Response:
        """Send a request and follow its redirects; the next request begins where they have led to."""
        place = self._place
        response = self._send(place, headers)
        if place is not self._url and response.status in _EXPIRED:
            response.close()
            place = self._url
            response = self._send(place, headers)
        for _ in range(_MAX_REDIRECTS):
            if response.status not in _REDIRECTS:
                self._place = place
                return response
            response.close()
            try:
                place = place.redirected(response.headers.get("Location", ""))
            except ValueError as error:
                raise self._error(f"HTTP {response.status}, a redirect that is not followed: {error}") from None
            if self._check_redirect is not None:
                self._check_redirect(place)
            response = self._send(place, headers)
        if response.status in _REDIRECTS:
            response.close()
            raise self._error(f"it redirects more than {_MAX_REDIRECTS} times")
        self._place = place
        return response

    def _send(self, place: FileURL, headers: dict[str, str]) -> Response:
        has_query = bool(place.query)  # which may be a signature
        return self._client.request("GET", place.address, place.target, headers, has_secret_query=has_query)

    def _refusal(self, response: Response) -> Exception:
        """Return the error for an answer that has no range."""
        status = response.status
        if status in _BUSY:
            return _BusyError(f"HTTP {status}", response.retry_after)
        if status == 200:
            self._look_for_change(response)
            return self._error(
                "the server ignores Range, and sends the whole file: download it and open the file, or serve it by a "
                "server that knows ranges"
            )
        if status == 416:
            return self._error("the file is shorter than it was, or the server knows no such range")
        if status in (401, 403):
            return self._error(f"HTTP {status}: it asks for credentials, or forbids this")
        if status in (404, 410):
            return self._error(f"HTTP {status}: there is no such file")
        return self._error(f"expected HTTP 206, found {status}")

    def _look_for_change(self, response: Response) -> None:
        """Raise if an answer with the whole file is of another state: some servers know ranges of large files only."""
        length = response.headers.get("Content-Length", "")
        if self._version is not None and length.isdigit() and len(length) < 19:
            etag, modified = bare_etag(response.headers.get("ETag")), response.headers.get("Last-Modified")
            self._version.check(FileVersion(int(length), etag, modified), self.where)

    def _error(self, message: str) -> BackendUnavailableError:
        return BackendUnavailableError(f"cannot read {self.where}: {message}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.where}>"
