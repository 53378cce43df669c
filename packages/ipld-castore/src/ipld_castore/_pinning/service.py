"""Pinning services: others keep a graph, and are asked by the IPFS pinning service API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal, NoReturn, Self
from urllib.parse import quote

from ipld_car import cids
from ipld_car.messages import Message, Term

from ipld_castore._core import pauses
from ipld_castore._core.backend import AnyCID
from ipld_castore._http.address import bearer_secret, parse_url

from . import calls
from .calls import Calls
from .errors import PinFailedError, PinNotFoundError, PinTimeoutError
from .listing import pages
from .pin_status import STATUSES, MalformedError, PinStatus, Status, parse_pin_status, pin_object, time_text

Match = Literal["exact", "iexact", "partial", "ipartial"]

_MATCHES: Final = ("exact", "iexact", "partial", "ipartial")
_MAX_DOUBLINGS: Final = 8
"""Then the pause between two questions for a status stays as it is: some 25 s."""


class PinningService:
    """A service that keeps graphs of blocks for its users, asked by the IPFS pinning service API, version 1.

    The service fetches the blocks itself, over the IPFS network or from ``origins``: they must be at a node that the
    service reaches, or at the service already. It is trusted to keep them, not to tell what they are.

    The token is in no ``repr``, error or log. A service cannot be pickled, as the pickle would hold the token. Threads
    may share a service; a fork has connections of its own.

    A call that is broken off, or that a busy service refuses, is tried again after a pause, or after the one that
    ``Retry-After`` asks for, up to 60 s. A request is not made twice: after a try whose end is unknown the service is
    asked whether it has the request.

    :param endpoint: the URL of the API, without ``/pins``, for example ``https://api.pinata.cloud/psa``
    :param token: the access token, as the service gives it
    :param timeout: the seconds that the service may be silent
    :param retries: how often a call is tried again
    :raises ValueError: if the endpoint is no URL, or holds a password, or the token is none that a header can hold

    Source: https://ipfs.github.io/pinning-services-api-spec/.

    >>> from ipld_castore import MappingCAStore
    >>> from ipld_castore.testing import PinningServer
    >>> cid = MappingCAStore().put(b"hello")
    >>> with PinningServer() as server, PinningService(server.url, server.token) as service:
    ...     kept = service.pin(cid, name="greeting")
    ...     [(each.name, each.status) for each in service.list()]
    [('greeting', 'pinned')]
    """

    def __init__(self, endpoint: str, token: str, *, timeout: float = 30.0, retries: int = 4) -> None:
        address = parse_url(endpoint, "/pins")
        if address.secret is not None:
            raise ValueError(
                "expected an endpoint without user and password, found one with: the token stands for both"
            )
        if not timeout > 0 or retries < 0:
            raise ValueError(f"expected a timeout above 0 and retries from 0 on, found {timeout!r} and {retries!r}")
        self._calls = Calls(replace(address, secret=bearer_secret(token)), timeout, retries)

    @property
    def endpoint(self) -> str:
        """The URL of the API."""
        return self._calls.url

    # -- pins --

    def pin(
        self,
        cid: AnyCID,
        *,
        name: str = "",
        origins: Iterable[str] = (),
        meta: Mapping[str, str] | None = None,
        wait: bool = True,
        timeout: float | None = None,
        progress: Callable[[PinStatus], object] | None = None,
    ) -> PinStatus:
        """Ask the service to keep all that a CID reaches, and wait until it does.

        :param cid: the root of the graph
        :param name: a name for the pin, of at most 255 characters
        :param origins: multiaddrs of peers that have the blocks, at most 20; the service connects to them
        :param meta: texts by name that the service keeps with the pin; some have meanings at some services
        :param wait: wait until the graph is pinned; else return once the service has the request
        :param timeout: the most seconds to wait; None for no limit
        :param progress: called with the status whenever it was asked for
        :returns: the status at the end; its ``delegates`` are peers of the service
        :raises PinFailedError: if the service could not pin the graph; the request is still in its list
        :raises PinTimeoutError: if the time is over; the service goes on, and :meth:`wait` too can go on
        :raises PinRefusedError: if the service refuses the request: a wrong token, no funds
        :raises BackendUnavailableError: if the service cannot be reached
        :raises ValueError: if the API does not allow one of the arguments
        """
        return self._finish(self.add(cid, name=name, origins=origins, meta=meta), timeout, progress, wait=wait)

    def add(
        self,
        cid: AnyCID,
        *,
        name: str = "",
        origins: Iterable[str] = (),
        meta: Mapping[str, str] | None = None,
    ) -> PinStatus:
        """Ask the service to keep all that a CID reaches, and return at once. :meth:`pin` has the arguments and errors.

        Each call makes a request of its own, also for a CID that is pinned already.
        """
        return self._send("/pins", cid, name, tuple(origins), meta, old=None)

    def replace(
        self,
        request_id: str,
        cid: AnyCID,
        *,
        name: str = "",
        origins: Iterable[str] = (),
        meta: Mapping[str, str] | None = None,
        wait: bool = True,
        timeout: float | None = None,
        progress: Callable[[PinStatus], object] | None = None,
    ) -> PinStatus:
        """Put a new request in the place of another. The service keeps the blocks that both have.

        :param request_id: the :attr:`PinStatus.request_id` of the old request, which is gone then
        :returns: the status of the new request, which has another ``request_id``
        :raises PinNotFoundError: if the service has no such request

        The other arguments and errors are those of :meth:`pin`.
        """
        made = self._send(_path(request_id), cid, name, tuple(origins), meta, old=request_id)
        return self._finish(made, timeout, progress, wait=wait)

    def status(self, request_id: str) -> PinStatus:
        """Return the status of a request.

        :raises PinNotFoundError: if the service has no such request
        :raises BackendUnavailableError: if the service cannot be reached
        """
        return self._calls.call("GET", _path(request_id), parse_pin_status)

    def wait(
        self,
        request_id: str,
        *,
        timeout: float | None = None,
        progress: Callable[[PinStatus], object] | None = None,
    ) -> PinStatus:
        """Wait until a request is pinned, and return its status. :meth:`pin` has the arguments and errors."""
        return self._finish(self.status(request_id), timeout, progress, wait=True)

    def delete(self, request_id: str) -> None:
        """Withdraw a request. The service may forget the blocks that no other request needs.

        :raises PinNotFoundError: if the service has no such request
        :raises BackendUnavailableError: if the service cannot be reached
        """

        def gone() -> bool | None:
            try:
                self.status(request_id)
            except PinNotFoundError:
                return True
            return None

        self._calls.call("DELETE", _path(request_id), lambda _: True, done=gone)

    def list(
        self,
        *,
        cid: AnyCID | None = None,
        name: str | None = None,
        match: Match = "exact",
        status: Iterable[Status] = STATUSES,
        before: datetime | None = None,
        after: datetime | None = None,
        meta: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> Iterator[PinStatus]:
        """Yield the requests that the service has, the newest first, page by page as they are asked for.

        :param cid: only those of this CID
        :param name: only those of this name
        :param match: how the name is compared: as a whole or in part, with or without (``i``) the case
        :param status: only those with one of these statuses; by default all
        :param before: only those that were made before this time
        :param after: only those that were made after this time
        :param meta: only those with these texts
        :param limit: the most that are yielded; None for all
        :raises BackendUnavailableError: if the service cannot be reached, or its pages do not end
        :raises ValueError: if an argument is none of these; a time needs a time zone
        """
        wanted = tuple(status)
        if not wanted or not {*wanted} <= {*STATUSES}:
            raise ValueError(f"expected statuses of {', '.join(STATUSES)}, found {wanted!r}")
        if match not in _MATCHES:
            raise ValueError(f"expected a match of {', '.join(_MATCHES)}, found {match!r}")
        query = [] if cid is None else [("cid", cids.to_text(cids.to_bytes(cid)))]
        query += [] if name is None else [("name", name), ("match", match)]
        query += [("status", each) for each in dict.fromkeys(wanted)]
        query += [] if before is None else [("before", time_text(before))]
        query += [] if after is None else [("after", time_text(after))]
        query += [("meta", json.dumps(dict(meta)))] if meta else []
        return pages(self._calls, query, limit)

    # -- requests --

    def _send(
        self,
        path: str,
        cid: AnyCID,
        name: str,
        origins: tuple[str, ...],
        meta: Mapping[str, str] | None,
        *,
        old: str | None,
    ) -> PinStatus:
        """Make a request to pin, once."""
        binary = cids.to_bytes(cid)
        body = pin_object(binary, name, origins, meta or {})

        def parse(value: Any) -> PinStatus:
            made = parse_pin_status(value)
            if not _is_of(made, binary):
                raise MalformedError(f"expected a pin of {cids.to_text(binary)}, found {made.cid}")
            return made

        def made_before() -> PinStatus | None:
            for each in self.list(cid=cid, name=name or None, status=("queued", "pinning", "pinned"), limit=100):
                same = each.name == name and {**each.meta} == {**(meta or {})} and _is_of(each, binary)
                if same and each.request_id != old:
                    return each
            return None

        return self._calls.call("POST", path, parse, body=body, done=made_before)

    def _finish(
        self,
        status: PinStatus,
        timeout: float | None,
        progress: Callable[[PinStatus], object] | None,
        *,
        wait: bool,
    ) -> PinStatus:
        """Ask for the status until it is final, each time after a longer pause."""
        end = None if timeout is None else time.monotonic() + timeout
        tries = 0
        while True:
            if progress is not None:
                progress(status)
            if status.status == "failed":
                details = self._calls.shown(status.details) or "it says no reason"
                text = f"the pinning service at {self.endpoint} could not pin {status.cid}: {details}"
                raise PinFailedError(text, status)
            if status.is_final or not wait:
                return status
            pause = pauses.pause_before_retry(min(tries, _MAX_DOUBLINGS))
            left = pause if end is None else end - time.monotonic()
            if left <= 0:
                raise PinTimeoutError(
                    Message(
                        f"expected {status.cid} pinned at {self.endpoint} within {timeout:g} s, found it "
                        f"{status.status}: the service goes on with the request {status.request_id}",
                        Term("wait()", ", for which wait() waits"),
                    ),
                    status,
                )
            calls.sleep(min(pause, left))
            status = self.status(status.request_id)
            tries += 1

    # -- the service itself --

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PinningService({self.endpoint!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PinningService has a token, which a pickle must not have: make the service where it is used")


def _path(request_id: str) -> str:
    """Return the path of a request.

    :raises ValueError: if it is none
    """
    if request_id in {"", ".", ".."}:  # these would be other paths
        raise ValueError(f"expected the request_id of a pin, found {request_id!r}")
    return f"/pins/{quote(request_id, safe='')}"


def _is_of(status: PinStatus, cid: bytes) -> bool:
    """Return whether a request is for a CID, in version 0 or 1."""
    found = bytes(status.cid)
    same: bool = cids.multihash_of(found) == cids.multihash_of(cid) and cids.codec_of(found) == cids.codec_of(cid)
    return same
