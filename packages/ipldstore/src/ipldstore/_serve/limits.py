"""How much one visitor may ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of the server and of one answer.

    :param requests: requests that are answered at a time; further ones get 503
    :param seconds: the longest that an answer may take
    :param response_bytes: the most bytes of one CAR or file
    :param picture_bytes: the most bytes of chunks that are decoded for a picture
    """

    requests: int = 256
    seconds: float = 600.0
    response_bytes: int = 64 << 30
    picture_bytes: int = 64 << 20

    def __str__(self) -> str:
        return f"{self.response_bytes} bytes and {self.seconds:g} seconds"
