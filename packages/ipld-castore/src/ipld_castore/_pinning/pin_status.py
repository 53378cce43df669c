"""Requests to pin, as a service describes them: https://ipfs.github.io/pinning-services-api-spec/#tag/Schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from ipld_car import CarError, cids
from multiformats import CID

Status = Literal["queued", "pinning", "pinned", "failed"]

STATUSES: Final[tuple[Status, ...]] = ("queued", "pinning", "pinned", "failed")
"""The statuses of a request to pin. The last two are final."""

_UNSAFE_IDS: Final = ("", ".", "..")
"""As the end of a path these are another path."""


@dataclass(frozen=True, repr=False)
class PinStatus:
    """A request to pin the graph below a CID, and what has become of it."""

    request_id: str
    """The name of the request at its service; another for each request, even of one CID."""
    status: Status
    """``queued``, ``pinning``, ``pinned`` or ``failed``."""
    created: datetime
    """When the service received the request."""
    cid: CID
    """The root of the graph."""
    name: str = ""
    """The name that was given to the pin; empty for none."""
    origins: tuple[str, ...] = ()
    """Multiaddrs of peers that have the blocks."""
    meta: Mapping[str, str] = field(default_factory=dict)
    """What was given along with the pin."""
    delegates: tuple[str, ...] = ()
    """Multiaddrs of peers of the service. A connection to one of them begins the transfer at once."""
    info: Mapping[str, str] = field(default_factory=dict)
    """What the service says beside, such as ``status_details``."""

    def __repr__(self) -> str:
        return cids.record_repr(self)

    @property
    def is_final(self) -> bool:
        """Whether the request is pinned or failed."""
        return self.status in {"pinned", "failed"}

    @property
    def details(self) -> str:
        """What the service says about the status, such as the reason of a failure; empty if nothing."""
        return self.info.get("status_details", "")


class MalformedError(Exception):
    """A response breaks the API. The message says what was expected, and what was found."""


def pin_object(cid: bytes, name: str, origins: tuple[str, ...], meta: Mapping[str, str]) -> dict[str, Any]:
    """Return a pin as it is sent, without what is empty.

    :param cid: the binary CID
    :raises ValueError: if the API does not allow the name, the origins or the metadata
    """
    if len(name) > 255:
        raise ValueError(f"expected a name of at most 255 characters, found {len(name)}")
    if len(origins) > 20 or len({*origins}) != len(origins):
        raise ValueError(f"expected at most 20 origins, each once, found {len(origins)}")
    if not all(map(_is_multiaddr, origins)):
        raise ValueError(f"expected origins as multiaddrs, such as /dns4/host/tcp/4001/p2p/PEER, found {origins!r}")
    if not all(isinstance(each, str) for pair in meta.items() for each in pair):
        raise ValueError(f"expected texts as keys and values of meta, found {meta!r}")
    made: dict[str, Any] = {"cid": cids.to_text(cid)}
    made |= {"name": name} if name else {}
    made |= {"origins": list(origins)} if origins else {}
    return made | ({"meta": dict(meta)} if meta else {})


def parse_pin_status(value: object) -> PinStatus:
    """Return a request to pin, from JSON.

    What may be absent may also be null, as some services have it.

    :raises MalformedError: if it is not what the API says

    >>> parse_pin_status({"requestid": "7", "status": "lost"})
    Traceback (most recent call last):
    ...
    ipld_castore._pinning.pin_status.MalformedError: expected a status of queued, pinning, pinned, failed, found 'lost'
    """
    fields = _mapping(value, "an object")
    request_id = _text(fields, "requestid")
    if request_id in _UNSAFE_IDS:
        raise MalformedError(f"expected a requestid, found {request_id!r}")
    status = _text(fields, "status")
    if status not in STATUSES:
        raise MalformedError(f"expected a status of {', '.join(STATUSES)}, found {status[:100]!r}")
    pin = _mapping(fields.get("pin"), "a pin")
    text = _text(pin, "cid")
    try:
        cid = cids.from_bytes(cids.to_bytes(text))
    except CarError as error:
        raise MalformedError(f"expected a CID, found {text[:100]!r}") from error
    return PinStatus(
        request_id,
        status,
        _time(_text(fields, "created")),
        cid,
        _text(pin, "name") if pin.get("name") is not None else "",
        _texts(pin, "origins"),
        _text_mapping(pin, "meta"),
        _texts(fields, "delegates"),
        _text_mapping(fields, "info"),
    )


def parse_page(value: object) -> tuple[int, list[PinStatus]]:
    """Return one page of a list: how many requests there are, and some of them.

    :raises MalformedError: if it is not what the API says
    """
    fields = _mapping(value, "an object")
    total, results = fields.get("count"), fields.get("results")
    if type(total) is not int or total < 0:
        raise MalformedError(f"expected a count, found {str(total)[:100]!r}")
    if not isinstance(results, list):
        raise MalformedError(f"expected a list of results, found {str(results)[:100]!r}")
    return total, [parse_pin_status(each) for each in results]


def time_text(time: datetime) -> str:
    """Return a time as the API has it (RFC 3339).

    :raises ValueError: if it has no time zone
    """
    if time.tzinfo is None:
        raise ValueError(f"expected a time with a time zone, found {time!r}")
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _is_multiaddr(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/")


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"expected {what}, found {str(value)[:100]!r}")
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise MalformedError(f"expected a text as {name}, found {str(value)[:100]!r}")
    return value


def _texts(fields: dict[str, Any], name: str) -> tuple[str, ...]:
    value = [] if fields.get(name) is None else fields[name]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise MalformedError(f"expected a list of texts as {name}, found {str(value)[:100]!r}")
    return tuple(value)


def _text_mapping(fields: dict[str, Any], name: str) -> dict[str, str]:
    found = {} if fields.get(name) is None else _mapping(fields[name], f"an object as {name}")
    return {key: each if isinstance(each, str) else json.dumps(each) for key, each in found.items()}


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedError(f"expected a time as RFC 3339 has it, found {text[:100]!r}") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
