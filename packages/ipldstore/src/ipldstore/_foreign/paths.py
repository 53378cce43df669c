"""Paths below a CID, such as those of ``ipfs://CID/HALO/radar.zarr``."""

from __future__ import annotations

from collections.abc import Sequence

from ipld_car import cids
from ipld_castore import AnyCID, ContentAddressableStore, PathStep
from multiformats import CID

from ipldstore.errors import IPLDStoreError, store_errors


def resolve_path(castore: ContentAddressableStore, cid: AnyCID, path: str | Sequence[str]) -> CID:
    """Return the CID at the end of a path through UnixFS directories and dag-cbor maps.

    All blocks on the path are verified; a gateway sends them in one answer. Symbolic links are not followed.

    :param castore: where the blocks are
    :param cid: where the path begins
    :param path: names joined by ``/``, or a sequence of names; empty names are left out
    :raises IPLDStoreError: if the path leads nowhere, or a block is missing, damaged or out of reach

    >>> from ipld_castore import MappingCAStore
    >>> castore = MappingCAStore()
    >>> inner = castore.put({})
    >>> root = castore.put({"air": {"v1": inner}})
    >>> resolve_path(castore, root, "air/v1") == inner
    True
    """
    names = [name for name in (path.split("/") if isinstance(path, str) else path) if name]
    step = PathStep(cids.to_bytes(cid), names)
    what = f"resolving the path {'/'.join(names)!r} below {cids.to_text(step.cid)}"
    with store_errors(what):
        for _, data in castore.get_path(step.cid, names):
            below = step.next(data)
            if below is None:
                break
            step = below
            if not step.names:  # the block at the end is not wanted
                break
    if step.names:
        raise IPLDStoreError(
            f"{what}: expected {step.names[0]!r} in block {cids.to_text(step.cid)}, found no such name: check the "
            f"path (ipfs ls {cids.to_text(step.start.cid)} lists a directory)"
        )
    return cids.from_validated(step.cid)
