"""Arrays of many chunks, as benchmarks of indexes have them: steps of 25 x 40 chunks."""

from __future__ import annotations

from typing import Any

SPACE = (25, 40)
"""Chunks of one step."""


def array_metadata(steps: int = 0) -> dict[str, Any]:
    """Return the document of an array of zarr format 3 with one element a chunk.

    :param steps: the length of the first axis
    """
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [steps, *SPACE],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1, 1]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
    }
