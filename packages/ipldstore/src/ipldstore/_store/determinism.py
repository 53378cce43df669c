"""Whether compressors give the same bytes for the same data, without which the same data have several CIDs."""

from __future__ import annotations

import sys
import warnings

_warned = False


def warn_if_blosc_has_threads() -> None:
    """Warn, once in a process, if Blosc may give other bytes each time (numcodecs issue 694).

    With threads Blosc splits a buffer by how many there are and how they are scheduled. zarr switches its threads off
    when it is imported; other code may switch them on again.
    """
    global _warned  # noqa: PLW0603  # one warning in a process is enough
    if _warned:
        return
    blosc = sys.modules.get("numcodecs.blosc")
    if blosc is None or blosc.use_threads is False:
        return
    _warned = True
    warnings.warn(
        f"expected numcodecs.blosc.use_threads to be False, found {blosc.use_threads}: with threads Blosc can give "
        f"other bytes for the same data, and so another CID. Set numcodecs.blosc.use_threads = False before writing",
        RuntimeWarning,
        stacklevel=3,
    )
