"""The blocks of an archive that are wanted, or all others.

>>> import io
>>> from ipld_car import ops
>>> archive, part = io.BytesIO(), io.BytesIO()
>>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
>>> ops.filter(archive.getvalue(), part, [made.root], inverse=True).blocks
2
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack

from multiformats import CID

from ipld_car import cids
from ipld_car._car.reader import CarReader
from ipld_car.ops.archive import Source, open_stream
from ipld_car.ops.errors import Meter, Progress, RefusedError
from ipld_car.ops.output import Target, Written, write_archive


def filter_blocks(
    source: Source,
    target: Target,
    wanted: Iterable[CID | str | bytes],
    *,
    inverse: bool = False,
    append: bool = False,
    version: int = 2,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Write the blocks with these CIDs, or all others; each once, verified, in their order.

    Roots that are left out are not in the header either.

    :param source: path, bytes or stream
    :param target: path or stream; the archive itself may be replaced
    :param wanted: CIDs
    :param inverse: leave these CIDs out, and keep all others
    :param append: add the blocks to the target, a CARv2, and keep its roots. A new file replaces it, so a
        failure leaves it as it was
    :param version: of the archive that is written
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises RefusedError: if a CARv1 is to be appended to
    :raises CarError: if an archive or a block is bad; nothing is written
    :raises OSError: if something cannot be read or written
    """
    kept = frozenset(map(cids.to_bytes, wanted))
    meter = Meter(progress, "filtering")
    with ExitStack() as inputs:  # not the output: an error that an ExitStack raises is in a cycle with its frame
        old: Iterable[tuple[bytes, bytes]] = ()
        if append:
            if not isinstance(target, (str, os.PathLike)):
                raise TypeError(f"expected the path of a CARv2 to append to, found {type(target).__name__}")
            before = CarReader(inputs.enter_context(open_stream(target)))
            if before.version != 2 or version != 2:
                raise RefusedError(f"{target}: expected a CARv2 to append to, found a CARv{before.version}")
            old = ((block.cid_bytes, block.data) for block in before)
        reader = CarReader(
            inputs.enter_context(open_stream(source)), zero_length_section_as_eof=zero_length_section_as_eof
        )
        roots = [cids.to_bytes(root) for root in (before if append else reader).roots]
        if not append:
            roots = [root for root in roots if (root in kept) is not inverse]
        with write_archive(target, roots, version) as out:
            for cid, data in old:
                out.write(cid, data)
            for block in reader:
                if (block.cid_bytes in kept) is not inverse:
                    out.write(block.cid_bytes, block.data)
                meter.advance(block.location.size)
    return out.written
