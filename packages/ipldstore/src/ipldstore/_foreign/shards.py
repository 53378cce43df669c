"""Stores of py-hamt's ShardedZarrStore: for each array lists of the links of its chunks, in the order of the grid.

The root is a dag-cbor map. Version 2 has lists for each array, version 1 for one array, its *primary* one; metadata,
and chunks that are in no list, are links by key. Source: the code of py-hamt, ``sharded_zarr_store.py``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ipld_car import cids

from ipldstore._format import keys
from ipldstore._format.path_hint import PathHint
from ipldstore._read.prefetch_policy import LeafLinks
from ipldstore.errors import NodeError, store_errors

from .contents import ForeignContents, Found, is_value_link
from .nodes import ForeignNodes, Load, NodeNotCachedError, decode_cbor, node_errors

VERSIONS: Final = ("sharded_zarr_v1", "sharded_zarr_v2")

COORDINATES: Final = frozenset({"time", "lat", "lon", "latitude", "longitude", "forecast_reference_time", "step"})
"""Arrays that version 1 never takes for the primary one."""

_MAX_AXES: Final = 32
_MAX_NUMBER: Final = 2**63 - 1
_MAX_DOCUMENT_BYTES: Final = 16 << 20
_MAX_PREFETCHED: Final = 1024

Naming = Callable[[Sequence[int]], str]
"""Makes the key of a chunk, relative to its array, of its coordinates."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The chunks of an array, and the lists that link them."""

    path: str
    """Path of the array; empty for the root."""
    counts: tuple[int, ...]
    """Number of chunks along each axis."""
    shard_size: int
    """Chunks in a list."""
    shards: Sequence[bytes | None]
    """Binary CIDs of the lists; None where all chunks of a list are absent."""
    shape: tuple[int, ...]
    chunks: tuple[int, ...]

    def position(self, coordinates: Sequence[int]) -> int | None:
        """Return the number of a chunk in C order; None if it is not in the grid."""
        position = 0
        for at, count in zip(coordinates, self.counts, strict=True):
            if at >= count:
                return None
            position = position * count + at
        return position

    def coordinates(self, position: int) -> list[int]:
        """Return the coordinates of a chunk by its number."""
        found = []
        for count in reversed(self.counts):
            position, at = divmod(position, count)
            found.append(at)
        return found[::-1]


class _Shard:
    """A decoded list of links."""

    __slots__ = ("leaf", "links")

    def __init__(self, cid: bytes, links: Sequence[bytes | None]) -> None:
        self.links = links
        is_block = cids.codec_of(cid) == cids.DAG_CBOR  # of a file the links are not those of its blocks
        self.leaf = LeafLinks(cid, [link for link in links if link is not None] if is_block else [])


@dataclass(frozen=True, slots=True)
class _DecodeShard:
    """Decodes a list of so many links."""

    size: int

    joins: ClassVar[bool] = True

    def __call__(self, cid: bytes, data: bytes) -> _Shard:
        value = decode_cbor(data)
        if not isinstance(value, list) or len(value) != self.size:
            found = f"one of {len(value)}" if isinstance(value, list) else "something else"
            raise NodeError(f"expected a list of {self.size} links of chunks, found {found}")
        for at, link in enumerate(value):
            if link is not None:
                _check_value_link(link, f"at position {at}")
        return _Shard(cid, value)


@dataclass(frozen=True, slots=True)
class _DecodeRoot:
    """Decodes the root."""

    joins: ClassVar[bool] = True

    def __call__(self, cid: bytes, data: bytes) -> Any:
        return decode_cbor(data)


def is_sharded(value: Any) -> bool:
    """Return whether a value has the form of a root; no dataset in the block format of ipldstore has it."""
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return False
    chunks = value.get("chunks")
    return isinstance(value.get("manifest_version"), str) or (
        isinstance(chunks, dict) and isinstance(chunks.get("shard_cids"), list)
    )


class ShardedContents(ForeignContents):
    """The keys of a store in shards, with the links of their bytes.

    :param nodes: the nodes of the block store
    :param root: binary CID of the root
    :raises IPLDStoreError: if the root is not what py-hamt writes
    """

    what = "a ShardedZarrStore of py-hamt"

    def __init__(self, nodes: ForeignNodes, root: bytes) -> None:
        self._nodes = nodes
        self._root = root
        value = nodes.load(root, _DecodeRoot())
        with node_errors(root):
            version = value.get("manifest_version", VERSIONS[0]) if is_sharded(value) else None
            if version not in VERSIONS:
                raise NodeError(f"expected a manifest of {' or '.join(VERSIONS)}, found {str(version)[:100]!r}")
            self._metadata: Mapping[str, bytes] = value["metadata"]
            for key, link in self._metadata.items():
                _check_value_link(link, f"at {key[:100]!r}")
            if version == VERSIONS[0]:
                grids = [self._primary(value)]
            else:
                arrays = value.get("arrays")
                if not isinstance(arrays, dict):
                    raise NodeError("expected a map of arrays, found something else")
                grids = [_grid(path.strip("/"), array) for path, array in arrays.items()]
        self._grids = {grid.path: grid for grid in grids}
        self._namings: dict[str, Naming] = {}

    def find(self, key: str) -> Found | None:
        """See :meth:`ForeignContents.find`. Reads at most one list of links."""
        found = self._resolve(key, self._nodes.load)
        return None if found is None else found[0]

    def find_cached(self, key: str) -> tuple[Found, LeafLinks] | None:
        """See :meth:`ForeignContents.find_cached`."""
        try:
            return self._resolve(key, self._nodes.cached)
        except NodeNotCachedError:
            return None

    def items(self, prefix: str = "") -> Iterator[tuple[str, Found]]:
        """See :meth:`ForeignContents.items`. Of arrays below the prefix all lists are read."""
        for key, link in self._metadata.items():
            if not key.startswith(prefix):
                continue
            shard = self._shard_of(key, self._nodes.load)  # a chunk may be in a list and in the metadata
            if shard is None or shard[0].links[shard[1]] is None:
                yield key, link
        for grid in self._grids.values():
            above = f"{grid.path}/" if grid.path else ""
            if grid.counts and (above.startswith(prefix) or prefix.startswith(above)):
                name = self._naming(grid, self._nodes.load)
                for position, link in self._chunks(grid):
                    key = above + name(grid.coordinates(position))
                    if key.startswith(prefix):
                        yield key, link

    def _chunks(self, grid: Grid) -> Iterator[tuple[int, bytes]]:
        """Iterate over numbers and links of the chunks in the lists of an array.

        :raises NodeError: if a list has a link behind the last chunk
        """
        self._nodes.prefetch([cid for cid in grid.shards if cid is not None][:_MAX_PREFETCHED])
        total = math.prod(grid.counts)
        empty: set[bytes] = set()  # lists without links: a few blocks can stand for any number of them
        for number, cid in enumerate(grid.shards):
            if cid is None or cid in empty:
                continue
            links = self._nodes.load(cid, _DecodeShard(grid.shard_size)).links
            if not any(links):
                empty.add(cid)
                continue
            for slot, link in enumerate(links):
                position = number * grid.shard_size + slot
                if link is None:
                    continue
                if position >= total:
                    raise NodeError(
                        f"node {cids.to_text(cid)}: expected no links behind the last chunk of {grid.path!r}, found "
                        f"one at position {slot}"
                    )
                yield position, link

    def names(self, directory: str) -> Iterator[str]:
        """See :meth:`ForeignContents.names`. Lists of links are read only below an array."""
        prefix = f"{directory}/" if directory else ""
        seen: set[str] = set()
        arrays = [path for path, grid in self._grids.items() if any(cid is not None for cid in grid.shards)]
        if not any(prefix.startswith(f"{path}/") or path == directory for path in arrays):
            for key in [*self._metadata, *(f"{path}/" for path in arrays)]:
                name = key[len(prefix) :].partition("/")[0]
                if key.startswith(prefix) and name and name not in seen:
                    seen.add(name)
                    yield name
            return
        yield from super().names(directory)

    def _resolve(self, key: str, load: Load) -> tuple[bytes, LeafLinks] | None:
        shard = self._shard_of(key, load)
        if shard is not None:
            chunk = shard[0].links[shard[1]]
            if chunk is not None:
                return chunk, shard[0].leaf
        link = self._metadata.get(key)
        return None if link is None else (link, LeafLinks(self._root, []))

    def _shard_of(self, key: str, load: Load) -> tuple[_Shard, int] | None:
        """Return the list that has the place of a chunk, and the place; None if the key is no chunk of a list."""
        for path in _paths_of(key):
            grid = self._grids.get(path)
            if grid is None:
                continue
            rest = key[len(path) + 1 if path else 0 :]
            coordinates = _coordinates(rest, len(grid.counts))
            position = None if coordinates is None else grid.position(coordinates)
            if coordinates is None or position is None or self._naming(grid, load)(coordinates) != rest:
                return None
            number, slot = divmod(position, grid.shard_size)
            cid = grid.shards[number]
            if cid is None:
                return None
            return load(cid, _DecodeShard(grid.shard_size), PathHint([str(slot)])), slot
        return None

    def _naming(self, grid: Grid, load: Load) -> Naming:
        """Return how the metadata of an array names its chunks.

        :param load: what nodes are loaded with; where it loads none, no metadata is read either
        """
        naming = self._namings.get(grid.path)
        if naming is None:
            if load != self._nodes.load:
                raise NodeNotCachedError
            naming = self._namings[grid.path] = self._read_naming(grid)
        return naming

    def _read_naming(self, grid: Grid) -> Naming:
        prefix = f"{grid.path}/" if grid.path else ""
        metadata = self._document(prefix + keys.ZARR_JSON)
        if metadata is None:
            old = self._document(prefix + keys.ZARRAY)
            first = ["c"] if old is None else []
            separator = "/" if old is None else old.get("dimension_separator", ".")
        else:
            encoding = metadata.get("chunk_key_encoding")
            encoding = encoding if isinstance(encoding, dict) else {}
            is_default = encoding.get("name", "default") == "default"
            configuration = encoding.get("configuration")
            configuration = configuration if isinstance(configuration, dict) else {}
            first = ["c"] if is_default else []
            separator = configuration.get("separator", "/" if is_default else ".")
        joint = separator if separator in ("/", ".") else "/"
        return lambda coordinates: joint.join([*first, *map(str, coordinates)])

    def _document(self, key: str) -> dict[str, Any] | None:
        """Return a document of metadata; None if there is none."""
        link = self._metadata.get(key)
        if link is None:
            return None
        with store_errors(f"reading {key!r}"):
            if cids.codec_of(link) == cids.DAG_PB and self._nodes.castore.size(link) > _MAX_DOCUMENT_BYTES:
                return None
            data = self._nodes.reader.read_value(link)
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def _primary(self, value: Any) -> Grid:
        """Return the array of version 1 whose chunks are in lists."""
        chunks = value.get("chunks")
        grid = _grid("", chunks)
        path = chunks.get("primary_array_path")
        if path is None:
            path = self._find_primary(grid)
        if not isinstance(path, str):
            raise NodeError("expected the path of the primary array, found something else")
        return Grid(path.strip("/"), grid.counts, grid.shard_size, grid.shards, grid.shape, grid.chunks)

    def _find_primary(self, grid: Grid) -> str:
        """Return the path of the one array that has the shape and the chunks of the lists."""
        candidates = [
            (key, path)
            for key in self._metadata
            for path, _, name in [key.rpartition("/")]
            if name in (keys.ZARR_JSON, keys.ZARRAY) and path.rpartition("/")[2] not in COORDINATES
        ]
        self._nodes.prefetch([self._metadata[key] for key, _ in candidates][:_MAX_PREFETCHED])
        wanted = list(grid.shape), list(grid.chunks)
        found = {path for key, path in candidates if _declared(self._document(key) or {}) == wanted}
        if len(found) != 1:
            raise NodeError(
                f"expected one array of shape {list(grid.shape)} in chunks of {list(grid.chunks)}, whose chunks the "
                f"root links; found {len(found)}: {sorted(found)[:9]} (primary_array_path would say which it is)"
            )
        return found.pop()


def _declared(metadata: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the shape and the shape of the chunks that the metadata of an array have."""
    grid = metadata.get("chunk_grid")
    configuration = grid.get("configuration") if isinstance(grid, dict) else None
    chunks = configuration.get("chunk_shape") if isinstance(configuration, dict) else metadata.get("chunks")
    return metadata.get("shape"), chunks


def _paths_of(key: str) -> Iterator[str]:
    """Yield the paths of arrays that a key of a chunk may be below, the longest first."""
    parts = key.split("/")
    for at in range(len(parts) - 1, -1, -1):
        yield "/".join(parts[:at])


def _coordinates(rest: str, axes: int) -> list[int] | None:
    """Return the coordinates in a key relative to an array with so many axes; None if it is no chunk of it."""
    if not keys.is_chunk_key(rest):
        return None
    numbers = rest.removeprefix("c").strip("/.").replace("/", ".").split(".")
    return [int(number) for number in numbers] if len(numbers) == axes else None


def _grid(path: str, array: Any) -> Grid:
    """Check the entry of an array in the root.

    :raises NodeError: if it is not what py-hamt writes
    """
    named = f"of the array {path[:100]!r}"
    if not isinstance(array, dict):
        raise NodeError(f"expected the shape, chunks and lists {named}, found something else")
    config = array.get("sharding_config")
    shard_size = config.get("chunks_per_shard") if isinstance(config, dict) else None
    order = config.get("order", "C") if isinstance(config, dict) else None
    shape: Any = array.get("array_shape")
    chunks: Any = array.get("chunk_shape")
    shards = array.get("shard_cids")
    if not _are_numbers(shape, 0) or not _are_numbers(chunks, 1) or len(shape) != len(chunks):
        raise NodeError(f"expected a shape and a shape of chunks with as many axes {named}, found something else")
    if not _are_numbers([shard_size], 1) or order != "C":
        raise NodeError(f"expected a number of chunks in a list, in C order, {named}; found something else")
    counts = tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
    assert isinstance(shard_size, int)  # noqa: S101  # checked above
    wanted = -(-math.prod(counts) // shard_size)
    if not isinstance(shards, list) or len(shards) != wanted:
        found = len(shards) if isinstance(shards, list) else "no list"
        raise NodeError(f"expected {wanted} lists of chunks {named}, found {found}")
    for cid in shards:
        if cid is not None and (not isinstance(cid, bytes) or cids.codec_of(cid) not in (cids.DAG_CBOR, cids.DAG_PB)):
            raise NodeError(f"expected links of lists of chunks {named}, found something else")
    return Grid(path, counts, shard_size, shards, tuple(shape), tuple(chunks))


def _are_numbers(value: Any, least: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= _MAX_AXES
        and all(type(each) is int and least <= each <= _MAX_NUMBER for each in value)
    )


def _check_value_link(link: Any, where: str) -> None:
    if not is_value_link(link):
        raise NodeError(f"expected the link of a value, raw or dag-pb, {where}; found another")
