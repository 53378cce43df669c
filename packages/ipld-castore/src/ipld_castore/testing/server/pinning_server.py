"""A pinning service: https://ipfs.github.io/pinning-services-api-spec/. It answers, and pins nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ipld_car import CarError, cids

from ipld_castore._backends.filesystem import FileSystemCAStore
from ipld_castore._backends.mapping import MappingCAStore

from .block_server import BlockServer
from .gateway_side import AnyRequest
from .replies import Reply, json_reply, pinning_failure, text_reply

_FIRST_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MAX_LIMIT: Final = 1000
_DEFAULT_LIMIT: Final = 10

_MATCHES: Final[dict[str, Callable[[str, str], bool]]] = {
    "exact": lambda wanted, name: wanted == name,
    "iexact": lambda wanted, name: wanted.casefold() == name.casefold(),
    "partial": lambda wanted, name: wanted in name,
    "ipartial": lambda wanted, name: wanted.casefold() in name.casefold(),
}

_Answer = Callable[[AnyRequest, str], Reply]


@dataclass
class _Held:
    """A request to pin."""

    number: int
    pin: dict[str, Any]
    steps: list[str]
    """The statuses that are still to come, the present one first."""

    @property
    def request_id(self) -> str:
        return f"request/{self.number}"  # a slash, as an id may have anything

    @property
    def created(self) -> datetime:
        """Another time for each request, as the API wants it."""
        return _FIRST_TIME + timedelta(milliseconds=self.number)


class PinningServer(BlockServer):
    """A pinning service on a free port of this machine, and all that a :class:`BlockServer` is.

    It wants the bearer token, has a list of requests, pages and filters. What becomes of a request is said by
    :attr:`steps`, and a step further whenever a client asks for the status. It does not fetch the blocks. Faults are
    injected as into every :class:`BlockServer`; :mod:`~ipld_castore.testing.faults` has some of pinning services.

    >>> from ipld_castore import MappingCAStore, PinFailedError, PinningService
    >>> cid = MappingCAStore().put(b"hello")
    >>> with PinningServer() as server, PinningService(server.url, server.token) as service:
    ...     server.steps, server.failure = ("queued", "failed"), "no peer has it"
    ...     try:
    ...         service.pin(cid)
    ...     except PinFailedError as error:
    ...         print(error.status.details)
    no peer has it
    """

    def __init__(self, blocks: MappingCAStore | FileSystemCAStore | None = None, *, latency: float = 0.0) -> None:
        super().__init__(blocks, latency=latency)
        self.token = "token-of-the-test-server"  # noqa: S105  # of nothing
        """The token that the service wants."""
        self.steps: tuple[str, ...] = ("queued", "pinning", "pinned")
        """The statuses that a new request goes through. The last one stays."""
        self.failure = "no peer has the blocks"
        """The ``status_details`` of requests that failed."""
        self.delegates = ["/ip4/127.0.0.1/tcp/4001/p2p/QmTestServer"]
        """The peers of the service, as each status names them."""
        self._pinning = _PinningSide(self)
        self._sides = (self._pinning, *self._sides)


class _PinningSide:
    """Answers ``/pins`` and ``/pins/{requestid}``."""

    def __init__(self, server: PinningServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._count = 0
        self._of_all: dict[str, _Answer] = {"GET": self._list, "POST": self._add}
        self._of_one: dict[str, _Answer] = {"GET": self._status, "POST": self._replace, "DELETE": self._delete}

    def reply_to(self, request: AnyRequest) -> Reply | None:
        """Return the response; None for requests that are not for a pinning service."""
        head, _, request_id = request.path.removeprefix("/").partition("/")
        if head != "pins":
            return None
        if request.headers.get("authorization") != f"Bearer {self._server.token}":
            return pinning_failure(401, "UNAUTHORIZED", "Access token is missing or invalid")
        answers = self._of_one if request_id else self._of_all
        answer = answers.get(request.method)
        if answer is None:
            return text_reply(405, "405 - Method Not Allowed")
        with self._lock:
            if request_id and request_id not in self._held:
                return pinning_failure(404, "NOT_FOUND", f"no request {request_id}")
            return answer(request, request_id)

    def _add(self, request: AnyRequest, _: str) -> Reply:
        try:
            pin = json.loads(request.body)
            cids.to_bytes(pin["cid"])
        except (ValueError, LookupError, TypeError, CarError) as error:
            return pinning_failure(400, "BAD_REQUEST", str(error))
        self._count += 1
        held = _Held(self._count, pin, list(self._server.steps))
        self._held[held.request_id] = held
        return json_reply(self._described(held), 202)

    def _status(self, _: AnyRequest, request_id: str) -> Reply:
        held = self._held[request_id]
        if len(held.steps) > 1:
            held.steps.pop(0)
        return json_reply(self._described(held))

    def _replace(self, request: AnyRequest, request_id: str) -> Reply:
        made = self._add(request, request_id)
        if made.status == 202:
            del self._held[request_id]
        return made

    def _delete(self, _: AnyRequest, request_id: str) -> Reply:
        del self._held[request_id]
        return Reply(202, {"Content-Length": "0"}, [])

    def _described(self, held: _Held) -> dict[str, Any]:
        status = held.steps[0]
        described: dict[str, Any] = {
            "requestid": held.request_id,
            "status": status,
            "created": held.created.isoformat().replace("+00:00", "Z"),
            "pin": held.pin,
            "delegates": self._server.delegates,
        }
        if status == "failed":
            described["info"] = {"status_details": self._server.failure}
        return described

    def _list(self, request: AnyRequest, _: str) -> Reply:
        limit = int(request.option("limit", str(_DEFAULT_LIMIT)))
        if not 1 <= limit <= _MAX_LIMIT:
            return pinning_failure(400, "BAD_REQUEST", f"limit {limit}")
        found = [held for held in reversed(self._held.values()) if self._fits(held, request)]
        results = [self._described(held) for held in found[:limit]]
        return json_reply({"count": len(found), "results": results})

    def _fits(self, held: _Held, request: AnyRequest) -> bool:
        query = request.query
        name, meta = held.pin.get("name", ""), held.pin.get("meta", {})
        matches = _MATCHES[request.option("match", "exact")]
        return (
            held.steps[0] in _values(query, "status", "pinned")
            and ("cid" not in query or held.pin["cid"] in _values(query, "cid"))
            and ("name" not in query or matches(request.option("name"), name))
            and ("before" not in query or held.created < datetime.fromisoformat(request.option("before")))
            and ("after" not in query or held.created > datetime.fromisoformat(request.option("after")))
            and json.loads(request.option("meta", "{}")).items() <= meta.items()
        )


def _values(query: dict[str, list[str]], name: str, default: str = "") -> list[str]:
    """Return the values of a name: each for itself, as the API has it, or behind commas, as Kubo sends them."""
    return ",".join(query.get(name, [default])).split(",")
