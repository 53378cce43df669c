"""What tells one state of a file from the next."""

from __future__ import annotations

from typing import NamedTuple

from ipld_castore.errors import BackendUnavailableError


class FileVersion(NamedTuple):
    """What a server says of a file, beside its bytes."""

    size: int
    """Bytes of the whole file."""
    etag: str | None = None
    """Its ETag, without the marks that proxies add and remove: quotes and ``W/``."""
    modified: str | None = None
    """When it was last changed, as the server writes it."""

    def check(self, found: FileVersion, where: str) -> None:
        """Require that a later answer is of the same state.

        :param where: the file, for the message
        :raises BackendUnavailableError: if it is of another
        """
        if self.size != found.size:
            raise changed(where, f"it had {self.size} bytes, and has {found.size}")
        for name, before, now in (("ETag", self.etag, found.etag), ("time", self.modified, found.modified)):
            if before is not None and now is not None and before != now:
                raise changed(where, f"its {name} was {before!r}, and is {now!r}")


def bare_etag(etag: str | None) -> str | None:
    """Return an ETag without quotes and ``W/``.

    >>> bare_etag('W/"abc"'), bare_etag("abc")
    ('abc', 'abc')
    """
    return None if etag is None else etag.removeprefix("W/").strip('"')


def changed(where: str, how: str) -> BackendUnavailableError:
    """Return the error for a file that has changed since it was opened."""
    return BackendUnavailableError(f"{where} has changed since it was opened ({how}): open it again")
