"""What form of an answer a request asks for, by the query or else the header ``Accept``; and which range of it.

The rules are those of https://specs.ipfs.tech/http-gateways/trustless-gateway/: parameters of the query go before the
header (IPIP-0523).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import Response

from .traversal import EntityBytes, Scope

RAW: Final = "application/vnd.ipld.raw"
CAR: Final = "application/vnd.ipld.car"
IPNS_RECORD: Final = "application/vnd.ipfs.ipns-record"

_MAX_DIGITS: Final = 18


class Form(StrEnum):
    """The form of an answer."""

    PLAIN = "plain"
    """For browsers and programs that do not verify: bytes of files and keys, pages of directories and groups."""
    RAW = "raw"
    CAR = "car"
    IPNS_RECORD = "ipns-record"


_BY_FORMAT: Final = {"raw": Form.RAW, "car": Form.CAR, "ipns-record": Form.IPNS_RECORD}
_BY_TYPE: Final = {RAW: Form.RAW, CAR: Form.CAR, IPNS_RECORD: Form.IPNS_RECORD}


class BadRequestError(ValueError):
    """A parameter of a request is not what it should be."""


@dataclass(frozen=True)
class CarParameters:
    """What a CAR is to hold.

    :param dups: whether a block that is met again comes again
    """

    scope: Scope = "all"
    entity_bytes: EntityBytes | None = None
    dups: bool = False

    @property
    def media_type(self) -> str:
        """The content type that says what the CAR is."""
        return f"{CAR}; version=1; order=dfs; dups={'y' if self.dups else 'n'}"


def form_of(query: Mapping[str, str], accept: str) -> Form:
    """Return the form that a request asks for.

    :param query: the parameters of the URL
    :param accept: the header ``Accept``
    :raises BadRequestError: if the parameter ``format`` is none that is known
    """
    asked = query.get("format")
    if asked is not None:
        if asked not in _BY_FORMAT:
            raise BadRequestError(f"expected the format raw, car or ipns-record, found {asked[:50]!r}")
        return _BY_FORMAT[asked]
    return next((_BY_TYPE[each] for each, _ in _types(accept) if each in _BY_TYPE), Form.PLAIN)


def car_parameters(query: Mapping[str, str], accept: str) -> CarParameters:
    """Return what the CAR of a request is to hold.

    :raises BadRequestError: if a parameter is not one that is known
    """
    header = next((parameters for each, parameters in _types(accept) if each == CAR), {})
    version = query.get("car-version", header.get("version", "1"))
    if version != "1":
        raise BadRequestError(f"expected a CAR of version 1, found {version[:20]!r}")
    order = query.get("car-order", header.get("order", "dfs"))
    if order not in ("dfs", "unk"):
        raise BadRequestError(f"expected the order dfs or unk, found {order[:20]!r}")
    dups = query.get("car-dups", header.get("dups", "n"))
    if dups not in ("y", "n"):
        raise BadRequestError(f"expected dups to be y or n, found {dups[:20]!r}")
    scope = query.get("dag-scope", "entity" if "entity-bytes" in query else "all")
    if scope not in ("block", "entity", "all"):
        raise BadRequestError(f"expected the dag-scope block, entity or all, found {scope[:20]!r}")
    return CarParameters(cast("Scope", scope), _entity_bytes(query.get("entity-bytes")), dups == "y")


def _entity_bytes(text: str | None) -> EntityBytes | None:
    if text is None:
        return None
    found = re.fullmatch(rf"(-?\d{{1,{_MAX_DIGITS}}}):(-?\d{{1,{_MAX_DIGITS}}}|\*)", text, re.ASCII)
    if found is None:
        raise BadRequestError(f"expected entity-bytes as from:to or from:*, found {text[:50]!r}")
    first, last = int(found[1]), None if found[2] == "*" else int(found[2])
    if last is not None and (first < 0) == (last < 0) and last < first:
        raise BadRequestError(f"expected entity-bytes whose end is not before its begin, found {text[:50]!r}")
    return EntityBytes(first, last)


def _types(accept: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the media types of a header with their parameters."""
    for each in accept.split(","):
        name, *parameters = each.split(";")
        pairs = (parameter.partition("=") for parameter in parameters)
        yield name.strip().lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the one range of a header ``Range`` as the positions of its first byte and behind its last.

    None stands for all bytes: there is no header, it has several ranges, or it is none that is known, which a server
    may ignore (RFC 9110, 14.2).

    :param size: the number of bytes that there are
    :raises UnsatisfiableRangeError: if it has no byte of those
    """
    found = re.fullmatch(rf"bytes=(\d{{0,{_MAX_DIGITS}}})-(\d{{0,{_MAX_DIGITS}}})", (header or "").strip(), re.ASCII)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, stop = max(0, size - int(found[2])), size
    else:
        start, stop = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= stop:
        raise UnsatisfiableRangeError(size)
    return start, stop


class UnsatisfiableRangeError(ValueError):
    """A range has no byte of what there is.

    :param size: the number of bytes that there are
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"expected a range within {size} bytes")
        self.size = size


def ranged(request: Request, data: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """Return bytes, or the range of them that the request asks for."""
    wanted = byte_range(request.headers.get("range"), len(data))
    if wanted is None:
        return Response(data, media_type=media_type, headers=headers)
    start, stop = wanted
    headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
    return Response(data[start:stop], status_code=206, media_type=media_type, headers=headers)
