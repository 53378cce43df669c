"""Which of the bytes of a key are wanted."""

from __future__ import annotations

from typing import Final, NamedTuple


class Window(NamedTuple):
    """A part of a value."""

    start: int = 0
    """Position of the first byte."""
    stop: int | None = None
    """Position behind the last byte; None is the end."""
    suffix: int | None = None
    """Instead of both, how many bytes from the end."""

    def of(self, data: bytes) -> bytes:
        """This part of the whole."""
        start, stop, suffix = self
        return data[start:stop] if suffix is None else data[max(len(data) - suffix, 0) :]


WHOLE: Final = Window()
