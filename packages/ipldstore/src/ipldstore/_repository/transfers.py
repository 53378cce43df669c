"""Copies of all that a root reaches, from one block store to another, with a bar."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ipld_castore import AnyCID, ContentAddressableStore, Transferred, transfer

from ipldstore.errors import store_errors


def transfer_all(
    what: str, root: AnyCID, src: ContentAddressableStore, dst: ContentAddressableStore, progress: bool | None
) -> Transferred:
    """Copy the blocks below a root that the destination lacks.

    :param what: what is being done, for errors and the bar: "pushing"
    :param progress: whether to show a bar on standard error; None where that is a terminal
    :raises IPLDStoreError: if a block is lost, or one of the two cannot be reached
    """
    visible = sys.stderr.isatty() if progress is None else progress
    with store_errors(what), _bar(what, visible=visible) as bar:
        return transfer(root, src, dst, bar)


@contextmanager
def _bar(what: str, *, visible: bool) -> Iterator[Any]:
    """Yield what shows the progress of :func:`ipld_castore.transfer`; None where no bar is shown."""
    if not visible:
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=what, unit=" blocks", file=sys.stderr, mininterval=0.2) as bar:

        def show(blocks: int, known: int, size: int) -> None:
            bar.total = known
            bar.set_postfix_str(f"{size / 1e6:.1f} MB", refresh=False)
            bar.update(blocks - bar.n)

        yield show
