"""Bodies of answers: whole, or the range that a request asks for."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from .negotiation import byte_range


def ranged(request: Request, data: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """Return bytes, or the range of them that the request asks for."""
    wanted = byte_range(request.headers.get("range"), len(data))
    if wanted is None:
        return Response(data, media_type=media_type, headers=headers)
    start, stop = wanted
    headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
    return Response(data[start:stop], status_code=206, media_type=media_type, headers=headers)
