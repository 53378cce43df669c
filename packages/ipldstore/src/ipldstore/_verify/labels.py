"""Labels of positions in arrays: the values of coordinates as text, such as the dates of time steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.errors import GroupNotFoundError

from ipldstore._display.clip import clip
from ipldstore.errors import IPLDStoreError

_WIDTH: Final = 40
"""Characters of a label, at most."""
_MOST_SINGLE: Final = 100
"""Positions that are read one by one where some of a coordinate are lost."""
_DECODED: Final = ("scale_factor", "add_offset")
"""Attributes by which values are read, beside units of time."""


class Labels:
    """Labels of positions along named dimensions.

    The coordinate of a dimension is the array of that name with that one dimension, in the group of the array or the
    nearest group above it, as xarray has it.

    :param store: the dataset, open to read
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._coordinates: dict[tuple[str, str], zarr.Array[Any] | None] = {}

    def of(self, path: str, dimension: str, positions: Collection[int]) -> dict[int, str]:
        """Return the labels of positions along a dimension of an array, of those that have one.

        A position has none where there is no coordinate, or its block is lost too.

        :param path: the path of the array
        """
        group = path.rpartition("/")[0]
        key = (group, dimension)
        if key not in self._coordinates:
            self._coordinates[key] = self._find(group, dimension)
        coordinate = self._coordinates[key]
        if coordinate is None:
            return {}
        inside = sorted(at for at in set(positions) if at < coordinate.shape[0])
        try:
            return _labels(coordinate, inside)
        except IPLDStoreError:
            found: dict[int, str] = {}
            for at in inside[:_MOST_SINGLE]:
                try:
                    found |= _labels(coordinate, [at])
                except IPLDStoreError:  # this one is lost
                    continue
            return found

    def _find(self, group: str, dimension: str) -> zarr.Array[Any] | None:
        parts = group.split("/") if group else []
        for count in range(len(parts), -1, -1):
            path = "/".join((*parts[:count], dimension))
            try:
                found = zarr.open(self._store, path=path, mode="r")
            except (GroupNotFoundError, FileNotFoundError):
                continue
            except (IPLDStoreError, ValueError, KeyError, TypeError):  # lost, or no metadata that zarr can read
                return None
            if isinstance(found, zarr.Array) and found.ndim == 1:
                return found
        return None


def _labels(coordinate: zarr.Array[Any], positions: list[int]) -> dict[int, str]:
    if not positions:
        return {}
    values = np.asarray(coordinate.get_coordinate_selection(np.array(positions)))
    decoded = _decode(values, dict(coordinate.attrs))
    return {at: _text(value) for at, value in zip(positions, decoded, strict=True)}


def _decode(values: np.ndarray[Any, Any], attributes: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Return values as the attributes of the CF conventions say, as xarray decodes them; as they are without xarray."""
    is_time = " since " in str(attributes.get("units", ""))
    if not is_time and not any(name in attributes for name in _DECODED):
        return values
    try:
        import xarray as xr

        return np.asarray(xr.conventions.decode_cf_variable("at", xr.Variable("at", values, dict(attributes))).values)
    except ModuleNotFoundError:  # xarray, or cftime for a calendar that numpy has not
        return values
    except (ValueError, OverflowError, TypeError):  # attributes that mean nothing
        return values


def _text(value: Any) -> str:
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, unit="auto"))
    if isinstance(value, bytes):
        return clip(value.decode("utf-8", "backslashreplace"), _WIDTH)
    return clip(str(value).removesuffix(" 00:00:00"), _WIDTH)
