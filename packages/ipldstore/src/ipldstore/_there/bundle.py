"""A folder that is ready to be published: an archive, and what people and catalogues need to know of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from ipld_car import cids, fs, hashes, ops
from multiformats import CID

from ipldstore._address.places import AnyAddress
from ipldstore._io.open import open as open_store
from ipldstore._store.dataset_store import frozen_root
from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore
from ipldstore.errors import store_errors

ARCHIVE: Final = "data.car"
_MEDIA_TYPE: Final = "application/vnd.ipld.car"
_LATITUDES: Final = ("lat", "latitude", "nav_lat")
_LONGITUDES: Final = ("lon", "longitude", "nav_lon")
_NOT_FOR_XARRAY: Final = (ImportError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError)
"""What xarray raises where it is not installed, or for a hierarchy that is no dataset of its own. Errors of blocks are
:class:`IPLDStoreError`, which is none of them."""
_DATASET: Final = "ds = xr.open_zarr(store, consolidated=False)"
_TREE: Final = 'tree = xr.open_datatree(store, engine="zarr", consolidated=False)'
_NODE: Final = 'node = zarr.open(store, mode="r")'


class Bundle(NamedTuple):
    """What :func:`publish_bundle` has written."""

    path: Path
    """The folder."""
    root: CID
    """The root of the dataset."""
    size: int
    """Bytes of the archive."""
    sha256: str
    """The sha2-256 digest of the archive, in hex."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


def publish_bundle(what: AnyAddress | IPLDStore, path: str | os.PathLike[str]) -> Bundle:
    """Write a folder that is ready to be published, at Zenodo for example.

    It holds ``data.car``, an archive with an index; ``README.md``, which says what the dataset is, how to open it, and
    how to verify it without this package; ``stac-item.json``, an item for a catalogue; and ``datacite.json``, a draft
    of the metadata of a DOI, in which what only the authors know is to be filled in. The URL of the published
    ``data.car`` is opened by ranges. Chunks that lie in other files are copied into the archive.

    :param what: an address of :func:`ipldstore.open`, or a store
    :param path: a new folder
    :raises FileExistsError: if something is there
    :raises ValueError: if it is one group of a dataset, whose root has what is beside the group, too; if there is
        neither a group nor an array at the root, which its readers open; or if ``path`` is a URL
    :raises IPLDStoreError: if a block is missing or wrong; nothing is left of the folder
    """
    if "://" in os.fspath(path):
        raise ValueError(f"expected the path of a new folder, found a URL: {os.fspath(path)}")
    folder = Path(path)
    if os.path.lexists(folder):
        raise FileExistsError(f"expected a new folder, found something at {folder}")
    if isinstance(what, IPLDStore):
        return _publish(what, folder)
    with open_store(what) as store:
        return _publish(store, folder)


def _publish(store: IPLDStore, folder: Path) -> Bundle:
    if isinstance(store, GroupStore):
        raise ValueError(  # noqa: TRY004  # the address names a group
            f"expected a whole dataset, found the group {store.path!r} of one: ipldstore.copy makes it one of its own"
        )
    root = frozen_root(store)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with fs.unfinished_beside(folder) as beside:
        unfinished = beside / "bundle"
        unfinished.mkdir()
        archive = unfinished / ARCHIVE
        plain = beside / "plain.car"
        with plain.open("wb") as stream:
            store.to_car(stream)
        with store_errors("writing the archive"):
            ops.convert(plain, archive)
        size, digest = archive.stat().st_size, _sha256(archive)
        text, facts = _described(store)
        extras = ["blake3"] if ops.inspect(archive).hashes[hashes.BLAKE3] else []
        _write(unfinished / "README.md", _readme(root, size, digest, facts, text, extras))
        _write_json(unfinished / "stac-item.json", _stac_item(root, size, digest, facts))
        _write_json(unfinished / "datacite.json", _datacite(root, size, facts))
        unfinished.rename(folder)
    return Bundle(folder, root, size, digest)


class _Facts(NamedTuple):
    """What is known of a dataset from its attributes and coordinates."""

    title: str
    description: str
    attributes: dict[str, Any]
    box: tuple[float, float, float, float] | None
    """West, south, east, north in degrees."""
    times: tuple[str, str] | None
    """The first and the last time."""
    opening: str
    """The line of Python that opens the dataset by its store."""


def _described(store: IPLDStore) -> tuple[str, _Facts]:
    """Return the text of a dataset, as xarray shows it where it can; and what is known of the dataset.

    :raises ValueError: if there is neither a group nor an array at the root
    """
    import zarr

    try:
        node: Any = zarr.open(store, mode="r")
    except FileNotFoundError as error:
        raise ValueError(f"expected a group or an array at the root of the dataset, found none in {store}") from error
    try:
        return _described_by_xarray(store, is_tree=isinstance(node, zarr.Group) and any(True for _ in node.groups()))
    except _NOT_FOR_XARRAY:
        return str(node.info), _facts(dict(node.attrs), None, None, _NODE)


def _described_by_xarray(store: IPLDStore, *, is_tree: bool) -> tuple[str, _Facts]:
    import xarray

    tree = xarray.open_datatree(store, engine="zarr", consolidated=False, chunks=None) if is_tree else None  # type: ignore[arg-type]  # a store
    data = xarray.open_zarr(store, consolidated=False, chunks=None) if tree is None else tree.to_dataset()
    times = None
    if "time" in data.coords and data["time"].dtype.kind == "M" and data["time"].notnull().any():
        first, last = data["time"].min().values, data["time"].max().values
        times = f"{first.astype('datetime64[s]')}Z", f"{last.astype('datetime64[s]')}Z"
    text, opening = (repr(data), _DATASET) if tree is None else (repr(tree), _TREE)
    return text, _facts(dict(data.attrs), _box(data), times, opening)


def _facts(attributes: dict[str, Any], box: Any, times: Any, opening: str) -> _Facts:
    title = " ".join(str(attributes.get("title") or "A zarr dataset").split())
    description = str(attributes.get("summary") or attributes.get("description") or attributes.get("comment") or title)
    return _Facts(title, description, attributes, box, times, opening)


def _box(data: Any) -> tuple[float, float, float, float] | None:
    found = []
    for names in (_LONGITUDES, _LATITUDES):
        name = next((name for name in names if name in data.coords), None)
        if name is None or not data[name].size:
            return None
        found.append((float(data[name].min()), float(data[name].max())))
    (west, east), (south, north) = found
    are_degrees = -90 <= south <= north <= 90 and -180 <= west <= east <= 360
    if not are_degrees:  # NaN, or coordinates of a projection
        return None
    if east > 180:  # STAC wants longitudes from -180 to 180; what crosses that line is all around
        west, east = (west - 360, east - 360) if west > 180 else (-180.0, 180.0)
    return west, south, east, north


def _readme(root: CID, size: int, digest: str, facts: _Facts, text: str, extras: list[str]) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    extras, name = (extras, "zarr") if facts.opening == _NODE else ([*extras, "xarray"], "xarray as xr")
    package = f"ipldstore[{','.join(extras)}]" if extras else "ipldstore"
    return f"""# {facts.title}

{facts.description}

{fence}
{text}
{fence}

| | |
| --- | --- |
| CID | `{root}` |
| archive | `{ARCHIVE}`, {size} bytes |
| sha256 | `{digest}` |

The CID names the whole dataset: whoever has it can check every byte, wherever the bytes came from.

## Open

With Python (`pip install "{package}"`), from the file, or from the URL where it is published, of which only the ranges
that are needed are read:

```python
import ipldstore
import {name}

store = ipldstore.open("{ARCHIVE}")  # or "https://.../{ARCHIVE}"
{facts.opening}
assert str(store.root_cid) == "{root}"
```

## Verify without ipldstore

```
sha256sum {ARCHIVE}                       # {digest}
ipfs dag import {ARCHIVE}                 # checks each block, and pins the root {root}
ipfs dag get {root}
```

The archive is a CARv2 (https://ipld.io/specs/transport/car/carv2/) with an index. Its blocks are DAG-CBOR, DAG-PB and
raw bytes.
"""


def _stac_item(root: CID, size: int, digest: str, facts: _Facts) -> dict[str, Any]:
    properties: dict[str, Any] = {"title": facts.title, "description": facts.description, "ipld:root": str(root)}
    if facts.times is None:
        properties["datetime"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    else:
        properties |= {"datetime": None, "start_datetime": facts.times[0], "end_datetime": facts.times[1]}
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/file/v2.1.0/schema.json"],
        "id": str(root),
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": {
            "data": {
                "href": f"./{ARCHIVE}",
                "type": _MEDIA_TYPE,
                "roles": ["data"],
                "file:size": size,
                "file:checksum": f"1220{digest}",
            },
            "readme": {"href": "./README.md", "type": "text/markdown", "roles": ["overview"]},
        },
    }
    if facts.box is not None:
        west, south, east, north = facts.box
        corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        item |= {"bbox": list(facts.box), "geometry": {"type": "Polygon", "coordinates": [corners]}}
    return item


def _datacite(root: CID, size: int, facts: _Facts) -> dict[str, Any]:
    given = facts.attributes
    named = given.get("creator_name") or given.get("creator") or ""
    creators = [name.strip() for name in (map(str, named) if isinstance(named, list) else str(named).split(","))]
    now = datetime.now(UTC)
    return {
        "titles": [{"title": facts.title}],
        "creators": [{"name": name} for name in creators if name] or [{"name": "TO BE FILLED IN"}],
        "publisher": str(given.get("publisher_name") or given.get("institution") or "TO BE FILLED IN"),
        "publicationYear": now.year,
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "zarr hierarchy"},
        "descriptions": [{"description": facts.description, "descriptionType": "Abstract"}],
        "alternateIdentifiers": [{"alternateIdentifier": str(root), "alternateIdentifierType": "CID"}],
        "sizes": [f"{size} bytes"],
        "formats": [_MEDIA_TYPE],
        "rightsList": [{"rights": str(given.get("license") or "TO BE FILLED IN")}],
        "schemaVersion": "http://datacite.org/schema/kernel-4",
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")


def _write_json(path: Path, value: dict[str, Any]) -> None:
    _write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
