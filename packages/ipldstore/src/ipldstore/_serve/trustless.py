"""Answers that visitors verify: blocks and CARs.

The rules are those of https://specs.ipfs.tech/http-gateways/trustless-gateway/.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Final

from ipld_car import CarWriter, cids, varint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .headers import CORS, IMMUTABLE, SAFE, disposition, is_fresh
from .limits import Limits
from .negotiation import RAW, CarParameters, car_parameters, ranged
from .served_blocks import ServedBlocks
from .traversal import Target, blocks, resolve

_PIECE: Final = 1 << 18
"""Bytes of a CAR that are collected before they are sent: each piece is one change of threads."""


def raw_response(request: Request, served: ServedBlocks, root: bytes, names: list[str], path: str) -> Response:
    """Return the block at the end of a path, whole or a range of it.

    :param path: the path of the request, as the visitor wrote it
    """
    target = resolve(served.read, root, names)
    headers = _headers(request, target, root, path, f'"{cids.to_text(target.cid)}.raw"', "bin")
    if is_fresh(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return ranged(request, served.read(target.cid), RAW, headers)


def car_response(
    request: Request, served: ServedBlocks, root: bytes, names: list[str], path: str, limits: Limits
) -> Response:
    """Return the blocks of a path, and of what is at its end, as a CAR that is streamed.

    What goes wrong once the CAR is on its way breaks the connection off, so that no visitor takes a part for the whole.

    :param path: the path of the request, as the visitor wrote it
    """
    parameters = car_parameters(request.query_params, request.headers.get("accept", ""))
    target = resolve(served.read, root, names)
    if parameters.scope != "all" or not names:
        served.read(target.cid)  # what is not there is 404 before anything is sent
    key = hashlib.sha256(f"{path}\0{parameters}".encode()).hexdigest()[:16]
    headers = _headers(request, target, root, path, f'W/"{cids.to_text(target.cid)}.car.{key}"', "car")
    headers["Accept-Ranges"] = "none"
    if is_fresh(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return Response(media_type=parameters.media_type, headers=headers)
    body = _car(served, root, target, parameters, limits)
    return StreamingResponse(body, media_type=parameters.media_type, headers=headers)


def _car(
    served: ServedBlocks, root: bytes, target: Target, parameters: CarParameters, limits: Limits
) -> Iterator[bytes]:
    sent, deadline = 0, time.monotonic() + limits.seconds
    header = BytesIO()
    CarWriter(header, [root])
    pieces, waiting = [header.getvalue()], 0
    for cid, data in blocks(served.read, target, parameters.scope, parameters.entity_bytes, dups=parameters.dups):
        pieces += (varint.encode(len(cid) + len(data)), cid, data)  # a section, of a block that was verified
        waiting += len(data)
        if waiting >= _PIECE:
            sent += waiting
            yield b"".join(pieces)
            pieces, waiting = [], 0
            if sent > limits.response_bytes or time.monotonic() > deadline:
                raise TimeoutError(f"expected a CAR of at most {limits}, found one that goes on: it is broken off")
    yield b"".join(pieces)


def _headers(request: Request, target: Target, root: bytes, path: str, etag: str, suffix: str) -> dict[str, str]:
    text = cids.to_text(target.cid)
    return {
        **SAFE,
        **CORS,
        "Accept-Ranges": "bytes",
        "Cache-Control": IMMUTABLE,
        "Content-Disposition": disposition(request.query_params.get("filename") or f"{text}.{suffix}"),
        "ETag": etag,
        "X-Ipfs-Path": path,
        "X-Ipfs-Roots": ",".join(dict.fromkeys((cids.to_text(root), text))),
    }
