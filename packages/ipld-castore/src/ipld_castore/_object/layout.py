"""The names of objects: those of the files in a folder of FileSystemCAStore."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from ipld_car import cids
from multiformats import CID

from ipld_castore._backends import flatfs
from ipld_castore.concurrency import ForkLocal
from ipld_castore.errors import BackendUnavailableError

from .client import Client, Failure, FailureKind, NoObjectError

T = TypeVar("T")

_MAX_RULE_BYTES: Final = 1024


def checked_prefix(prefix: str) -> str:
    """Return a prefix without "/" at its ends.

    :raises ValueError: if a part of it is empty or names a folder above
    :raises TypeError: if it is no text
    """
    if not isinstance(prefix, str):
        raise TypeError(f"expected a prefix as text, found {prefix!r}")
    bare = prefix.strip("/")
    if bare and any(part in ("", ".", "..") for part in bare.split("/")):
        raise ValueError(f"expected a prefix like 'data/blocks', found {prefix!r}")
    return bare


class Layout:
    """The object of each block, by the rule in the object ``SHARDING``, which is read when the default rule fails.

    :param client: the store
    :param prefix: names begin with it; empty, or without "/" at its ends
    """

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._below = f"{prefix}/" if prefix else ""
        self._rule: flatfs.Sharding | None = None
        self.is_new = False
        """Whether there is most likely no block yet: the rule is then written without a look at whether there is one.

        If there is one, it stays.
        """
        self._lock = ForkLocal(threading.Lock)

    @property
    def prefix(self) -> str | None:
        """The prefix of all names, as obstore lists it; None for no prefix."""
        return self._below.rstrip("/") or None

    def name(self, file: str) -> str:
        """Return the name of the object for a file of the folder."""
        return self._below + file

    def block_name(self, cid: bytes, rule: flatfs.Sharding) -> str:
        """Return the name of the object that holds a block."""
        return self._below + flatfs.file_of(cid, rule)

    def cid_of(self, name: str, rule: flatfs.Sharding) -> CID | None:
        """Return the raw CID of the block in an object; None if the object is none of this layout."""
        shard, _, file = name.removeprefix(self._below).partition("/")
        binary = flatfs.cid_of_file(shard, file, rule) if name.startswith(self._below) else None
        return None if binary is None else cids.from_validated(binary)

    def known_name(self, cid: bytes) -> str | None:
        """Return the name of the object that holds a block; None while the rule is not known without a request."""
        return None if self._rule is None else self.block_name(cid, self._rule)

    def with_rule(self, action: Callable[[flatfs.Sharding], T]) -> T:
        """Return the result of an action that finds a block by the rule.

        While the rule is unknown, the default rule is tried first. A block that it finds tells that it is the rule.

        :raises NoObjectError: if the action has raised it
        :raises BackendUnavailableError: if the rule cannot be read
        """
        if self._rule is not None:
            return action(self._rule)
        try:
            result = action(flatfs.DEFAULT)
        except NoObjectError:
            rule = self.rule()
            if rule == flatfs.DEFAULT:
                raise
        else:
            self._rule = flatfs.DEFAULT
            return result
        return action(rule)

    def rule(self) -> flatfs.Sharding:
        """Return the rule; the default one if the bucket has none.

        :raises BackendUnavailableError: if it cannot be read, or is none
        """
        if self._rule is None:
            try:
                data, _ = self._client.get(self.name(flatfs.SHARDING_FILE), "the sharding rule", _MAX_RULE_BYTES)
            except NoObjectError:
                return flatfs.DEFAULT
            try:
                self._rule = flatfs.Sharding.parse(data.decode("utf-8", errors="replace"))
            except ValueError as error:
                raise BackendUnavailableError(
                    f"cannot read the sharding rule in {self._client.where}: {error}"
                ) from error
        return self._rule

    def written_rule(self) -> flatfs.Sharding:
        """Return the rule, which is written if the bucket has none.

        :raises BackendUnavailableError: if it cannot be read or written
        """
        if self._rule is None:
            with self._lock.value:
                rule = flatfs.DEFAULT if self.is_new else self.rule()
                if self._rule is None:
                    self._write(rule)
        return self.rule()

    def _write(self, rule: flatfs.Sharding) -> None:
        name, text = self.name(flatfs.SHARDING_FILE), f"{rule}\n".encode()
        result = self._client.try_put(name, text, "the sharding rule", "create")
        if not isinstance(result, Failure):
            self._rule = rule
        elif result.kind is not FailureKind.NOT_EXPECTED:  # else another process has begun the same store
            raise result.error()
