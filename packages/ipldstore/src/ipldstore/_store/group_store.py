"""A store whose top is one group of a dataset."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from .ipld_store import IPLDStore
from .mapping import StoreMapping

if TYPE_CHECKING:
    from typing import Self

    import numpy.typing as npt
    from ipld_castore import AnyCID
    from multiformats import CID

    from ipldstore._links.arrays import Links


class GroupStore(IPLDStore):
    """An :class:`IPLDStore` that shows one group, or one array, as if it were all.

    Keys and paths are those below the group. Roots, archives and forks are of the whole dataset. Other stores over the
    dataset, such as the one that this was made of, see what is written here.
    """

    _prefix: str

    @classmethod
    def of(cls, store: IPLDStore, path: str) -> Self:
        """Return the store of a group; closing it closes what ``store`` has open.

        :param store: the store of the whole dataset; the new store takes it over, so it must not be used any more
        :param path: the path of the group, without slashes at its ends
        """
        made = object.__new__(cls)
        made.__dict__.update(store.__dict__, _data=store._data, _prefix=f"{path}/")  # noqa: SLF001  # its own base
        return made

    def whole(self) -> IPLDStore:
        """Return the store of the whole dataset; closing it closes what this store has open."""
        made = object.__new__(IPLDStore)
        own = self.__dict__ | {"_data": self._data}
        made.__dict__.update({name: value for name, value in own.items() if name != "_prefix"})
        return made

    @property
    def path(self) -> str:
        """The path of the group in the dataset."""
        return self._prefix[:-1]

    def __eq__(self, other: object) -> bool:
        """Return whether this is the same group of the same store."""
        return isinstance(other, GroupStore) and other._prefix == self._prefix and super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]  # as the base class

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]} at {self.path!r}>"

    def __str__(self) -> str:
        return f"{super().__str__()}/{self.path}"

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """See :meth:`IPLDStore.__dask_tokenize__`; the path counts."""
        return *super().__dask_tokenize__(), self._prefix

    # -- reading --

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """See :meth:`IPLDStore.get`."""
        return await super().get(self._prefix + key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        """See :meth:`IPLDStore.exists`."""
        return await super().exists(self._prefix + key)

    async def getsize(self, key: str) -> int:
        """See :meth:`IPLDStore.getsize`."""
        return await super().getsize(self._prefix + key)

    async def getsize_prefix(self, prefix: str) -> int:
        """See :meth:`IPLDStore.getsize_prefix`."""
        return await super().getsize_prefix(self._prefix + prefix)

    def _keys(self, prefix: str = "") -> Iterator[str]:
        return (key.removeprefix(self._prefix) for key in self._data.keys(self._prefix + prefix))

    def list(self) -> AsyncIterator[str]:
        """See :meth:`IPLDStore.list`."""
        return self._stream(self._keys)

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """See :meth:`IPLDStore.list_prefix`."""
        return self._stream(lambda: self._keys(prefix))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """See :meth:`IPLDStore.list_dir`."""
        return super().list_dir(self._prefix + prefix)

    # -- writing --

    async def _write(self, key: str, value: Buffer, *, only_new: bool) -> None:
        await super()._write(self._prefix + key, value, only_new=only_new)

    async def delete(self, key: str) -> None:
        """See :meth:`IPLDStore.delete`."""
        await super().delete(self._prefix + key)

    async def delete_dir(self, prefix: str) -> None:
        """See :meth:`IPLDStore.delete_dir`."""
        await super().delete_dir(self._prefix + prefix)

    # -- the synchronous surface, and the dict --

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """See :meth:`IPLDStore.get_sync`."""
        return super().get_sync(self._prefix + key, prototype=prototype, byte_range=byte_range)

    def set_sync(self, key: str, value: Buffer) -> None:
        """See :meth:`IPLDStore.set_sync`."""
        super().set_sync(self._prefix + key, value)

    def delete_sync(self, key: str) -> None:
        """See :meth:`IPLDStore.delete_sync`."""
        super().delete_sync(self._prefix + key)

    @property
    def mapping(self) -> StoreMapping:
        """See :attr:`IPLDStore.mapping`."""
        return StoreMapping(self._data, self._check_writable, self._prefix)

    def __setitem__(self, key: str, value: bytes) -> None:
        super().__setitem__(self._prefix + key, value)

    # -- by the path of a node --

    def _below(self, path: str) -> str:
        """Return the path in the whole dataset."""
        return f"{self._prefix}{path.strip('/')}".rstrip("/")

    def set_links(self, array_path: str, coordinates: npt.ArrayLike, cids: npt.ArrayLike) -> None:
        """See :meth:`IPLDStore.set_links`."""
        super().set_links(self._below(array_path), coordinates, cids)

    def links(self, array_path: str) -> Links:
        """See :meth:`IPLDStore.links`."""
        return super().links(self._below(array_path))

    def move(self, old: str, new: str) -> None:
        """See :meth:`IPLDStore.move`."""
        super().move(self._below(old), self._below(new))

    def graft(self, path: str, cid: AnyCID, *, overwrite: bool = False) -> None:
        """See :meth:`IPLDStore.graft`."""
        super().graft(self._below(path), cid, overwrite=overwrite)

    def subtree(self, path: str) -> CID:
        """See :meth:`IPLDStore.subtree`."""
        return super().subtree(self._below(path))
