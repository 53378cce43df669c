"""What goes wrong with requests to pin, beside services that cannot be reached."""

from __future__ import annotations

from ipld_castore.errors import CAStoreError

from .pin_status import PinStatus


class PinRefusedError(CAStoreError):
    """A pinning service refuses a request: the token is wrong, the account has no funds, or the request has an error.

    :param code: the HTTP status
    :param reason: the reason, as the service names it
    """

    def __init__(self, message: str, code: int, reason: str) -> None:
        super().__init__(message, code, reason)
        self.code = code
        """The HTTP status: 401 for a wrong token, 409 for an account without funds."""
        self.reason = reason
        """The reason, as the service names it, such as ``INSUFFICIENT_FUNDS``; empty if it names none."""

    def __str__(self) -> str:
        return str(self.args[0])


class PinNotFoundError(PinRefusedError, KeyError):
    """A pinning service has no such request to pin."""


class PinFailedError(CAStoreError):
    """A pinning service could not pin a graph, most often because it found no peer that has the blocks.

    :param status: the request to pin
    """

    def __init__(self, message: str, status: PinStatus) -> None:
        super().__init__(message, status)
        self.status = status
        """The request, with what the service says about it."""

    def __str__(self) -> str:
        return str(self.args[0])


class PinTimeoutError(CAStoreError, TimeoutError):
    """A graph was not pinned in time. The pinning service goes on.

    :param status: the request to pin, as it was last
    """

    def __init__(self, message: str, status: PinStatus) -> None:
        super().__init__(message, status)
        self.status = status
        """The request, as it was last."""

    def __str__(self) -> str:
        return str(self.args[0])
