"""Ranges of an object in a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ipld_castore._object.client import Client, Failure, FailureKind
from ipld_castore._object.options import check_url, open_store
from ipld_castore._object.recipe import Recipe, recipe_of, store_of
from ipld_castore.errors import BackendUnavailableError

from .version import FileVersion, bare_etag, changed
from .versioned_source import VersionedSource


class ObjectRangeSource(VersionedSource):
    """An object in a bucket as a :class:`ipld_car.RangeSource`, through obstore.

    Every range is read on the condition that the object has the ETag that it had at first. Threads may share a source;
    obstore cannot be used after a fork.

    :param store: the store of obstore; or how it is made, which is done when it is used: a worker that has no
        credentials fails its task, where an error of unpickling would end the process of a pool
    :param name: the name of the object
    :param version: what is known of the object; None asks the store when it is needed
    :param pickles_secrets: whether a pickle holds the secrets in the options of the store; else each process finds its
        own credentials
    """

    def __init__(
        self, store: Any, name: str, version: FileVersion | None = None, *, pickles_secrets: bool = True
    ) -> None:
        super().__init__(version)
        self._recipe = store if isinstance(store, Recipe) else None
        self._connected = None if isinstance(store, Recipe) else Client(store)
        self._pickles_secrets = pickles_secrets
        self._name = name

    @classmethod
    def from_url(cls, url: str, options: Mapping[str, Any]) -> ObjectRangeSource:
        """Return the object of a URL such as ``s3://bucket/air/era5.car``.

        :param url: the URL; percent encoding in it is undone
        :param options: see :meth:`ipld_castore.ObjectCAStore.from_url`
        :raises ValueError: if the URL names no object, or has credentials in it, or an option is unknown
        :raises BackendUnavailableError: if no credentials are found
        :raises ImportError: if obstore is not installed
        """
        check_url(url)
        folder, _, name = url.rpartition("/")
        if not name or folder.endswith(("/", ":")):
            raise ValueError("expected the URL of an object in a bucket, such as s3://bucket/x.car; found none")
        try:
            name = unquote(name, errors="strict")  # as obstore reads the folder before it
        except UnicodeDecodeError:
            raise ValueError(f"expected percent-encoded UTF-8 in the URL of an object, found {name!r}") from None
        own = dict(options)
        credentials = own.pop("credentials", "pickle")
        if credentials not in ("pickle", "worker"):
            raise ValueError(f"expected credentials to be 'pickle' or 'worker', found {credentials!r}")
        return cls(open_store(folder, own), name, pickles_secrets=credentials == "pickle")

    @property
    def _client(self) -> Client:
        if self._connected is None:
            assert self._recipe is not None  # noqa: S101  # there is the one or the other
            self._connected = Client(store_of(self._recipe))
        return self._connected

    @property
    def where(self) -> str:
        """The URL, and the server if it is not the default; without secrets."""
        endpoint = self._client.endpoint
        return f"{self.url} at {endpoint}" if endpoint else self.url

    @property
    def url(self) -> str:
        """The URL that other programs know the object by, which are told the endpoint otherwise."""
        return f"{self._client.url}/{self._name}"

    def _read(self, offset: int, size: int) -> bytes:
        store, version = self._client.store, self._version
        options: dict[str, Any] = {"range": (offset, offset + size)}
        if version is not None and version.etag is not None:
            options["if_match"] = version.etag

        def get() -> tuple[bytes, Mapping[str, Any]]:
            answer = store.get(self._name, options=options)
            return bytes(answer.bytes()), answer.meta

        found = self._client.attempt(f"read {self._name} from", get)
        if isinstance(found, Failure):
            if found.kind is FailureKind.NOT_EXPECTED:
                raise changed(self.where, "its ETag is another")
            if found.kind is FailureKind.ABSENT:
                raise BackendUnavailableError(f"cannot read {self.where}: there is no such object")
            if version is None and "416 Range Not Satisfiable" in found.message and self._is_empty():
                self._version = FileVersion(0)
                return b""
            raise found.error()
        data, meta = found
        now = FileVersion(meta["size"], meta.get("e_tag"))
        if version is None:
            self._version = now
        else:
            FileVersion(version.size, bare_etag(version.etag)).check(
                FileVersion(now.size, bare_etag(now.etag)), self.where
            )
        expected = min(size, now.size - offset)
        if len(data) != expected:
            raise BackendUnavailableError(
                f"cannot read {self.where}: expected {expected} bytes at {offset}, found {len(data)}"
            )
        return data

    def _is_empty(self) -> bool:
        """Return whether the object has no bytes, of which no range can be read."""
        meta = self._client.attempt(f"look at {self._name} in", lambda: self._client.store.head(self._name))
        return not isinstance(meta, Failure) and meta["size"] == 0

    def close(self) -> None:
        """Do nothing: obstore has no connections to close."""

    def __reduce__(self) -> tuple[Any, ...]:
        recipe = self._recipe or recipe_of(self._client.store, with_secrets=self._pickles_secrets)
        return _restored, (recipe, self._name, self._version, self._pickles_secrets)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.where}>"


def _restored(recipe: Recipe, name: str, version: FileVersion | None, pickles_secrets: bool) -> ObjectRangeSource:
    return ObjectRangeSource(recipe, name, version, pickles_secrets=pickles_secrets)
