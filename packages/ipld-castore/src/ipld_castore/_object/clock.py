"""Read the clock of a store: the time of an object that was just written."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from .client import Client


def read_clock(client: Client, below: str) -> datetime:
    """Put an object and delete it again; return the time of its put.

    :param below: what the name of the object begins with
    :raises BackendUnavailableError: if it cannot be put or looked at
    """
    name, what = f"{below}clock-{secrets.token_hex(8)}", "an object to tell the time"
    try:
        client.put(name, b"", what)
        meta: Any = client.ask(f"look at {what} in", lambda: client.store.head(name))
    finally:
        client.delete([name], what)
    now: datetime = meta["last_modified"]
    return now
