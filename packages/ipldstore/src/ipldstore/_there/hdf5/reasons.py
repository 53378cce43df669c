"""Why VirtualiZarr cannot parse a file: its own errors do not name the dataset."""

from __future__ import annotations

from typing import Any

from ipldstore._there.manifests import array_of

from .texts import is_text


class UnparsableError(ValueError):
    """A dataset or link of a file cannot be parsed; the text names it."""


def explained(url: str, file: Any, error: Exception) -> UnparsableError:
    """Return an error that names the dataset or the link that cannot be parsed.

    :param error: what the parser has raised
    """
    if isinstance(error, RecursionError):
        return UnparsableError("expected groups that end, found one that holds itself or is very deep")
    import h5py  # type: ignore[import-untyped,unused-ignore]  # it has no types

    def check(path: str, item: Any) -> str | None:
        if isinstance(item, h5py.Group):
            return next((f"{path}/{name}".lstrip("/") for name in item if item.get(name) is None), None)
        is_parsed = isinstance(item, h5py.Dataset) and not is_text(item.id)
        return path if is_parsed and _problem(url, item) else None

    found = check("", file) or file.visititems(check)
    if found is None:
        return UnparsableError(f"{type(error).__name__}: {error}")
    item = file.get(found)
    if item is None:
        return UnparsableError(f"expected an object behind the link {found!r}, found none")
    return UnparsableError(f"expected a dataset that zarr can have, found {found!r} {_problem(url, item)}")


def _problem(url: str, dataset: Any) -> str:
    """Return what of a dataset cannot be parsed; an empty text if it can be."""
    import h5py

    if dataset.shape is None:
        return "without a shape (a null dataspace)"
    if h5py.check_vlen_dtype(dataset.dtype) not in (None, str):
        return f"of sequences of variable length ({dataset.dtype.metadata})"
    try:
        array_of(url, dataset)
    except Exception as error:  # noqa: BLE001  # whatever the parser trips over
        filters = ", ".join(sorted(dataset._filters))  # noqa: SLF001  # h5py has no public way to all of them
        return f"of type {dataset.dtype}{f' with the filters {filters}' if filters else ''} ({error})"
    return ""
