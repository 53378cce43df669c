"""Answers, as the sides of the server make them and faults change them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"


@dataclass
class Reply:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    """Without ``Content-Length`` the body goes in chunks."""
    body: Iterable[bytes]
    buffered: bool = True
    """Whether pieces of the body may wait for each other; else each goes out at once."""

    def data(self) -> bytes:
        """The whole body, which afterwards is one piece."""
        joined = b"".join(self.body)
        self.body = [joined]
        return joined


def reply(status: int, data: bytes, media_type: str, **headers: str) -> Reply:
    """An answer with a length."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"Content-Type": media_type, "Content-Length": str(len(data)), **more}, [data])


def text_reply(status: int, text: str, **headers: str) -> Reply:
    """An answer in plain text."""
    return reply(status, text.encode() + b"\n", "text/plain; charset=utf-8", **headers)


def json_reply(value: Any, status: int = 200) -> Reply:
    """An answer of the RPC."""
    return reply(status, json.dumps(value).encode() + b"\n", "application/json")


def lines_reply(values: Iterable[Any]) -> Reply:
    """A streamed answer of the RPC: a JSON object a line."""
    lines = (json.dumps(value).encode() + b"\n" for value in values)
    return Reply(200, {"Content-Type": "application/json"}, lines)


def kubo_error(message: str, status: int = 500) -> Reply:
    """An error as Kubo's RPC puts it."""
    return json_reply({"Message": message, "Code": 0, "Type": "error"}, status)
