"""Copies of all that a root reaches, from one block store to another, with a bar."""

from __future__ import annotations

from ipld_castore import AnyCID, ContentAddressableStore, Transferred, transfer

from ipldstore._display.bars import open_bar
from ipldstore.errors import store_errors


def transfer_all(
    what: str, root: AnyCID, src: ContentAddressableStore, dst: ContentAddressableStore, progress: bool | None
) -> Transferred:
    """Copy the blocks below a root that the destination lacks.

    :param what: what is being done, for errors and the bar: "pushing"
    :param progress: whether to show a bar; see :func:`ipldstore.push`
    :raises IPLDStoreError: if a block is lost, or one of the two cannot be reached
    """
    with store_errors(what), open_bar(what, unit=" blocks", progress=progress) as bar:

        def show(blocks: int, known: int, size: int) -> None:
            bar.set(blocks, known, f"{size / 1e6:.1f} MB")

        return transfer(root, src, dst, show if bar.is_shown else None)
