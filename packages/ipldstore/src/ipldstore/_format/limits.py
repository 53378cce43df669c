"""The numbers of the format at which a directory takes another form (format, sections 3 and 4)."""

from __future__ import annotations

from typing import Final, NamedTuple


class Limits(NamedTuple):
    """Where one form ends and the next begins; tests inject smaller ones."""

    plain: int = 4_096
    """Largest size in bytes of the plain map of chunks, and of a list of parts, that stands in its directory."""
    leaf: int = 2_048
    """Keys in a leaf."""
    parts: int = 1_024
    """Parts in a list."""
    names: int = 2_048
    """Names in a directory without a name index."""
    embedding: tuple[tuple[int, int], ...] = ((16, 16_384), (256, 1_024))
    """With up to so many names, subdirectories are embedded up to such a size in bytes; with more never."""

    def embedding_limit(self, names: int) -> int:
        """The size in bytes up to which a directory with so many names embeds a subdirectory."""
        return next((limit for most, limit in self.embedding if names <= most), 0)


LIMITS: Final = Limits()
