"""HTTP responses, as the server makes them and faults change them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"


@dataclass
class Reply:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    """The headers. Without ``Content-Length`` the body is sent in chunks."""
    body: Iterable[bytes]
    buffered: bool = True
    """Whether pieces of the body may be sent together; else each is sent at once."""

    def data(self) -> bytes:
        """Return the whole body, which afterwards is one piece."""
        joined = b"".join(self.body)
        self.body = [joined]
        return joined


def reply(status: int, data: bytes, media_type: str, **headers: str) -> Reply:
    """Return a response with a length. Underscores in the names of headers are hyphens."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"Content-Type": media_type, "Content-Length": str(len(data)), **more}, [data])


def text_reply(status: int, text: str, **headers: str) -> Reply:
    """Return a response in plain text."""
    return reply(status, text.encode() + b"\n", "text/plain; charset=utf-8", **headers)


def json_reply(value: Any, status: int = 200) -> Reply:
    """Return a JSON response of the RPC."""
    return reply(status, json.dumps(value).encode() + b"\n", "application/json")


def lines_reply(values: Iterable[Any]) -> Reply:
    """Return a streamed response of the RPC: one JSON object a line."""
    lines = (json.dumps(value).encode() + b"\n" for value in values)
    return Reply(200, {"Content-Type": "application/json"}, lines)


def kubo_error(message: str, status: int = 500) -> Reply:
    """Return an error as Kubo's RPC reports it."""
    return json_reply({"Message": message, "Code": 0, "Type": "error"}, status)


def pinning_failure(status: int, reason: str, details: str = "") -> Reply:
    """Return an error as the IPFS pinning service API has it."""
    return json_reply({"error": {"reason": reason, "details": details}}, status)
