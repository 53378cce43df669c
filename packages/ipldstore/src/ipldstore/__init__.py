"""A zarr store whose contents are an IPLD graph with one root CID.

:class:`IPLDStore` is the store, and :func:`open` opens one in a file or folder; the block stores it can be over are
re-exported from :mod:`ipld_castore`. Data that is lost, wrong or out of reach is an :class:`IPLDStoreError`, through
zarr and xarray too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._xarray.on_import import register_with_xarray as _register_with_xarray

if TYPE_CHECKING:
    from ._public import *  # noqa: F403  # all of its __all__
    from ._public import __all__ as __all__
else:
    # Importing the package costs nothing: what is below is imported when the first name is asked for.
    def __getattr__(name: str) -> Any:
        if name.startswith("_") and name != "__all__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        public = importlib.import_module("._public", __name__)
        globals().update({each: getattr(public, each) for each in ("__all__", *public.__all__)})
        if name not in globals():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})


_register_with_xarray()
