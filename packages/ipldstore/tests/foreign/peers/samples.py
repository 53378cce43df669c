"""The dataset that writers of other formats write in tests. Run by their environments too: numpy and xarray only."""

from __future__ import annotations

import numpy as np
import xarray as xr

CHUNKS = (1, 3, 4)


def dataset(times: int = 12, large: int = 0) -> xr.Dataset:
    """Return arrays with several chunks, coordinates and attributes.

    :param times: a quarter of the number of chunks
    :param large: bytes of the one chunk of an array ``image``, if it is not 0
    """
    shape = (times, 6, 8)
    values = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    image = {"image": ("n", np.arange(large, dtype="u4").astype("u1"))} if large else {}
    return xr.Dataset(
        {"temp": (("time", "lat", "lon"), values, {"units": "K"}), **image},
        coords={"time": np.arange(times), "lat": np.linspace(-5, 5, 6), "lon": np.linspace(0, 7, 8)},
        attrs={"title": "written by others"},
    )


def encoding(large: int = 0) -> dict[str, dict[str, object]]:
    """Return how the arrays are written: chunks without compression, as compressors differ from version to version."""
    plain: dict[str, dict[str, object]] = {name: {"compressors": None} for name in ("time", "lat", "lon")}
    if large:
        plain["image"] = {"chunks": (large,), "compressors": None}
    return plain | {"temp": {"chunks": CHUNKS, "compressors": None}}
