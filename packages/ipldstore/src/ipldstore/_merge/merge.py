"""The three-way merge of roots (design, section 9)."""

from __future__ import annotations

from collections.abc import Sequence

from ipld_castore import ContentAddressableStore

from .conflicts import Merged, Resolve


def merge_roots(
    castore: ContentAddressableStore,
    bases: Sequence[bytes],
    ours: bytes,
    theirs: bytes,
    resolve: Resolve | None = None,
) -> Merged:
    """Merge two roots that go back to common ones. The result depends on the roots alone, and not on their order.

    It puts the nodes that are new, and none where conflicts are left. The caller flushes the block store. Its cost is
    that of the difference: equal subtrees are skipped by CID, and no chunk is read.

    :param castore: the block store that has the nodes of all roots
    :param bases: binary CIDs of the roots that both sides go back to; where several do not agree on a part, two
        different sides of that part conflict
    :param ours: binary CID of the root of one side
    :param theirs: binary CID of the root of the other side
    :param resolve: what to do with conflicts
    :raises ValueError: if ``bases`` is empty, or ``resolve`` gives an answer that is no side
    :raises IPLDStoreError: if a node is missing, damaged or breaks a bound of the format
    """
    raise NotImplementedError
