"""The sizes at which a directory takes another form (format, sections 3 and 4)."""

from __future__ import annotations

from typing import Final, NamedTuple


class Limits(NamedTuple):
    """The largest size of each form. Tests pass smaller ones, to reach all forms with few keys."""

    inline: int = 4_096
    """Largest size in bytes of the plain map of chunks, and of the top node of an index, that its directory embeds."""
    leaf: int = 2_048
    """Keys of a leaf."""
    children: int = 1_024
    """Children of an index node."""
    names: int = 2_048
    """Names of a directory without a name index."""
    embedding: tuple[tuple[int, int], ...] = ((16, 16_384), (256, 1_024))
    """Number of names of a directory, and size in bytes up to which it embeds subdirectories; with more names, none."""

    def embedding_limit(self, names: int) -> int:
        """Return the size in bytes up to which a directory with so many names embeds a subdirectory."""
        return next((limit for most, limit in self.embedding if names <= most), 0)


LIMITS: Final = Limits()
