"""Long lists of requests to pin, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipld_castore.errors import BackendUnavailableError

from .calls import Calls, Query
from .pin_status import PinStatus, parse_page, time_text

PAGE: Final = 100
"""Requests to pin on one page."""


def pages(calls: Calls, filters: Query, limit: int | None) -> Iterator[PinStatus]:
    """Yield the requests to pin that fit, the newest first, as they come in.

    The next page begins before the oldest of this one. A service that ignores this, or has more than it says, would
    never come to an end.

    :param limit: the most that are yielded; None for all
    :raises BackendUnavailableError: if there is no response, or the pages do not end
    """
    left = limit
    most: int | None = None
    found = 0
    before: tuple[tuple[str, str], ...] = ()
    last_ids: set[str] = set()
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        query = [*(pair for pair in filters if not before or pair[0] != "before"), *before, ("limit", str(size))]
        total, results = calls.call("GET", "/pins", parse_page, query=query)
        # Statuses change while pages are read, and with them what fits a filter.
        most = total + PAGE if most is None else most
        fresh = [each for each in results if each.request_id not in last_ids]
        found += len(fresh)
        if found > most or (results and not fresh and len(results) < total):
            raise BackendUnavailableError(
                f"the pinning service at {calls.url} lists pins without end: expected at most {most}, found "
                f"{'the page before again' if not fresh else 'more'}"
            )
        yield from fresh[:left]
        if not fresh or len(results) >= total:
            return
        left = None if left is None else left - len(fresh)
        last_ids = {each.request_id for each in results}
        before = (("before", time_text(min(each.created for each in results))),)
