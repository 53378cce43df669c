"""Asking one gateway after another until one sends the block, each no more often than makes sense."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple, TypeVar

from ipld_car import cids

from ipld_castore._core.pauses import MAX_PAUSE, pause_before_retry
from ipld_castore._http.errors import ConnectError, ConnectionBrokenError, SilenceError, TransportError
from ipld_castore.concurrency import drop_tracebacks
from ipld_castore.errors import BackendUnavailableError, BlockCorruptError, BlockNotFoundError

from .endpoints import CorruptAnswers, Gateway

T = TypeVar("T")


class FailureKind(Enum):
    """The kind of a failure of one gateway, which decides about the next attempt."""

    ABSENT = "the gateway says that it has no such block"
    CORRUPT = "the bytes are not those of the CID: the gateway is not asked for that block again"
    BUSY = "the gateway may send the block later"
    SILENT = "the gateway took too long, and likely would again"
    REFUSED = "another try now would fail in the same way"


class AttemptError(Exception):
    """One gateway did not send what was asked for. The error for the caller is made of those of all gateways.

    :param pause: the seconds after which the gateway wants to be asked again, if it says so
    """

    def __init__(self, kind: FailureKind, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.pause = pause


ATTEMPT_ERRORS: Final = (AttemptError, TransportError)
"""All that a request to one gateway raises."""


class Failure(NamedTuple):
    """The parts of an error that are kept. The error itself holds frames, and these the error: a cycle."""

    kind: FailureKind
    message: str
    pause: float | None = None


def failure_of(error: AttemptError | TransportError) -> Failure:
    """Return what an error means for the next try."""
    if isinstance(error, AttemptError):
        return Failure(error.kind, str(error), error.pause)
    if isinstance(error, (ConnectError, SilenceError)):
        return Failure(FailureKind.SILENT, str(error))
    if isinstance(error, ConnectionBrokenError):
        return Failure(FailureKind.BUSY, str(error))
    return Failure(FailureKind.REFUSED, str(error))


sleep = time.sleep


class Attempts:
    """The rules by which gateways are asked. Threads may share them: a pause is for all threads.

    :param gateways: in the order of the caller's preference
    :param retries: how often a gateway is asked again if it is busy, or breaks a connection
    """

    def __init__(self, gateways: Sequence[Gateway], retries: int) -> None:
        self.gateways = list(gateways)
        self._retries = retries
        self._corrupt = CorruptAnswers()

    def ask(self, cid: bytes, action: Callable[[Gateway], T]) -> T:
        """Call ``action`` for one gateway after the other; return its first result.

        :param cid: the binary CID of the block that is asked for
        :param action: asks one gateway; raises one of :data:`ATTEMPT_ERRORS` if the gateway does not send the block
        :raises BlockNotFoundError: if every gateway says that it has no such block
        :raises BlockCorruptError: if a gateway sent wrong bytes, now or before, and no other has the block
        :raises BackendUnavailableError: if a gateway cannot be asked
        """
        failures: dict[Gateway, Failure] = {}
        tries = dict.fromkeys(self.gateways, 0)
        for gateway in self.gateways:
            if (gateway, cid) in self._corrupt:
                failures[gateway] = Failure(FailureKind.CORRUPT, "it sent wrong bytes before, and is not asked again")
                del tries[gateway]
        while tries:
            gateway = self._next(tries)
            pause = gateway.ready_at - time.monotonic()
            if pause > 0:
                sleep(min(pause, MAX_PAUSE))
            try:
                result = action(gateway)
            except ATTEMPT_ERRORS as error:
                failure = failures[gateway] = failure_of(error)
                drop_tracebacks(error)  # a reader of a CAR keeps it
                self.record(gateway, cid, failure, tries[gateway])
                tries[gateway] += 1
                if failure.kind is not FailureKind.BUSY or tries[gateway] > self._retries:
                    del tries[gateway]
            else:
                gateway.succeeded()
                return result
        raise _error(cid, failures)

    def _next(self, tries: dict[Gateway, int]) -> Gateway:
        """Return the gateway with the shortest pause left, then with the least penalty, then the first given."""
        now = time.monotonic()
        return min(tries, key=lambda gateway: (max(gateway.ready_at - now, 0.0), round(gateway.penalty)))

    def record(self, gateway: Gateway, cid: bytes, failure: Failure, tries: int = 0) -> None:
        """Remember the failure of a gateway, for the next choice and the next pause."""
        if failure.kind is FailureKind.ABSENT:
            return
        gateway.failed()
        if failure.kind is FailureKind.CORRUPT:
            self._corrupt.add(gateway, cid)
        elif failure.kind is FailureKind.BUSY:
            gateway.ready_at = max(gateway.ready_at, time.monotonic() + pause_before_retry(tries, failure.pause))


def _error(cid: bytes, failures: dict[Gateway, Failure]) -> Exception:
    """Return the error for a block that no gateway sent."""
    name = cids.to_text(cid)
    messages = "; ".join(f"{gateway.url}: {failure.message}" for gateway, failure in failures.items())
    kinds = {failure.kind for failure in failures.values()}
    if kinds <= {FailureKind.ABSENT}:
        return BlockNotFoundError(f"no block {name} at the gateway: {messages}")
    if kinds <= {FailureKind.ABSENT, FailureKind.CORRUPT}:
        return BlockCorruptError(f"no gateway has the bytes of block {name}: {messages}")
    return BackendUnavailableError(f"cannot get block {name}: {messages}")
