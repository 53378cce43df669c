"""The head of a bucket: an object that moves by conditional puts, or a file where the bucket is a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ipld_car import CarError
from multiformats import CID

from ipld_castore._backends.head_file import HeadFile, format_head, parse_head
from ipld_castore._core.heads import check_head, is_head
from ipld_castore.errors import BackendUnavailableError

from .client import Client
from .conditional import ConditionalObject

_WHAT: Final = "the head"


class ObjectHead:
    """A CID in an object.

    :param client: the store
    :param name: the name of the object
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._object = ConditionalObject(client, name, _WHAT)

    def read(self) -> CID | None:
        """Return the head; None if there is none.

        :raises BackendUnavailableError: if it cannot be read, or is no CID
        """
        return self._parsed(self._object.read())

    def swap(self, expected: CID | None, new: CID) -> None:
        """Replace ``expected`` by ``new``.

        :raises HeadMovedError: if the head is another
        :raises BackendUnavailableError: if it is unknown whether it was replaced, or it cannot be
        """
        found = self._object.exchange(lambda data: is_head(self._parsed(data), expected), format_head(new))
        if found is None:
            return
        try:
            check_head(self._client.where, expected, self._parsed(found.data))
        except Exception as error:
            if not found.is_certain:
                error.add_note(
                    f"An answer of the store was lost: the head may have been {new} before another process moved it."
                )
            raise

    def _parsed(self, data: bytes | None) -> CID | None:
        if data is None:
            return None
        try:
            return parse_head(data)
        except CarError as error:
            raise BackendUnavailableError(f"cannot read the head in {self._client.where}: {error}") from error


def head_of(client: Client, name: str) -> ObjectHead | HeadFile:
    """Return the head of a store. obstore's LocalStore has no conditional puts: there it is a file under a lock.

    :param name: the name of the head's object
    """
    if client.kind != "LocalStore":
        return ObjectHead(client, name)
    return HeadFile((Path(client.store.prefix or "/") / name).parent, make=True)
