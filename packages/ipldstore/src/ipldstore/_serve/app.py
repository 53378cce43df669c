"""The server as an ASGI application: which answer a request gets, and what its errors are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import unquote

from ipld_car import CarError, cids
from ipld_castore import BlockNotFoundError, CAStoreError, NameRefusedError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from ipldstore.errors import BlockMissingError, IPLDStoreError

from .connections import Connections
from .content import Content
from .guard import Guard
from .headers import CORS, PAGE, SAFE
from .limits import Limits
from .names import record_response
from .negotiation import BadRequestError, Form, UnsatisfiableRangeError, form_of
from .pages.html import index_page
from .served_blocks import ServedBlocks
from .sources import Source
from .traversal import NoSuchPathError
from .trustless import car_response, raw_response

_ERRORS = (BadRequestError, UnsatisfiableRangeError, NoSuchPathError, CarError, CAStoreError, IPLDStoreError, KeyError)


def make_app(
    sources: Sequence[Source],
    *,
    limits: Limits | None = None,
    hosts: Iterable[str] = (),
    records: Mapping[str, bytes] | None = None,
    connections: Connections | None = None,
) -> Guard:
    """Return the server of some sources, for any ASGI server.

    :param records: IPNS records by name
    :param hosts: names under which the server may be reached, beside ``localhost`` and IP addresses
    :param connections: those of the server, which it bounds in time
    """
    limits = limits or Limits()
    endpoints = _Endpoints(sources, limits, records or {})
    routes = [
        Route("/", endpoints.index),
        Route("/ipfs/{path:path}", endpoints.content),
        Route("/ipns/{path:path}", endpoints.record),
    ]
    app = Starlette(routes=routes, exception_handlers={404: _not_found})
    app.router.redirect_slashes = False
    return Guard(app, hosts, limits, connections)


class _Endpoints:
    """What answers requests, by path. Blocks are read in threads."""

    def __init__(self, sources: Sequence[Source], limits: Limits, records: Mapping[str, bytes]) -> None:
        self._sources = sources
        self._limits = limits
        self._records = records
        self._served = ServedBlocks(sources)
        self._content = Content(self._served, limits)

    async def index(self, _: Request) -> Response:
        """Answer with the page of all sources."""
        return HTMLResponse(index_page(self._sources), headers={**PAGE, "Cache-Control": "no-cache"})

    async def content(self, request: Request) -> Response:
        """Answer with what is below a CID."""
        return await run_in_threadpool(_with_errors, self._content_response, request)

    async def record(self, request: Request) -> Response:
        """Answer with the record of a name."""
        return await run_in_threadpool(_with_errors, self._record_response, request)

    def _content_response(self, request: Request) -> Response:
        # The path as it was sent: a decoded one would take %2F in a name for a slash.
        path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        parts = [_decoded(part) for part in path.split("/")[2:] if part]
        if not parts:
            raise BadRequestError("expected a CID behind /ipfs/, found nothing")
        first, *names = parts
        root = cids.to_bytes(first)
        shown = f"/ipfs/{'/'.join([first, *path.split('/')[3:]])}"
        form = form_of(request.query_params, request.headers.get("accept", ""))
        if form is Form.RAW:
            return raw_response(request, self._served, root, names, shown)
        if form is Form.CAR:
            return car_response(request, self._served, root, names, shown, self._limits)
        if form is Form.IPNS_RECORD:
            raise BadRequestError("expected the format ipns-record below /ipns/, found it below /ipfs/")
        return self._content.response(request, root, names, shown)

    def _record_response(self, request: Request) -> Response:
        name = request.path_params["path"]
        if form_of(request.query_params, request.headers.get("accept", "")) is not Form.IPNS_RECORD:
            raise BadRequestError("expected format=ipns-record with a name: what it points to is below /ipfs/")
        return record_response(request, name, self._sources, self._records)


def _decoded(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise BadRequestError(f"expected a path of percent-encoded UTF-8, found {part[:100]!r}") from None


def _not_found(request: Request, _: Exception) -> Response:
    message = f"expected /, /ipfs/CID or /ipns/NAME, found {request.url.path[:100]!r}"
    return PlainTextResponse(f"{message}\n", 404, headers={**SAFE, "Cache-Control": "no-store"})


def _with_errors(answer: Callable[[Request], Response], request: Request) -> Response:
    """Return the answer, or what its error is in HTTP."""
    try:
        return answer(request)
    except _ERRORS as error:
        return _response_of(error, request)
    except ValueError as error:  # no CID
        return _failed(400, str(error))


def _response_of(error: Exception, request: Request) -> Response:
    if isinstance(error, UnsatisfiableRangeError):
        return _failed(416, str(error), {"Content-Range": f"bytes */{error.size}"})
    if isinstance(error, BadRequestError):
        return _failed(400, str(error))
    if isinstance(error, (NoSuchPathError, BlockNotFoundError, BlockMissingError, NameRefusedError)):
        only_cached = "only-if-cached" in request.headers.get("cache-control", "")
        return _failed(412 if only_cached else 404, str(error))
    if isinstance(error, CarError):
        return _failed(400, str(error))
    return _failed(502, str(error))  # a source is damaged or out of reach


def _failed(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(
        f"{message}\n", status, headers={**SAFE, **CORS, "Cache-Control": "no-store", **(headers or {})}
    )
