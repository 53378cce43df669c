"""Two appends to the same arrays, one behind the other."""

from __future__ import annotations

from ipld_castore import ContentAddressableStore


def shift_append(castore: ContentAddressableStore, base: bytes, ours: bytes, theirs: bytes) -> bytes:
    """Merge two roots that both appended, with the append of ``theirs`` shifted behind that of ``ours``.

    All arrays of a dimension are shifted together, each by whole chunks; no chunk is read. An append that both sides
    made alike is there once. All else is merged as :func:`~ipldstore._merge.merge.merge_roots` does.

    :param castore: the block store that has the nodes of all roots
    :param base: binary CID of the root that both sides go back to
    :param ours: binary CID of the root that appended first
    :param theirs: binary CID of the root that appended later
    :return: binary CID of the merged root; the caller flushes the block store
    :raises ConflictError: if an append cannot be shifted, as its chunks are not whole or an array of the dimension did
        not grow with the others; or if something else conflicts. No block was put then
    :raises IPLDStoreError: if a node is missing, damaged or breaks a bound of the format
    """
    raise NotImplementedError
