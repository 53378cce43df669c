"""Figures about one key, array or group."""

from __future__ import annotations

from typing import Any, Final

from ipld_car import cids
from zarr.core.sync import sync

from ipldstore._display.outline import ArrayOutline, outline
from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore

_CODECS: Final = {cids.RAW: "raw", cids.DAG_PB: "dag-pb", cids.DAG_CBOR: "dag-cbor"}


def facts_of(store: IPLDStore, path: str) -> dict[str, Any] | None:
    """Return figures by name; None if nothing is at the path."""
    whole, group = (store.whole(), store.path) if isinstance(store, GroupStore) else (store, "")
    if path and path in store:
        return _key_facts(whole, f"{group}/{path}" if group else path, path)
    keys = sum(1 for _ in store.mapping.keys_below(path))
    if not keys:
        return None
    facts: dict[str, Any] = {"path": path or "/", "kind": "directory"}
    found = outline(store, path, max_nodes=1)
    if found is not None:
        facts["kind"] = "array" if isinstance(found, ArrayOutline) else "group"
    if isinstance(found, ArrayOutline):
        facts |= {
            "shape": list(found.shape),
            "dtype": found.dtype,
            "chunks": list(found.chunks),
            "codecs": list(found.codecs),
            "nbytes": found.nbytes,
            "chunks in the grid": found.chunk_count,
        }
    return facts | {"keys": keys, "stored bytes": sum(whole._data.sizes(_prefix(group, path)))}  # noqa: SLF001  # the store's own floor below


def _prefix(group: str, path: str) -> str:
    return "".join(f"{part}/" for part in (group, path) if part)


def _key_facts(whole: IPLDStore, key: str, path: str) -> dict[str, Any]:
    found = whole._data.find(key)  # noqa: SLF001  # as above
    facts: dict[str, Any] = {"path": path, "kind": "key", "bytes": sync(whole.getsize(key))}
    if isinstance(found, bytes):
        facts |= {"cid": cids.to_text(found), "codec": _CODECS.get(cids.codec_of(found), "other")}
    return facts
