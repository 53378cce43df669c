"""Repositories of icechunk as sources of a copy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from zarr.abc.store import Store

_SCHEME: Final = "icechunk:"


def is_icechunk(what: str) -> bool:
    """Return whether a text names a repository of icechunk: ``icechunk:`` and where it is, or its folder."""
    if what.startswith(_SCHEME):
        return True
    folder = Path(what)
    return (
        "://" not in what and (folder / "snapshots").is_dir() and any((folder / n).exists() for n in ("repo", "refs"))
    )


def icechunk_store(what: str, options: Mapping[str, Any] | None = None) -> Store:
    """Return the store of a commit of a repository of icechunk, for reading.

    :param what: ``icechunk:PATH``, ``icechunk:s3://BUCKET/PREFIX`` or ``icechunk:gs://...``, each also with ``@`` and a
        branch, a tag or a snapshot behind it, by default ``main``; or the path of its folder
    :param options: of a bucket: those of ``icechunk.s3_storage`` or ``icechunk.gcs_storage``; by default the
        environment has the credentials
    :raises ImportError: if icechunk is not installed
    :raises ValueError: if there is no such repository, branch, tag or snapshot, or a folder has options
    """
    try:
        import icechunk  # type: ignore[import-not-found,unused-ignore]  # it runs on Python 3.12 and later
    except ImportError as error:
        raise ImportError(
            f'icechunk is needed to read {what}, on Python 3.12 or later: pip install "ipldstore[icechunk]"'
        ) from error
    place, ref = (what, "") if not what.startswith(_SCHEME) else _parts(what.removeprefix(_SCHEME))
    try:
        repository = icechunk.Repository.open(_storage(icechunk, place, options))
        return _session(repository, ref or "main").store  # type: ignore[no-any-return,unused-ignore]
    except icechunk.IcechunkError as error:
        raise ValueError(f"expected a repository of icechunk with {ref or 'main'!r} at {place}: {error}") from error


def _parts(text: str) -> tuple[str, str]:
    """Split what stands behind the last @, unless it is a part of a path that exists."""
    place, sign, ref = text.rpartition("@")
    return (place, ref) if sign and "/" not in ref and not Path(text).exists() else (text, "")


def _storage(icechunk: Any, place: str, options: Mapping[str, Any] | None) -> Any:
    scheme, separator, rest = place.partition("://")
    if not separator:
        if options:
            raise ValueError(f"expected options of storage with a URL, found them with the folder {place}")
        return icechunk.local_filesystem_storage(str(Path(place).absolute()))
    bucket, _, prefix = rest.partition("/")
    own = dict(options or {"from_env": True})
    if scheme == "s3":
        return icechunk.s3_storage(bucket=bucket, prefix=prefix, **own)
    if scheme == "gs":
        return icechunk.gcs_storage(bucket=bucket, prefix=prefix, **own)
    raise ValueError(f"expected a path, s3:// or gs:// behind {_SCHEME}, found {place}")


def _session(repository: Any, ref: str) -> Any:
    if ref in repository.list_branches():
        return repository.readonly_session(ref)
    if ref in repository.list_tags():
        return repository.readonly_session(tag=ref)
    return repository.readonly_session(snapshot_id=ref)
