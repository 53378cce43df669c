"""A small object that is replaced by compare-and-exchange only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ipld_castore.concurrency import ForkLocal
from ipld_castore.errors import BackendUnavailableError

from .client import Client, Failure, FailureKind, NoObjectError

_MAX_ATTEMPTS: Final = 6
_MAX_LOST: Final = 3
"""Attempts whose answer was lost; each of them is as many requests as obstore makes."""
_MAX_BYTES: Final = 1 << 20


class Seen(NamedTuple):
    """An object as it was read."""

    data: bytes | None
    """Its bytes; None if there is none."""
    version: dict[str, str]
    """The store's names for this state: ``e_tag``, and ``version`` where there is one."""


class Found(NamedTuple):
    """An object that is not the expected one."""

    data: bytes | None
    """Its bytes; None if there was none."""
    is_certain: bool
    """False if an answer was lost: the new state may have been there for a moment."""


class ConditionalObject:
    """A small object in a bucket; safe with threads and with any other writers.

    If the answer of an exchange is lost, the object is read. If it is the new state, the exchange succeeded. If it is
    still the old state, the exchange is tried again with the same condition. An exchange that arrives late then does no
    harm.

    :param client: the store
    :param name: the name of the object
    :param what: what it is, for messages
    :param max_bytes: the longest object that is read
    """

    def __init__(self, client: Client, name: str, what: str, max_bytes: int = _MAX_BYTES) -> None:
        self._client = client
        self._name = name
        self._what = what
        self._max_bytes = max_bytes
        self._lock = ForkLocal(threading.Lock)
        """Held while an exchange is under way: those of one process come one after another."""
        self._last: Seen | None = None

    def read(self) -> bytes | None:
        """Return the bytes of the object; None if there is none.

        :raises BackendUnavailableError: if it cannot be read
        """
        return self._look().data

    def exchange(
        self, is_expected: Callable[[bytes | None], bool], new: bytes, *, is_new: bool = False
    ) -> Found | None:
        """Replace the object, if it is as expected; return None, or else what was found.

        :param is_expected: given the bytes of the object, or None, returns whether it may be replaced
        :param new: its new bytes, which no other writer puts
        :param is_new: whether there is most likely no such object: it is then put without being read before
        :raises BackendUnavailableError: if it cannot be asked, or it is unknown whether it was exchanged
        """
        with self._lock.value:
            seen = self._last  # mostly current; if not, the condition fails
            if seen is None and is_new:
                seen = Seen(None, {})  # if there is one, the condition fails
            elif seen is None or not _is_still(seen, is_expected):
                seen = self._look()
            return self._exchange(seen, is_expected, new)

    def _exchange(self, seen: Seen, is_expected: Callable[[bytes | None], bool], new: bytes) -> Found | None:
        lost: list[Failure] = []
        refused = 0
        for attempt in range(_MAX_ATTEMPTS):
            if attempt and seen.data == new:
                return None  # an answer was lost on its way here, or to obstore, which had tried again
            if not is_expected(seen.data):
                return Found(seen.data, is_certain=not lost)
            if len(lost) == _MAX_LOST:
                raise lost[-1].error()
            modes = self._modes(seen)
            result = self._client.try_put(self._name, new, self._what, modes[refused % len(modes)])
            if not isinstance(result, Failure):
                self._last = Seen(new, _version(result))
                return None
            if result.kind is FailureKind.REFUSED:
                raise result.error()
            if result.kind is not FailureKind.NOT_EXPECTED:
                lost.append(result)
            before, seen = seen, self._look(lost)
            if result.kind is FailureKind.NOT_EXPECTED:
                # If nothing has changed all the same, the store wants its ETags in another form.
                refused += _same(before, seen)
        if seen.data == new:
            return None
        raise BackendUnavailableError(
            f"cannot exchange {self._what} in {self._client.where}: it refused {_MAX_ATTEMPTS} puts under the ETag "
            f"that it had given, {seen.version.get('e_tag')!r}"
        )

    def _look(self, lost: list[Failure] | None = None) -> Seen:
        """Return the object as it is now.

        :param lost: failures of puts that may have arrived all the same
        """
        try:
            data, meta = self._client.get(self._name, self._what, self._max_bytes)
        except NoObjectError:
            seen = Seen(None, {})
        except BackendUnavailableError as error:
            if not lost:
                raise
            raise BackendUnavailableError(
                f"{lost[-1].message}; nor can it be found out whether it arrived (look at {self._what} before trying "
                f"again): {error}"
            ) from None
        else:
            seen = Seen(data, _version(meta))
        self._last = seen
        return seen

    def _modes(self, seen: Seen) -> list[Any]:
        """Return the conditions "if it is as it was read": with the ETag as the store wrote it, and the other way."""
        if seen.data is None:
            return ["create"]
        if not seen.version:
            raise BackendUnavailableError(
                f"cannot exchange {self._what} in {self._client.where}: it tells no ETag to put it under"
            )
        etag = seen.version.get("e_tag")
        if etag is None:
            return [seen.version]
        bare = etag.strip('"')
        return [seen.version, seen.version | {"e_tag": bare if etag != bare else f'"{bare}"'}]


def _is_still(seen: Seen, is_expected: Callable[[bytes | None], bool]) -> bool:
    """Return whether what was read before is as expected; what could not be understood then is read anew."""
    try:
        return is_expected(seen.data)
    except BackendUnavailableError:
        return False


def _version(meta: dict[str, Any]) -> dict[str, str]:
    """Return what a store says of a state, as a condition; obstore refuses a version that is None."""
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name) is not None}


def _bare(version: dict[str, str]) -> dict[str, str]:
    return {name: value.strip('"') for name, value in version.items()}


def _same(one: Seen, other: Seen) -> bool:
    """Return whether two readings are of one state; ETags with and without quotes are the same."""
    return one.data == other.data and _bare(one.version) == _bare(other.version)
