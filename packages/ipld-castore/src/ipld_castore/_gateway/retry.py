"""Asking one gateway after another until one gives what its CID names, each only as often as makes sense."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, TypeVar

from ipld_car import cids

from ipld_castore.errors import BackendUnavailableError, BlockCorruptError, BlockNotFoundError

from .endpoints import Gateway, Lies

T = TypeVar("T")

MAX_PAUSE: Final = 60.0
"""Seconds that a gateway may ask for before it is asked again."""

_FIRST_PAUSE: Final = 0.1
"""Seconds before a second attempt where the gateway did not say; each further one waits twice as long."""


class Why(Enum):
    """What a failure of one gateway means for the next attempt."""

    ABSENT = "it has no such block"
    WRONG = "its bytes are not those of the CID"
    """Never ask it for that block again."""
    BUSY = "it may give the block later"
    SILENT = "it took too long, and likely would again"
    FAILED = "asking it again now would not help"


class Failure(Exception):  # noqa: N818  # what one gateway did; the error for the caller is made of all of them
    """One gateway did not give what was asked for."""

    def __init__(self, why: Why, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.why = why
        self.pause = pause
        """Seconds that the gateway asks for."""


sleep = time.sleep


class Attempts:
    """How gateways are asked. Safe with threads: a pause that one thread was asked for holds for all.

    :param gateways: in the order of the caller's preference
    :param retries: how often a gateway is asked again if it is busy, or breaks a connection
    """

    def __init__(self, gateways: Sequence[Gateway], retries: int) -> None:
        self.gateways = list(gateways)
        self._retries = retries
        self.lies = Lies()

    def ask(self, cid: bytes, action: Callable[[Gateway], T]) -> T:
        """What ``action`` returns for the first gateway where it does not fail.

        :param cid: the block that it is about, binary
        :param action: asks one gateway; raises :class:`Failure` if that did not give what it should
        :raises BlockNotFoundError: if every gateway says that there is no such block
        :raises BlockCorruptError: if one gave wrong bytes, now or before, and no other has the block
        :raises BackendUnavailableError: if one of them cannot be asked
        """
        failures: dict[Gateway, Failure] = {}
        tries = dict.fromkeys(self.gateways, 0)
        for gateway in self.gateways:
            if (gateway, cid) in self.lies:
                failures[gateway] = Failure(Why.WRONG, "it gave wrong bytes before, and is not asked again")
                del tries[gateway]
        while tries:
            gateway = self._next(tries)
            pause = gateway.ready_at - time.monotonic()
            if pause > 0:
                sleep(min(pause, MAX_PAUSE))
            try:
                result = action(gateway)
            except Failure as failure:
                failures[gateway] = failure
                self.note(gateway, cid, failure, tries[gateway])
                tries[gateway] += 1
                if failure.why is not Why.BUSY or tries[gateway] > self._retries:
                    del tries[gateway]
            else:
                gateway.succeeded()
                return result
        raise _error(cid, failures)

    def _next(self, tries: dict[Gateway, int]) -> Gateway:
        """The gateway to ask: one that asks for no pause, then the one that did least wrong, then the first given."""
        now = time.monotonic()
        return min(tries, key=lambda gateway: (max(gateway.ready_at - now, 0.0), round(gateway.blame)))

    def note(self, gateway: Gateway, cid: bytes, failure: Failure, tries: int = 0) -> None:
        """Remember what a gateway did wrong."""
        if failure.why is Why.ABSENT:
            return
        gateway.failed()
        if failure.why is Why.WRONG:
            self.lies.note(gateway, cid)
        elif failure.why is Why.BUSY:
            pause = failure.pause
            if pause is None:  # many threads may have failed at once, and should not come back at once
                pause = _FIRST_PAUSE * 2**tries * random.uniform(0.75, 1.25)  # noqa: S311  # no secret
            gateway.ready_at = max(gateway.ready_at, time.monotonic() + min(max(pause, 0.0), MAX_PAUSE))


def _error(cid: bytes, failures: dict[Gateway, Failure]) -> Exception:
    """What it means that no gateway gave a block."""
    name = cids.to_text(cid)
    told = "; ".join(f"{gateway.url}: {failure}" for gateway, failure in failures.items())
    kinds = {failure.why for failure in failures.values()}
    if kinds <= {Why.ABSENT}:
        return BlockNotFoundError(f"no block {name} at the gateway: {told}")
    if kinds <= {Why.ABSENT, Why.WRONG}:
        return BlockCorruptError(f"no gateway has the bytes of block {name}: {told}")
    return BackendUnavailableError(f"cannot get block {name}: {told}")
