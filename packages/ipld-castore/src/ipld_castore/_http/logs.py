"""What urllib3 logs of a request whose query is secret: it has warnings, too, that name the whole URL."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOGGERS: Final = ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")
_QUERY: Final = re.compile(r"\?\S*")


class _Here(threading.local):
    """What the thread is doing: urllib3 logs in the thread that calls it."""

    is_secret = False


_here: Final = _Here()


@contextmanager
def query_hidden() -> Iterator[None]:
    """Hide the queries of URLs in what urllib3 logs in this thread while the context runs."""
    before, _here.is_secret = _here.is_secret, True
    try:
        yield
    finally:
        _here.is_secret = before


def _hide(record: logging.LogRecord) -> bool:
    if _here.is_secret and isinstance(record.args, tuple):
        record.args = tuple(_QUERY.sub("?...", each) if isinstance(each, str) else each for each in record.args)
    return True


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_hide)
