"""The accessor ``ipld`` of datasets and trees of xarray: written to an address, and where they are from."""

from __future__ import annotations

import inspect
from typing import Any, Final, Generic, TypeVar

import xarray as xr
from ipld_car import cids
from ipld_castore import ContentAddressableStore
from multiformats import CID

import ipldstore._public  # noqa: F401  # by which classes say where users import them from
from ipldstore._address.places import AnyAddress
from ipldstore._dataset.castores import AnyCAStore
from ipldstore._display.bars import counting_tasks
from ipldstore._io.open import open as open_store
from ipldstore._io.writing import write_to
from ipldstore._repository.repository import Repository
from ipldstore._repository.session import RepositorySession
from ipldstore._store.ipld_store import IPLDStore

from .copying import write_zarr
from .source import ROOT, store_of, whole_of

_OPEN_OPTIONS: Final = inspect.signature(open_store).parameters.keys() - {"what", "mode", "castore"}
_NO_OPTIONS: Final = {"self", "store", "chunk_store"}
"""Arguments of ``to_zarr`` that say where to write, which the address says here."""

T = TypeVar("T", xr.Dataset, xr.DataTree)


class _Accessor(Generic[T]):
    """What ``.ipld`` of a dataset or a tree does.

    :param data: the dataset or tree
    """

    def __init__(self, data: T) -> None:
        self._data: T = data

    def __repr__(self) -> str:
        cid = self.cid
        known = "no CID is known" if cid is None else f"read from {cid}"
        return f"<ipld of a {type(self._data).__name__}: {known}; to_ipld(address) writes it>"

    @property
    def cid(self) -> CID | None:
        """The CID of the root that the data were read from; None if they were not, or that is not known.

        The engine ``ipldstore`` keeps it in ``encoding["ipld_root"]``, which is never written. What was changed since
        is not in it. What ``xr.open_zarr(store)`` has returned tells the root that the store has now, and None while
        the store has changes that are not frozen; no dataset made of it does.
        """
        text = self._data.encoding.get(ROOT)
        if text is not None:
            return cids.from_validated(cids.to_bytes(text))
        store = store_of(self._data)
        return None if store is None else store.root_cid

    def to_ipld(
        self,
        what: AnyAddress | AnyCAStore,
        mode: str | None = None,
        *,
        message: str | None = None,
        open_options: dict[str, Any] | None = None,
        **to_zarr_options: Any,
    ) -> CID:
        """Write the data by ``to_zarr``; return the CID of the root.

        With dask, variables that lie in zarr already, and are to be written as they are there, are not decoded: their
        chunks are copied as bytes, which may be other bytes of the same values than compressing them anew would give.

        A file or folder that is written is frozen and closed. If writing fails, what was there before is there still,
        and what is new is empty.

        :param what: what :func:`ipldstore.open` writes to, such as ``"air.car"``, ``"air.car#group"`` or
            ``"s3://bucket/air@main"``; or a block store, or an open :class:`ipldstore.IPLDStore` or a session of a
            repository, which is frozen and not committed
        :param mode: as of ``to_zarr``: "w-" (the default), "w", "a", "a-" or "r+"
        :param message: of the commit, where a repository is written
        :param open_options: options of :func:`ipldstore.open`, such as ``storage_options`` or ``branch``
        :param to_zarr_options: options of ``to_zarr``, such as ``encoding``, ``append_dim``, ``region`` or ``group``;
            and those of :func:`ipldstore.open` by their names
        :raises IPLDStoreError: if blocks cannot be written
        :raises ValueError: if ``compute=False`` is given: a root is that of all the data; if what is named cannot be
            written, such as a tag; if options of opening are given with what is open
        :raises TypeError: if an option is neither of ``to_zarr`` nor of :func:`ipldstore.open`
        """
        if to_zarr_options.get("compute", True) is not True:
            raise ValueError("expected compute=True, as a root is that of all the data; to_zarr(store) can be delayed")
        if mode is not None:
            to_zarr_options["mode"] = mode
        given = {**(open_options or {}), **({} if message is None else {"message": message})}
        for name in _OPEN_OPTIONS & to_zarr_options.keys():
            if name in given:
                raise ValueError(f"expected one {name}, found it in open_options and beside")
            given[name] = to_zarr_options.pop(name)
        self._check(what, given, to_zarr_options)
        with counting_tasks("writing"):
            return self._write(what, given, to_zarr_options)

    def _check(self, what: object, given: dict[str, Any], to_zarr_options: dict[str, Any]) -> None:
        """Refuse options that mean nothing, before anything is opened."""
        known = inspect.signature(type(self._data).to_zarr).parameters.keys() - _NO_OPTIONS
        for name in to_zarr_options:
            if name not in known:
                raise TypeError(
                    f"expected options of to_zarr or of ipldstore.open that say how to write, found {name!r}"
                )
        if isinstance(what, Repository):
            raise TypeError(
                "expected an address, a store or a session, found a Repository: writable_session(branch) is one of it"
            )
        if given and isinstance(what, (ContentAddressableStore, IPLDStore, RepositorySession)):
            raise ValueError(f"expected options of opening with an address, found {', '.join(given)} with what is open")

    def _write(self, what: AnyAddress | AnyCAStore, given: dict[str, Any], to_zarr_options: dict[str, Any]) -> CID:
        what = what.store if isinstance(what, RepositorySession) else what
        if isinstance(what, IPLDStore):
            write_zarr(self._data, what, to_zarr_options)
            return what.freeze()
        if isinstance(what, ContentAddressableStore):
            store = IPLDStore(what)
            write_zarr(self._data, store, to_zarr_options)
            return store.freeze()

        def write(store: IPLDStore) -> None:
            whole, group = whole_of(store)  # its consolidated metadata are those of all groups
            names = (group, str(to_zarr_options.pop("group", None) or "").strip("/"))
            write_zarr(self._data, whole, to_zarr_options | {"group": "/".join(filter(None, names)) or None})

        return write_to(what, write, given)  # type: ignore[arg-type]  # all else is an address


class DatasetAccessor(_Accessor[xr.Dataset]):
    """``ds.ipld``: write a dataset to an address, and tell the CID that it was read from."""


class DataTreeAccessor(_Accessor[xr.DataTree]):
    """``tree.ipld``: write a tree to an address, and tell the CID that it was read from."""


def _register() -> None:
    register: Any  # xarray does not say of what type its decorators are
    for register, accessor in (
        (xr.register_dataset_accessor, DatasetAccessor),
        (xr.register_datatree_accessor, DataTreeAccessor),
    ):
        register("ipld")(accessor)


_register()
